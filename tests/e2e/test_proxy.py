# SPDX-License-Identifier: Apache-2.0
"""Proxies: tunnels for TLS and gRPC, whole URLs for plaintext HTTP, by the environment and by proxy_url."""
import base64
import select
import socket
import tempfile
import threading
import unittest

from otlp_http import Backend, send
from pki import Pki
from tailrace import Daemon, wait_for

CREDENTIALS = "Basic " + base64.b64encode(b"joe:p@ss").decode()


class Proxy:
    """Sends everything to one port of this machine, whatever was asked for. Each request's head is kept."""

    def __init__(self, port, answer=None):
        self.port, self.answer = port, answer
        self.heads, self.lock = [], threading.Lock()
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                self.open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            data = b""
            while b"\r\n\r\n" not in data:
                more = sock.recv(65536)
                if not more:
                    return
                data += more
            head, rest = data.split(b"\r\n\r\n", 1)
            with self.lock:
                self.heads.append(head.decode("latin-1"))
            if self.answer is not None:
                sock.sendall(self.answer)
                sock.recv(65536)
                return
            with socket.create_connection(("127.0.0.1", self.port)) as to:
                if head.startswith(b"CONNECT "):
                    # with what the backend says first in the same piece, as it may happen
                    first = b""
                    if select.select([to], [], [], 0.2)[0]:
                        first = to.recv(65536)
                    sock.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n" + first)
                else:
                    to.sendall(data)
                    rest = b""
                if rest:
                    to.sendall(rest)
                self._relay(sock, to)
        except OSError:
            pass
        finally:
            sock.close()
            with self.lock:
                self.open.discard(sock)

    @staticmethod
    def _relay(a, b):
        while True:
            for sock in select.select([a, b], [], [])[0]:
                data = sock.recv(65536)
                if not data:
                    return
                (b if sock is a else a).sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()
        with self.lock:
            for sock in self.open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def sender(exporter):
    return """
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters: {%s}
service: {pipelines: {traces: {receivers: [otlp], exporters: [%s]}}}
""" % (exporter, exporter.split(":")[0])


NO_PROXIES = {name: "" for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")}


class Proxies(unittest.TestCase):
    def daemon(self, exporter, **env):
        return Daemon(sender(exporter), env=dict(NO_PROXIES, **env))

    def deliver(self, d, n=3):
        d.wait_ready()
        self.assertEqual(send(d.port("Starting HTTP server"), 1, n), 200)
        d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', n)

    def test_plaintext_http(self):
        with Backend() as backend, Proxy(backend.server.server_port) as proxy:
            exporter = "otlp_http: {endpoint: 'http://backend.test:1234/base'}"
            with self.daemon(exporter, http_proxy="http://joe:p%%40ss@%s" % proxy.address) as d:
                self.deliver(d)
                self.assertEqual(backend.count(), 3)
                lines = proxy.heads[0].split("\r\n")
                self.assertEqual(lines[0], "POST http://backend.test:1234/base/v1/traces HTTP/1.1")
                self.assertIn("Host: backend.test:1234", lines)
                self.assertIn("Proxy-Authorization: " + CREDENTIALS, lines)
                self.assertEqual(d.stop(), 0)

    def test_proxy_url_and_no_proxy(self):
        with Backend() as backend, Proxy(backend.server.server_port) as proxy:
            exporter = "otlp_http: {endpoint: '%s', proxy_url: 'http://%s'}" % (backend.url, proxy.address)
            with self.daemon(exporter, NO_PROXY="*") as d:  # said in the file: also for this machine
                self.deliver(d)
                self.assertEqual(len(proxy.heads), 1)
                self.assertEqual(d.stop(), 0)
            with self.daemon("otlp_http: {endpoint: '%s'}" % backend.url, HTTP_PROXY="http://" + proxy.address) as d:
                self.deliver(d)  # this machine is never behind a proxy of the environment
                self.assertEqual(len(proxy.heads), 1)
                self.assertEqual(d.stop(), 0)

    def tls_daemon(self, pki):
        return Daemon("""
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0', tls: {cert_file: %(crt)s, key_file: %(key)s}}
      http: {endpoint: '127.0.0.1:0', tls: {cert_file: %(crt)s, key_file: %(key)s}}
  otlp/plain: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}
exporters: {nop: }
service: {pipelines: {traces: {receivers: [otlp, otlp/plain], exporters: [nop]}}}
""" % {"crt": pki.path("server.pem"), "key": pki.path("server.key")})

    def test_tunnels(self):
        with tempfile.TemporaryDirectory() as tmp:
            pki = Pki(tmp)
            pki.authority("ca")
            pki.leaf("server", "ca", names="DNS:backend.test")
            with self.tls_daemon(pki) as server:
                server.wait_ready()
                ports = {"grpc": server.port("Starting GRPC server", **{"otelcol.component.id": "otlp"}),
                         "http": server.port("Starting HTTP server"),
                         "plain": server.port("Starting GRPC server", **{"otelcol.component.id": "otlp/plain"})}
                ca = "tls: {ca_file: %s}" % pki.path("ca.pem")
                for kind, exporter in (("http", "otlp_http: {endpoint: 'https://backend.test:443', %s}" % ca),
                                       ("grpc", "otlp_grpc: {endpoint: 'backend.test:443', %s}" % ca),
                                       ("plain", "otlp_grpc: {endpoint: 'backend.test:443', tls: {insecure: true}}")):
                    with Proxy(ports[kind]) as proxy:
                        with self.daemon(exporter, HTTPS_PROXY="http://joe:p%%40ss@%s" % proxy.address) as d:
                            self.deliver(d)
                            lines = proxy.heads[0].split("\r\n")
                            self.assertEqual(lines[0], "CONNECT backend.test:443 HTTP/1.1")
                            self.assertIn("Host: backend.test:443", lines)
                            self.assertIn("Proxy-Authorization: " + CREDENTIALS, lines)
                            self.assertNotIn("p@ss", d.log())
                            self.assertEqual(d.stop(), 0)
                self.assertEqual(server.ledger()["accepted"], 9)
                self.assertEqual(server.stop(), 0)

    def test_proxies_that_refuse(self):
        for answer, words in ((b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy: HTTP status 407"),
                              (b"SSH-2.0-x\r\n\r\n", "proxy: what came is not HTTP"), (b"x" * 20000, "proxy: its answer has no end"),
                              (b"HTTP/1.1 200 OK\r\n\r\nhello", "proxy: it speaks into the tunnel")):
            with Proxy(0, answer) as proxy, self.daemon("otlp_grpc: {endpoint: 'backend.test:443'}",
                                                        HTTPS_PROXY="http://" + proxy.address) as d:
                d.wait_ready()
                self.assertEqual(send(d.port("Starting HTTP server"), 1, 3), 200)
                wait_for(lambda: words in d.log(), lambda: words + " in:\n" + d.log())
                self.assertEqual(d.stop(), 0)

    def test_bad_settings(self):
        with self.daemon("otlp_http: {endpoint: 'http://backend.test', proxy_url: 'socks5://a:1'}") as d:
            self.assertEqual(d.wait_exit(), 1)
            self.assertIn("proxy_url: only http:// proxies are supported, not socks5", d.log())
        with self.daemon("otlp_http: {endpoint: 'http://backend.test'}", HTTP_PROXY="https://joe:s3cret@a:1") as d:
            self.assertEqual(d.wait_exit(), 1)
            self.assertIn("HTTP_PROXY: only http:// proxies are supported", d.log())
            self.assertNotIn("s3cret", d.log())


if __name__ == "__main__":
    unittest.main()
