# SPDX-License-Identifier: Apache-2.0
"""TLS and mTLS: receivers against Python's ssl, exporters against TLS backends, rotation of certificates."""
import contextlib
import http.server
import os
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from otlp_client import GrpcClient, HttpClient, connect, parse, request
from pki import Pki
from tailrace import BINARY, Daemon, wait_for

SERVER = """
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:0
        tls: {cert_file: %(dir)s/server.pem, key_file: %(dir)s/server.key%(extra)s}
      http:
        endpoint: 127.0.0.1:0
        tls: {cert_file: %(dir)s/server.pem, key_file: %(dir)s/server.key%(extra)s}
exporters: {nop: }
service: {pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}
"""

CLIENT = """
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters: {%s}
service: {pipelines: {traces: {receivers: [otlp], exporters: [%s]}}}
"""
REFUSED_GRPC = 'tailrace_receiver_refused_requests{reason="tls",receiver="otlp",transport="grpc"}'
EXPORTED = 'tailrace_pipeline_exported_spans{pipeline="traces"}'


def setUpModule():
    global PKI, DIR
    DIR = tempfile.TemporaryDirectory()
    PKI = Pki(DIR.name)
    for name in ("ca", "other"):
        PKI.authority(name)
    PKI.authority("mid", issuer="ca")
    PKI.leaf("server", "mid", chain=["mid"])
    PKI.leaf("wrongname", "ca", names="DNS:elsewhere.example")
    PKI.leaf("expired", "ca", days=-1)
    PKI.leaf("client", "ca", names="DNS:client")
    PKI.leaf("stranger", "other", names="DNS:client")


def tearDownModule():
    DIR.cleanup()


def refused(page):
    return page.get(REFUSED_GRPC, 0)


class Server(unittest.TestCase):
    extra = ""

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(SERVER % {"dir": DIR.name, "extra": cls.extra}).wait_ready()
        cls.grpc = cls.d.port("Starting GRPC server")
        cls.http = cls.d.port("Starting HTTP server")

    @classmethod
    def tearDownClass(cls):
        try:
            code = cls.d.stop()
            assert code == 0, (code, cls.d.log())
        finally:
            cls.d.__exit__()

    def assert_refused(self, tls, **kw):
        """The handshake fails, or (TLS 1.3) the first read after it; and it is counted."""
        before = refused(self.d.metrics())
        with self.assertRaises(OSError):
            sock = connect(self.grpc, tls=tls, **kw)
            try:
                sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                if sock.recv(1) == b"":
                    raise ConnectionResetError("closed")
            finally:
                sock.close()
        self.d.wait_metric(REFUSED_GRPC, before + 1)


class Plain(Server):
    """A server certificate, no client certificates."""

    def test_grpc(self):
        tls = PKI.client("ca")
        with GrpcClient(self.grpc, tls=tls) as c:
            self.assertEqual(c.sock.selected_alpn_protocol(), "h2")
            self.assertEqual(c.sock.version(), "TLSv1.3")
            for size in (0, 100, 40000):
                self.assertEqual(c.export(request(50, size=size)).code, 0)

    def test_grpc_without_alpn(self):
        with GrpcClient(self.grpc, tls=PKI.client("ca", alpn=())) as c:
            self.assertEqual(c.export(request(1)).code, 0)

    def test_grpc_offered_only_http1(self):
        self.assert_refused(PKI.client("ca", alpn=("http/1.1",)))

    def test_http1(self):
        with HttpClient(self.http, tls=PKI.client("ca", alpn=("http/1.1",))) as c:
            self.assertEqual(c.sock.selected_alpn_protocol(), "http/1.1")
            for size in (0, 3000, 100000):
                self.assertEqual(c.request(body=request(10, size=size)).status, 200)

    def test_http2_on_the_http_port(self):
        with GrpcClient(self.http, tls=PKI.client("ca", alpn=("h2", "http/1.1"))) as c:
            self.assertEqual(c.sock.selected_alpn_protocol(), "h2")
            sid = c.headers(path="/v1/traces", content_type="application/x-protobuf")
            c.data(sid, request(3))
            self.assertEqual(c.wait(sid).headers[":status"], "200")

    def test_versions(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with GrpcClient(self.grpc, tls=PKI.client("ca", minimum=version, maximum=version)) as c:
                self.assertEqual(c.export(request(1)).code, 0)
        old = PKI.client("ca", minimum=ssl.TLSVersion.TLSv1, maximum=ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
        self.assert_refused(old)

    def test_plaintext_is_told_why(self):
        with HttpClient(self.http) as c:
            reply = c.request(body=request(1))
            self.assertEqual(reply.status, 400)
            self.assertIn(b"https", c.buffer + reply.body)

    def test_the_client_does_not_know_the_authority(self):
        self.assert_refused(PKI.client("other"))

    def test_garbage_and_early_ends(self):
        before = refused(self.d.metrics())
        for first in (b"", b"\x16", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00" + b"\xff" * 512, os.urandom(2000)):
            with socket.create_connection(("127.0.0.1", self.grpc), 10) as s:
                s.sendall(first)
                s.shutdown(socket.SHUT_WR)
                try:
                    while s.recv(4096):
                        pass
                except ConnectionError:
                    pass
        self.d.wait_metric(REFUSED_GRPC, before + 5)
        self.test_grpc()

    def test_one_byte_at_a_time(self):
        """The handshake and a request through a pipe that carries single bytes."""
        context = PKI.client("ca", alpn=("http/1.1",))
        sent, got = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(got, sent, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", self.http), 30) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def drip():
                for byte in sent.read():
                    s.sendall(bytes([byte]))

            def run(step):
                while True:
                    try:
                        result = step()
                        drip()
                        return result
                    except ssl.SSLWantReadError:
                        drip()
                        got.write(s.recv(65536))

            body = request(2)
            run(tls.do_handshake)
            run(lambda: tls.write(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
                                  b"Content-Length: %d\r\n\r\n" % len(body) + body))
            self.assertTrue(run(lambda: tls.read(65536)).startswith(b"HTTP/1.1 200 "))

    def test_a_client_that_does_not_read(self):
        """It sends as long as that goes, only then reads: more answers than the sockets hold, and all of them are there."""
        with HttpClient(self.http, tls=PKI.client("ca", alpn=("http/1.1",))) as c:
            body = request(1)
            one = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n" \
                  b"Content-Length: %d\r\n\r\n" % len(body) + body
            n, got, unsent = 3000, bytearray(), memoryview(one * 3000)
            c.sock.setblocking(False)  # one thread: a TLS connection is not for two at a time
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            while got.count(b"HTTP/1.1 200 ") < n:
                try:
                    while unsent:
                        unsent = unsent[c.sock.send(unsent[:65536]):]
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass  # nothing more fits: only now it reads
                ready = select.select([c.sock], [c.sock] if unsent else [], [], 60)
                self.assertTrue(ready[0] or ready[1], "nothing moves; %d bytes unsent, %d received" % (len(unsent), len(got)))
                try:
                    while True:
                        data = c.sock.recv(65536)
                        self.assertTrue(data, "closed after %d bytes" % len(got))
                        got += data
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            self.assertEqual(got.count(b"HTTP/1.1 "), n)


class Mutual(Server):
    """Clients need a certificate."""
    extra = ", client_ca_file: %s/ca.pem, max_version: '1.2', " \
            "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384], curve_preferences: [X25519MLKEM768, P384, P256]"

    @classmethod
    def setUpClass(cls):
        cls.extra = cls.extra % DIR.name
        super().setUpClass()

    def test_with_certificate(self):
        with GrpcClient(self.grpc, tls=PKI.client("ca", "client")) as c:
            self.assertEqual(c.sock.version(), "TLSv1.2")
            self.assertEqual(c.sock.cipher()[0], "ECDHE-ECDSA-AES256-GCM-SHA384")
            self.assertEqual(c.export(request(1)).code, 0)

    def test_without_certificate(self):
        self.assert_refused(PKI.client("ca"))

    def test_certificate_of_somebody_else(self):
        self.assert_refused(PKI.client("ca", "stranger"))

    def test_expired_certificate(self):
        self.assert_refused(PKI.client("ca", "expired"))

    def test_only_newer_versions(self):
        self.assert_refused(PKI.client("ca", "client", minimum=ssl.TLSVersion.TLSv1_3))


class Mutual13(Server):
    """TLS 1.3 tells a client only after its side of the handshake is over."""
    extra = ", client_ca_file: %s/ca.pem, min_version: '1.3'"

    @classmethod
    def setUpClass(cls):
        cls.extra = cls.extra % DIR.name
        super().setUpClass()

    def test_with_and_without(self):
        with GrpcClient(self.grpc, tls=PKI.client("ca", "client")) as c:
            self.assertEqual(c.export(request(1)).code, 0)
        self.assert_refused(PKI.client("ca"))
        line = self.d.wait_log("TLS connection failed")
        self.assertEqual(line["error"], "tls: client didn't provide a certificate")


class Rotation(unittest.TestCase):
    def copy(self, name, to):
        for end in (".pem", ".key"):
            shutil.copy(PKI.path(name + end), PKI.path(to + end + ".new"))
            os.rename(PKI.path(to + end + ".new"), PKI.path(to + end))

    def serial(self, port):
        with connect(port, tls=PKI.client("ca")) as s:
            return s.getpeercert()["serialNumber"]

    def test_server_certificate(self):
        PKI.leaf("first", "ca")
        PKI.leaf("second", "ca")
        self.copy("first", "live")
        text = SERVER % {"dir": DIR.name, "extra": ", reload_interval: 10ms"}
        done, failed = ('tailrace_receiver_tls_reloads{receiver="otlp",result="%s",transport="grpc"}' % r
                        for r in ("done", "failed"))
        with Daemon(text.replace("/server.", "/live.")).wait_ready() as d:
            port = d.port("Starting GRPC server")
            with GrpcClient(port, tls=PKI.client("ca")) as old:
                self.assertEqual(old.export(request(1)).code, 0)
                first = self.serial(port)
                self.copy("second", "live")
                wait_for(lambda: self.serial(port) != first, "the new certificate")
                self.assertEqual(old.export(request(1)).code, 0)  # its connection lives on
                second = self.serial(port)
                with open(PKI.path("live.pem"), "w", encoding="ascii") as f:
                    f.write("-----BEGIN CERTIFICATE-----\nhalf")
                d.wait_metric(done, 1)
                wait_for(lambda: self.serial(port) == second and d.metrics().get(failed, 0) > 1, "failed reloads")
                self.assertEqual(d.log().count("Failed to reload TLS files"), 1)
                shutil.copy(PKI.path("first.pem"), PKI.path("live.pem"))  # the key is still the second's
                wait_for(lambda: self.serial(port) == second and "private key does not match" in d.log(), "a mismatch")
                shutil.copy(PKI.path("first.key"), PKI.path("live.key"))
                wait_for(lambda: self.serial(port) == first, "the first certificate again")
            self.assertEqual(d.stop(), 0)

    def test_client_authorities(self):
        shutil.copy(PKI.path("ca.pem"), PKI.path("clients.pem"))
        extra = ", client_ca_file: %s/clients.pem, client_ca_file_reload: true" % DIR.name
        with Daemon(SERVER % {"dir": DIR.name, "extra": extra}).wait_ready() as d:
            port = d.port("Starting GRPC server")

            def works(leaf):
                try:
                    with GrpcClient(port, tls=PKI.client("ca", leaf)) as c:
                        return c.export(request(1)).code == 0
                except (OSError, AssertionError):
                    return False
            self.assertTrue(works("client"))
            self.assertFalse(works("stranger"))
            with open(PKI.path("clients.pem"), "w", encoding="ascii") as f:
                f.write("nonsense")
            wait_for(lambda: works("client") and d.find("Failed to reload TLS files, the old ones stay in use"), "a failed reload")
            shutil.copy(PKI.path("other.pem"), PKI.path("clients.pem"))
            wait_for(lambda: works("stranger"), "the new authority")
            self.assertFalse(works("client"))
            self.assertEqual(d.stop(), 0)


class Files(unittest.TestCase):
    """What cannot be used ends the start with one line."""

    def start_fails(self, text, *needles):
        with Daemon(text) as d:
            self.assertNotEqual(d.wait_exit(), 0)
            for needle in needles:
                self.assertIn(needle, d.log())

    def test_missing_and_mismatching(self):
        text = SERVER % {"dir": DIR.name, "extra": ""}
        self.start_fails(text.replace("server.pem", "nosuch.pem"),
                         "failed to load TLS config", "nosuch.pem: no such file or directory")
        self.start_fails(text.replace("server.key", "client.key"), "private key does not match public key")
        self.start_fails(text.replace("server.pem", "server.key"), "failed to find any PEM data in certificate input")
        self.start_fails(SERVER % {"dir": DIR.name, "extra": ", client_ca_file: %s/server.key" % DIR.name}, "failed to parse cert")

    def test_secrets_stay_secret(self):
        with open(PKI.path("server.key"), encoding="ascii") as f:
            key = f.read()
        with open(PKI.path("server.pem"), encoding="ascii") as f:
            cert = f.read()
        text = (SERVER % {"dir": DIR.name, "extra": ""}).replace("key_file: %s/server.key" % DIR.name, 'key_pem: "%s"' % key.replace("\n", "\\n"))
        text = text.replace("cert_file: %s/server.pem" % DIR.name, 'cert_pem: "%s"' % cert.replace("\n", "\\n"))
        path = PKI.path("inline.yaml")
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        out = subprocess.run([BINARY, "print-config", "--config", path], capture_output=True, text=True, check=False)
        self.assertEqual(out.returncode, 0, out.stderr)
        self.assertIn("REDACTED", out.stdout)
        self.assertNotIn(key.split("\n")[1], out.stdout + out.stderr)
        with Daemon(text).wait_ready() as d:
            with GrpcClient(d.port("Starting GRPC server"), tls=PKI.client("ca")) as c:
                self.assertEqual(c.export(request(1)).code, 0)
            self.assertEqual(d.stop(), 0)
            self.assertNotIn(key.split("\n")[1], d.log())


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    got = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Backend.got.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Exporters(unittest.TestCase):
    def send(self, exporter, spans=3, size=100):
        """A daemon with that exporter, and one request sent into it."""
        name = exporter.split(":")[0]
        d = Daemon(CLIENT % (exporter, name)).wait_ready()
        with HttpClient(d.port("Starting HTTP server")) as c:
            self.assertEqual(c.request(body=request(spans, size=size)).status, 200)
        return d

    def delivers(self, exporter, spans=3, size=100):
        with self.send(exporter, spans, size) as d:
            d.wait_metric(EXPORTED, spans)
            self.assertEqual(d.stop(), 0)

    def fails(self, exporter, *needles):
        with self.send(exporter) as d:
            wait_for(lambda: all(n in d.log() for n in needles), lambda: "%s in:\n%s" % (needles, d.log()))
            self.assertEqual(d.metrics().get(EXPORTED, 0), 0)
            d.signal()
            d.wait_exit()

    def grpc(self, port, tls, scheme="", host="localhost"):
        return "otlp_grpc: {endpoint: '%s%s:%d', compression: none, tls: {%s}, retry_on_failure: {initial_interval: 10ms}}" % (scheme, host, port, tls)

    def test_grpc(self):
        ca = "ca_file: %s/ca.pem" % DIR.name
        with Daemon(SERVER % {"dir": DIR.name, "extra": ""}).wait_ready() as backend:
            port = backend.port("Starting GRPC server")
            self.delivers(self.grpc(port, ca))
            self.delivers(self.grpc(port, ca + ", insecure: true"))  # a ca_file means TLS
            self.delivers(self.grpc(port, "insecure: true, insecure_skip_verify: true", "https://"))
            self.delivers(self.grpc(port, ca, host="127.0.0.1"), spans=800, size=4000)
            self.delivers(self.grpc(port, ca + ", server_name_override: localhost", host="127.0.0.1"))
            self.fails(self.grpc(port, "ca_file: %s/other.pem" % DIR.name), "certificate signed by unknown authority")
            self.fails(self.grpc(port, ""), "certificate signed by unknown authority")
            self.fails(self.grpc(port, ca + ", server_name_override: elsewhere"), "certificate is not valid for elsewhere")
            self.fails(self.grpc(port, "insecure: true"), "Exporting failed")
            self.assertEqual(backend.stop(), 0)

    def test_grpc_mutual(self):
        extra = ", client_ca_file: %s/ca.pem" % DIR.name
        with Daemon(SERVER % {"dir": DIR.name, "extra": extra}).wait_ready() as backend:
            port = backend.port("Starting GRPC server")
            both = "ca_file: {0}/ca.pem, cert_file: {0}/client.pem, key_file: {0}/client.key".format(DIR.name)
            self.delivers(self.grpc(port, both))
            self.fails(self.grpc(port, "ca_file: %s/ca.pem" % DIR.name), "Exporting failed")
            self.assertEqual(backend.stop(), 0)

    def serve(self, leaf, ca=None, alpn=()):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
        server.socket = PKI.server(leaf, ca, alpn).wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *args: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def http(self, port, tls):
        return "otlp_http: {endpoint: 'https://localhost:%d', compression: none, tls: {%s}, " \
               "retry_on_failure: {initial_interval: 10ms}}" % (port, tls)

    def test_http(self):
        ca = "ca_file: %s/ca.pem" % DIR.name
        port = self.serve("server", alpn=("http/1.1",))
        Backend.got.clear()
        self.delivers(self.http(port, ca), spans=1000, size=5000)
        path, body = Backend.got[-1]
        self.assertEqual(path, "/v1/traces")
        self.assertEqual(len(parse(body)[1]), 1)
        self.delivers(self.http(port, "insecure_skip_verify: true"))
        self.fails(self.http(port, "ca_file: %s/other.pem" % DIR.name), "certificate signed by unknown authority")

    def test_http_wrong_certificates(self):
        ca = "ca_file: %s/ca.pem" % DIR.name
        self.fails(self.http(self.serve("expired"), ca), "certificate has expired or is not yet valid")
        self.fails(self.http(self.serve("wrongname"), ca), "certificate is not valid for localhost")

    def test_http_mutual(self):
        port = self.serve("server", ca="ca")
        both = "ca_file: {0}/ca.pem, cert_file: {0}/client.pem, key_file: {0}/client.key".format(DIR.name)
        self.delivers(self.http(port, both))
        self.fails(self.http(port, "ca_file: %s/ca.pem" % DIR.name), "Exporting failed")

    def test_rotated_files(self):
        """The exporter's own certificate and the authority it trusts are swapped under it, as a mounted secret is: what waited
        is delivered, nothing is restarted; a half-written file changes nothing."""
        def put(name, source):
            shutil.copy(PKI.path(source), PKI.path("own" + name + ".new"))
            os.rename(PKI.path("own" + name + ".new"), PKI.path("own" + name))

        def put_all(leaf, ca):
            put(".pem", leaf + ".pem")
            put(".key", leaf + ".key")
            put("-ca.pem", ca + ".pem")
        files = "ca_file: {0}/own-ca.pem, cert_file: {0}/own.pem, key_file: {0}/own.key, reload_interval: 10ms".format(DIR.name)
        retry = "initial_interval: 10ms, max_interval: 50ms"
        for exporter in (self.http(self.serve("server", ca="other"), files).replace("initial_interval: 10ms", retry),
                         "otlp_grpc"):
            put_all("client", "other")  # wrong both: who the backend is, and who we are to be
            with contextlib.ExitStack() as stack:
                if exporter == "otlp_grpc":
                    backend = stack.enter_context(Daemon(SERVER % {"dir": DIR.name, "extra": ", client_ca_file: %s/other.pem" % DIR.name}))
                    exporter = self.grpc(backend.wait_ready().port("Starting GRPC server"), files).replace("initial_interval: 10ms", retry)
                with self.subTest(exporter), self.send(exporter) as d:
                    wait_for(lambda: "certificate signed by unknown authority" in d.log(), d.log)
                    put_all("client", "ca")
                    wait_for(lambda: d.log().count("Exporting failed") > 3, d.log)
                    with open(PKI.path("own.pem"), "w", encoding="ascii") as f:
                        f.write("-----BEGIN CERTIFICATE-----\nhalf")
                    wait_for(lambda: "Failed to reload TLS files" in d.log(), d.log)
                    self.assertEqual(d.metrics().get(EXPORTED, 0), 0)
                    put_all("stranger", "ca")
                    d.wait_metric(EXPORTED, 3)
                    self.assertEqual(d.stop(), 0)

    def test_grpc_server_without_http2(self):
        port = self.serve("server")
        self.fails(self.grpc(port, "ca_file: %s/ca.pem" % DIR.name), "did not agree on HTTP/2")

    def test_a_silent_server_costs_only_its_timeout(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            text = self.http(s.getsockname()[1], "").replace("compression", "timeout: 200ms, compression")
            began = time.monotonic()
            with self.send(text) as d:
                d.wait_log("Exporting failed. Will retry the request after interval.")
                self.assertGreater(time.monotonic() - began, 0.1)
                d.signal()
                d.signal()
                d.wait_exit()


if __name__ == "__main__":
    unittest.main()
