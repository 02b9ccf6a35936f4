# SPDX-License-Identifier: Apache-2.0
"""Hostile clients against the otlp receiver: memory stays bounded and good clients are served.

Each test is one way in which the Collector was seen to suffer: hoarded bodies, bombs, floods of
streams, connections and control frames, half-sent requests at shutdown.
"""
import gzip
import os
import resource
import socket
import struct
import threading
import time
import unittest

from otlp_client import EXPORT, GrpcClient, HttpClient, field, frame, request, span
from tailrace import Daemon, wait_for

LIMIT_MIB = 64
CONFIG = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 32}, http: {endpoint: '127.0.0.1:0'}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: %d}}
exporters: {nop: }
service: {pipelines: {traces: {receivers: [otlp], processors: [memory_limiter], exporters: [nop]}}}
""" % LIMIT_MIB
SANITIZED = os.environ.get("TAILRACE_KIND") == "sanitized"


def empty_spans(n):
    return field(1, field(2, b"\x12\x00" * n))


class GoodClient:
    """Exports small requests until stopped, on connections of its own."""

    def __init__(self, port):
        self.port, self.done, self.failed, self.slowest_s = port, 0, [], 0.0
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping:
            try:
                with GrpcClient(self.port) as c:
                    for _ in range(10):
                        start = time.monotonic()
                        r = c.export(request(5))
                        self.slowest_s = max(self.slowest_s, time.monotonic() - start)
                        if r.code == 0:
                            self.done += 1
                        else:
                            self.failed.append((r.code, r.text))
            except (OSError, AssertionError) as e:
                self.failed.append(repr(e))
            time.sleep(0.005)

    def stop(self):
        self.stopping = True
        self.thread.join(60)


class Hostile(unittest.TestCase):
    def setUp(self):
        self.d = Daemon(CONFIG, ["--workers", "2"]).wait_ready()
        self.addCleanup(self.d.__exit__)
        self.grpc = self.d.port("Starting GRPC server")
        self.http = self.d.port("Starting HTTP server")

    def peak_mib(self):
        with open("/proc/%d/status" % self.d.process.pid, encoding="ascii") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
        return 0

    def check_memory(self):
        if not SANITIZED:
            self.assertLess(self.peak_mib(), LIMIT_MIB * 1.15 + 16)

    def check_alive(self, codes=(0,)):
        def good():
            with GrpcClient(self.grpc) as c:
                return c.export(request(3)).code == 0
        wait_for(good, "a good request to be accepted")
        self.d.ledger()
        self.assertEqual(self.d.stop(), 0, self.d.log()[-3000:])

    # ---- bombs ----

    def send_many(self, n, send):
        errors = []

        def one():
            try:
                send()
            except (OSError, AssertionError) as e:
                errors.append(e)
        threads = [threading.Thread(target=one) for _ in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
        return errors

    def test_gzip_bombs_of_empty_spans(self):
        bomb = gzip.compress(empty_spans(4000000), 9)
        codes = []

        def send():
            with GrpcClient(self.grpc) as c:
                codes.append(c.export(bomb, 1, [("grpc-encoding", "gzip")]).code)
        good = GoodClient(self.grpc)
        self.assertEqual(self.send_many(20, send), [])
        good.stop()
        # Empty spans have no ids: accepted as a partial success, or refused for lack of memory.
        self.assertTrue(set(codes) <= {0, 8, 14}, codes)
        self.assertEqual(len(codes), 20)
        self.assertGreater(good.done, 0)
        self.check_memory()
        self.check_alive()

    def test_a_body_of_empty_spans(self):
        with HttpClient(self.http) as c:
            r = c.request(body=empty_spans(10 * 1000 * 1000))
            self.assertIn(r.status, (200, 503))
        self.check_memory()
        self.check_alive()

    def test_zip_bombs_do_not_hurt_others(self):
        bomb = gzip.compress(b"\0" * 60000000, 9)
        good = GoodClient(self.grpc)
        stop = time.monotonic() + 2

        def send():
            while time.monotonic() < stop:
                with GrpcClient(self.grpc) as c:
                    self.assertNotEqual(c.export(bomb, 1, [("grpc-encoding", "gzip")]).code, 0)
        self.send_many(8, send)
        good.stop()
        self.assertGreater(good.done, len(good.failed) * 4, good.failed[:5])
        self.check_memory()
        self.check_alive()

    def test_json_bomb(self):
        # Six million objects: as a tree of values they would need a gigabyte.
        bomb = b'{"resourceSpans":[' + b"{}," * 6000000 + b"{}]}"
        with HttpClient(self.http) as c:
            r = c.request(body=bomb, content_type="application/json")
            self.assertIn(r.status, (200, 503))
        deep = b'{"a":' * 1000000
        with HttpClient(self.http) as c:
            self.assertIn(c.request(body=deep, content_type="application/json").status, (400, 503))
        self.check_memory()
        self.check_alive()

    # ---- malformed data ----

    def test_bad_spans_do_not_spoil_good_ones(self):
        nested = field(1, b"x")
        for _ in range(200):
            nested = field(5, field(1, nested))
        deep = span(extra=field(9, field(1, b"k") + field(2, nested)))
        with GrpcClient(self.grpc) as bad, GrpcClient(self.grpc) as good:
            for _ in range(10):
                self.assertEqual(bad.export(request([deep])).code, 3)
                self.assertEqual(bad.export(request([span(trace_id=b"\0" * 16)])).code, 0)
                self.assertEqual(bad.export(request([span(name=b"\xff\xfe")])).code, 0)
                r = good.export(request(3))
                self.assertEqual((r.code, r.message), (0, b""))
        page = self.d.metrics()
        self.assertEqual(page['otelcol_receiver_accepted_spans{receiver="otlp",transport="grpc"}'], 40)
        self.assertEqual(page['tailrace_receiver_repaired_strings{receiver="otlp",transport="grpc"}'], 10)
        self.assertEqual(page['tailrace_receiver_rejected_spans{cause="trace_id",receiver="otlp",transport="grpc"}'], 10)
        self.check_alive()

    # ---- hoarding ----

    def test_half_sent_bodies(self):
        """Reservations for bodies that do not come go to those whose bodies do."""
        hoarders = []
        for _ in range(40):
            c = GrpcClient(self.grpc)
            hoarders.append(c)
            sid = c.headers()
            c.data(sid, struct.pack(">BI", 0, 8 << 20) + b"x" * 1000, end=False)
        good = GoodClient(self.grpc)
        wait_for(lambda: good.done >= 100, lambda: "good requests: %d, failed: %s" % (good.done, good.failed[-3:]))
        good.stop()
        for c in hoarders:
            c.close()
        with HttpClient(self.http) as c:
            big = request(10, 1000000)
            self.assertEqual(c.request(body=big).status, 200)
        self.check_memory()
        self.check_alive()

    def test_half_sent_http_bodies(self):
        hoarders = []
        for _ in range(40):
            c = HttpClient(self.http)
            hoarders.append(c)
            c.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n{")
        def accepted():
            with HttpClient(self.http) as c:
                return c.request(body=request(10, 900000)).status == 200
        wait_for(accepted, "a big good request")
        for c in hoarders:
            c.close()
        self.check_memory()
        self.check_alive()

    def test_many_open_streams(self):
        clients = []
        for _ in range(80):
            c = GrpcClient(self.grpc)
            clients.append(c)
            c.pump()
            for _ in range(min(250, c.h2.remote_settings.max_concurrent_streams)):
                sid = c.h2.get_next_available_stream_id()
                c.h2.send_headers(sid, [(":method", "POST"), (":scheme", "http"), (":path", EXPORT), (":authority", "x"),
                                        ("content-type", "application/grpc")])
            c.flush()
        good = GoodClient(self.grpc)
        wait_for(lambda: good.done >= 50, lambda: "good requests: %d, failed: %s" % (good.done, good.failed[-3:]))
        good.stop()
        for c in clients:
            c.close()
        self.check_memory()
        self.check_alive()

    def test_many_used_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        clients = []
        for _ in range(min(1500, min(hard, 4096) - 200)):
            c = HttpClient(self.http)
            clients.append(c)
            c.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
        good = GoodClient(self.grpc)
        wait_for(lambda: good.done >= 50, lambda: "good requests: %d, failed: %s" % (good.done, good.failed[-3:]))
        good.stop()
        for c in clients:
            c.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.check_memory()
        self.check_alive()

    def test_refusals_say_when_to_come_back(self):
        with GrpcClient(self.grpc) as hoarder, GrpcClient(self.grpc) as c, HttpClient(self.http) as h:
            first = hoarder.headers()
            stop = threading.Event()

            def trickle():  # fast enough not to be evicted
                hoarder.data(first, struct.pack(">BI", 0, 32 << 20), end=False)
                while not stop.wait(0.02):
                    hoarder.data(first, b"x" * 8192, end=False)
            t = threading.Thread(target=trickle)
            t.start()
            wait_for(lambda: self.d.metrics()['tailrace_memory_used_bytes{owner="body"}'] >= 32 << 20, "the reservation")

            def refused():
                sid = c.headers()
                c.data(sid, struct.pack(">BI", 0, 32 << 20), end=False)
                wait_for(lambda: c.replies[sid].ended or c.pump(0.5) or True, "a read")
                if not c.replies[sid].ended:
                    c.h2.reset_stream(sid, 8)
                    c.flush()
                    return None
                return c.replies[sid]
            r = wait_for(refused, "a refusal")
            self.assertEqual((r.code, r.text), (14, "data refused due to high memory usage"))
            self.assertEqual(r.details(), (14, "data refused due to high memory usage", 1.0))
            self.assertIn("google.rpc.retryinfo-bin", r.fields)
            bomb = b'{"resourceSpans":[' + b"{}," * 6000000 + b"{}]}"
            a = h.request(body=bomb, content_type="application/json")
            self.assertEqual((a.status, a.headers["retry-after"]), (503, "1"))
            self.assertIn(b"RetryInfo", a.body)
            stop.set()
            t.join()
        self.assertGreater(self.d.metrics()['tailrace_receiver_refused_requests{reason="memory",receiver="otlp",transport="grpc"}'], 0)
        self.check_alive()

    # ---- floods ----

    def raw(self):
        s = socket.create_connection(("127.0.0.1", self.grpc), 30)
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        return s

    def flood(self, one, times):
        """Sends it again and again; the server ends the connection, and lives."""
        good = GoodClient(self.grpc)
        with self.raw() as s:
            ended = False
            try:
                for _ in range(times):
                    s.sendall(one * 100)
                    s.setblocking(False)
                    try:
                        while True:
                            if not s.recv(65536):
                                ended = True
                                break
                    except BlockingIOError:
                        pass
                    s.setblocking(True)
                    if ended:
                        break
            except OSError:
                ended = True
            self.assertTrue(ended, "the flood was not stopped")
        wait_for(lambda: good.done >= 10, "good requests")
        good.stop()
        self.assertEqual(good.failed, [])
        self.check_memory()
        self.check_alive()

    def test_ping_flood(self):
        self.flood(b"\0\0\x08\x06\0\0\0\0\0" + b"x" * 8, 100000)

    def test_settings_flood(self):
        self.flood(b"\0\0\0\4\0\0\0\0\0", 100000)

    def test_priority_flood(self):
        self.flood(b"\0\0\x05\x02\0\0\0\0\x01" + b"\0\0\0\0\x10", 100000)

    def test_continuation_flood(self):
        with self.raw() as s:
            s.sendall(b"\0\0\1\1\0\0\0\0\1\x82")
            ended = False
            try:
                for _ in range(1000):
                    s.sendall(b"\0\x10\0\x09\0\0\0\0\1" + b"\0\1a\x7f\xf1\x1e" .ljust(4096, b"b"))
                s.settimeout(30)
                while s.recv(65536):
                    pass
                ended = True
            except ConnectionError:
                ended = True
            self.assertTrue(ended)
        self.check_memory()
        self.check_alive()

    def test_rapid_reset(self):
        good = GoodClient(self.grpc)
        with GrpcClient(self.grpc) as c:
            for _ in range(200):
                if c.closed:
                    break
                try:
                    for _ in range(100):
                        sid = c.h2.get_next_available_stream_id()
                        c.h2.send_headers(sid, [(":method", "POST"), (":scheme", "http"), (":path", EXPORT), (":authority", "x"),
                                                ("content-type", "application/grpc")])
                        c.h2.reset_stream(sid, 8)
                    c.flush()
                    c.pump(0.01)
                except Exception:  # the server has said goodbye
                    c.closed = True
            self.assertTrue(c.closed or c.goaway)
        wait_for(lambda: good.done >= 10, "good requests")
        good.stop()
        self.assertEqual(good.failed, [])
        self.check_memory()
        self.check_alive()

    def test_answers_nobody_reads(self):
        """A client that sends and never reads is stopped by its own full window."""
        path = (EXPORT + "X").encode()
        block = b"\x83\x86\x04" + bytes([len(path)]) + path + b"\x01\x01x\x0f\x10\x10application/grpc"
        head = struct.pack(">I", len(block))[1:] + b"\x01\x05"
        with self.raw() as s:
            s.settimeout(2)
            blocked, sid = False, 1
            while not blocked and sid < 2000000:
                batch = b"".join(head + struct.pack(">I", sid + 2 * i) + block for i in range(500))
                sid += 1000
                try:
                    s.sendall(batch)
                except socket.timeout:
                    blocked = True
            self.assertTrue(blocked)
            self.check_memory()
            with GrpcClient(self.grpc) as c:
                self.assertEqual(c.export(request(1)).code, 0)
            start = time.monotonic()
            self.assertEqual(self.d.stop(), 0)
            self.assertLess(time.monotonic() - start, 20)

    # ---- stopping ----

    def test_half_sent_bodies_do_not_delay_the_stop(self):
        with GrpcClient(self.grpc) as c, HttpClient(self.http) as h, GrpcClient(self.grpc) as idle:
            sid = c.headers()
            c.data(sid, struct.pack(">BI", 0, 1000) + b"x" * 10, end=False)
            h.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            self.assertEqual(idle.export(request(1)).code, 0)
            start = time.monotonic()
            self.d.signal()
            self.assertEqual(c.wait(sid).code, 14)
            self.assertEqual(h.reply().status, 503)  # to be sent again, elsewhere
            self.assertEqual(self.d.wait_exit(), 0)
            self.assertLess(time.monotonic() - start, 20)

    def test_half_sent_headers_do_not_delay_the_stop(self):
        with HttpClient(self.http) as h, self.raw() as s, self.raw() as silent:
            h.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nConte")
            s.sendall(b"\0\0\1\1\0\0\0\0\1\x83")
            with GrpcClient(self.grpc) as c:
                self.assertEqual(c.export(request(1)).code, 0)
            start = time.monotonic()
            self.assertEqual(self.d.stop(), 0)
            self.assertLess(time.monotonic() - start, 15)
            silent.close()

    def test_requests_in_flight_are_finished_at_the_stop(self):
        with GrpcClient(self.grpc) as c:
            sid = c.headers()
            whole = frame(request(5))
            c.data(sid, whole[:50], end=False)
            self.assertEqual(c.export(request(1)).code, 0)
            self.d.signal()
            wait_for(lambda: c.goaway or not c.pump(5), "goodbye")
            c.data(sid, whole[50:])
            self.assertEqual(c.wait(sid).code, 0)
            self.assertEqual(self.d.wait_exit(), 0)
            ledger = [line for line in self.d.lines if line.get("msg") == "Span ledger"]
            self.assertEqual(ledger[0]["accepted"], 6, ledger)


if __name__ == "__main__":
    unittest.main()
