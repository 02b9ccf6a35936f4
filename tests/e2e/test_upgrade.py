# SPDX-License-Identifier: Apache-2.0
"""Sockets from the supervisor, a successor in place, and what the supervisor hears."""
import os
import signal
import socket
import tempfile
import unittest

from otlp_http import Backend, Load, send
from tailrace import Daemon, wait_for

CONFIG = """
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:%d'}}}}
exporters: {otlp_http: {endpoint: '%s', compression: none}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}}
"""
READY = "Everything is ready. Begin running and processing data."


class Upgrading(Daemon):
    """The successors write to the same log; the last one is ended here."""
    successor = None

    def count(self, message):
        with self.lock:
            return sum(line.get("msg") == message for line in self.lines)

    def rewrite(self, config):
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(config)

    def wait_count(self, message, n):
        wait_for(lambda: self.count(message) >= n, lambda: "%d times %r in:\n%s" % (n, message, self.log()))

    def upgrade(self):
        """SIGUSR2, until the old process has ended and the new one runs. Its exit status."""
        n = self.count(READY)
        self.signal(signal.SIGUSR2)
        self.successor = self.wait_log("Started a successor")["process"]
        self.wait_count(READY, n + 1)
        return self.process.wait(60)

    def alive(self):
        try:
            with open("/proc/%d/stat" % self.successor, encoding="ascii") as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def stop_successor(self):
        os.kill(self.successor, signal.SIGTERM)
        wait_for(lambda: not self.alive(), lambda: "the end of the successor:\n" + self.log())
        self.successor = None

    def __exit__(self, *exc):
        if self.successor and self.alive():
            os.kill(self.successor, signal.SIGKILL)
        super().__exit__(*exc)


class InPlace(unittest.TestCase):
    def test_no_request_fails(self):
        for workers in ("1", "2"):
            with Backend() as backend, Upgrading(CONFIG % (0, backend.url), ["--workers", workers]) as d:
                d.wait_ready()
                port = d.port("Starting HTTP server")
                d.rewrite(CONFIG % (port, backend.url))
                load = [Load(port, 1), Load(port, 2, keep=False), Load(port, 3, keep=False)]
                for one in load:
                    one.start()
                self.assertEqual(d.upgrade(), 0, d.log())
                after = backend.count()
                wait_for(lambda: backend.count() > after + 100, "spans through the successor")
                for one in load:
                    one.stop()
                self.assertEqual([one.failures for one in load], [[]] * 3)
                d.stop_successor()
                got = {trace for one in load for trace in one.acknowledged}
                self.assertEqual(got, {trace for trace, _ in backend.ids})
                d.wait_count("Span ledger", 2)  # what the reader of the log has seen may be a little behind

    def test_a_successor_that_cannot_start(self):
        with Backend() as backend, Upgrading(CONFIG % (0, backend.url)) as d:
            d.wait_ready()
            port = d.port("Starting HTTP server")
            d.rewrite("receivers: [")
            d.signal(signal.SIGUSR2)
            line = d.wait_log("The successor has ended; this process goes on")
            self.assertEqual(line["status"], 1)
            self.assertEqual(send(port, 1, 3), 200)
            wait_for(lambda: backend.count() == 3, "the spans")
            d.rewrite(CONFIG % (port, backend.url))
            self.assertEqual(d.upgrade(), 0, d.log())
            self.assertEqual(send(port, 10, 3), 200)
            wait_for(lambda: backend.count() == 6, "the spans of the successor")
            d.successor = [line["process"] for line in d.lines if line.get("msg") == "Started a successor"][-1]
            d.stop_successor()

    def test_unix_socket_stays(self):
        with Backend() as backend, tempfile.TemporaryDirectory() as there:
            path = there + "/otlp.sock"
            config = CONFIG.replace("'127.0.0.1:%d'", "%s, transport: unix")
            with Upgrading(config % (path, backend.url)) as d:
                d.wait_ready()
                self.assertEqual(d.upgrade(), 0, d.log())
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(60)
                    s.connect(path)
                    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 "))


class Supervisor(unittest.TestCase):
    def activated(self, listening, config):
        """As systemd starts a service with a socket: descriptor 3, LISTEN_FDS, LISTEN_PID."""
        return Upgrading(config, prefix=["/bin/sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&%d' % listening.fileno(), "sh"],
                         pass_fds=(listening.fileno(),))

    def test_socket_activation(self):
        with Backend() as backend, socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            early = socket.create_connection(("127.0.0.1", port), 60)  # waits in the backlog
            early.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            with self.activated(s, CONFIG % (port, backend.url)) as d:
                self.assertEqual(d.wait_log("Took over listening sockets")["sockets"], 1)
                d.wait_ready()
                self.assertTrue(early.recv(100).startswith(b"HTTP/1.1 404 "))
                early.close()
                self.assertEqual(send(port, 1, 2), 200)
                wait_for(lambda: backend.count() == 2, "the spans")
                self.assertEqual(d.stop(), 0, d.log())
            s.settimeout(0)  # the socket is still the supervisor's, nobody closed its backlog
            late = socket.create_connection(("127.0.0.1", port), 60)
            wait_for(lambda: accepts(s), "the supervisor's own accept")
            late.close()

    def test_a_socket_nobody_asked_for(self):
        with Backend() as backend, socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            with self.activated(s, CONFIG % (0, backend.url)) as d:
                line = d.wait_log("A socket was handed to this process that nothing listens on")
                self.assertEqual(line["address"], "127.0.0.1:%d" % s.getsockname()[1])
                self.assertEqual(send(d.port("Starting HTTP server"), 1, 2), 200)
                self.assertEqual(d.stop(), 0, d.log())

    def test_what_the_supervisor_hears(self):
        with Backend() as backend, tempfile.TemporaryDirectory() as there, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(there + "/notify")
            s.settimeout(60)
            with Upgrading(CONFIG % (0, backend.url), env={"NOTIFY_SOCKET": there + "/notify"}) as d:
                self.assertEqual(s.recv(1000).decode(), "READY=1\nMAINPID=%d" % d.process.pid)
                d.signal(signal.SIGHUP)
                self.assertTrue(s.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC="))
                self.assertEqual(s.recv(1000), b"READY=1")
                self.assertEqual(d.upgrade(), 0, d.log())
                heard = {s.recv(1000).decode(), s.recv(1000).decode()}
                self.assertEqual(heard, {"STOPPING=1", "READY=1\nMAINPID=%d" % d.successor})


def accepts(listening):
    try:
        listening.accept()[0].close()
        return True
    except BlockingIOError:
        return False


if __name__ == "__main__":
    unittest.main()
