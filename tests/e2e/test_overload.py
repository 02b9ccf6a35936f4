# SPDX-License-Identifier: Apache-2.0
"""Overload: the ceiling that `tailrace validate` prints holds, and a good client hardly notices.

All of the attacks that hurt the Collector at once against a daemon with a small budget; then a backend
slower than its clients. What is measured is the peak of the whole process (VmHWM), not its own books.
"""
import gzip
import os
import re
import resource
import socket
import struct
import subprocess
import threading
import time
import unittest

from otlp_client import EXPORT, GrpcClient, HttpClient, field, frame, request
from otlp_http import Backend
from tailrace import BINARY, Daemon, wait_for

SANITIZED = os.environ.get("TAILRACE_KIND") == "sanitized"
ATTACK_S = 6
REFUSED_STREAM = 7  # UNAVAILABLE to every gRPC client
RECEIVER = "otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 32}, http: {endpoint: '127.0.0.1:0'}}}"
CONFIG = """
receivers: {%s}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 64}, batch: {timeout: 50ms}}
exporters: {nop: }
service: {pipelines: {traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [nop]}}}
""" % RECEIVER
UNITS = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}


def ceiling_mib(path, workers):
    """What `tailrace validate` says the process takes at most."""
    out = subprocess.run([BINARY, "validate", "--config", path, "--workers", str(workers)], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, check=True, timeout=60).stdout.decode()
    number, unit = re.search(r"([0-9.]+) (KiB|MiB|GiB)  in all", out).groups()
    return float(number) * UNITS[unit]


def peak_mib(d):
    with open("/proc/%d/status" % d.process.pid, encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s*(\d+)", f.read()).group(1)) / 1024


def empty_spans(n):
    return field(1, field(2, b"\x12\x00" * n))


def zstd_bomb(size):
    """A frame of run-length blocks: 4 bytes for each 128 KiB. 0x12 again and again is unknown fields: valid, nothing in it."""
    block = 128 << 10
    n = size // block
    blocks = b"".join(struct.pack("<I", block << 3 | 1 << 1 | (i == n - 1))[:3] + b"\x12" for i in range(n))
    return b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x58" + blocks  # window of 2 MiB, no content size


def grpc_opening(length):
    """A connection's first bytes by hand: one call whose message of `length` bytes never comes."""
    block = b"\x83\x86\x04" + bytes([len(EXPORT)]) + EXPORT.encode() + b"\x01\x01x\x0f\x10\x10application/grpc"
    head = struct.pack(">I", len(block))[1:] + b"\x01\x04\0\0\0\1" + block
    body = struct.pack(">BI", 0, length) + b"x" * 100
    return (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + head +
            struct.pack(">I", len(body))[1:] + b"\0\0\0\0\0\1" + body)


class Tally:
    """Answers by kind, from many threads."""

    def __init__(self):
        self.lock, self.counts, self.odd = threading.Lock(), {}, []

    def add(self, kind):
        with self.lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1


class Attack:
    """Threads that run a function again and again until the end of the attack."""

    def __init__(self):
        self.stopping, self.threads, self.answers = threading.Event(), [], Tally()

    def start(self, n, once):
        def loop():
            while not self.stopping.is_set():
                try:
                    self.answers.add(once())
                except OSError as e:
                    self.answers.add("lost %s" % type(e).__name__)
        for _ in range(n):
            self.threads.append(threading.Thread(target=loop, daemon=True))
            self.threads[-1].start()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)


class Ceiling(unittest.TestCase):
    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.d = Daemon(CONFIG, ["--workers", "2"]).wait_ready()
        self.addCleanup(self.d.__exit__)
        self.ceiling_mib = ceiling_mib(self.d.path, 2)
        self.grpc = self.d.port("Starting GRPC server")
        self.http = self.d.port("Starting HTTP server")
        self.good, self.bad_words, self.stopping = Tally(), [], threading.Event()
        self.client = threading.Thread(target=self.good_client, daemon=True)

    # ---- who attacks ----

    def grpc_bomb(self, body, encoding):
        with GrpcClient(self.grpc) as c:
            try:
                r = c.export(body, 1, [("grpc-encoding", encoding)])
            except AssertionError:
                if not c.closed:
                    raise
                return "turned away"
            return "grpc %s" % (14 if r.reset == REFUSED_STREAM else r.code)

    def http_body(self, body, headers=None, content_type="application/x-protobuf"):
        with HttpClient(self.http) as c:
            try:
                r = c.request(body=body, headers=headers, content_type=content_type)
            except OSError:  # refused by its length: the answer was there before all of it was sent
                return "http cut short"
            return "http %s" % r.status if r else "turned away"

    def hoard(self, n):
        """Half-sent bodies of 4 MiB each on n connections."""
        opening, held = grpc_opening(4 << 20), []
        for i in range(n):
            try:
                s = socket.create_connection(("127.0.0.1", self.http if i % 2 else self.grpc), 10)
                s.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
                          b"Content-Length: 4194304\r\n\r\n" + b"x" * 100 if i % 2 else opening)
                held.append(s)
            except OSError:
                pass  # turned away
        return held

    def never_reads(self):
        """Thousands of requests on one connection, no answer read."""
        s = socket.create_connection(("127.0.0.1", self.http), 10)
        s.settimeout(0.2)
        one = (b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}") * 200
        with s:
            try:
                while not self.stopping.is_set():
                    s.sendall(one)
            except OSError:
                self.stopping.wait(1)
        return "not read"

    # ---- who does not ----

    def good_client(self):
        while not self.stopping.is_set():
            try:
                with GrpcClient(self.grpc) as c:
                    for _ in range(20):
                        r = c.export(request(5))
                        self.good.add(14 if r.reset == REFUSED_STREAM else r.code)
                        if r.code != 0:
                            self.bad_words.append((r.code, r.text))
                        if self.stopping.wait(0.002):
                            return
            except (OSError, AssertionError) as e:
                self.good.add("lost")
                self.bad_words.append(repr(e))

    def test_everything_at_once(self):
        """Scenario: bombs, hoarders, giants and slow readers together, beside one good client. Guarantees: the process
        stays under the printed ceiling, what is refused may be sent again, the good client is served, and afterwards
        nothing is held."""
        gzip_bomb = gzip.compress(empty_spans(4000000), 9)
        zstd, giant = zstd_bomb(30 << 20), empty_spans(10 * 1000 * 1000)
        self.client.start()
        hoarders = self.hoard(2000)
        self.assertGreater(len(hoarders), 1500)
        attack = Attack()
        attack.start(20, lambda: self.grpc_bomb(gzip_bomb, "gzip"))
        attack.start(2, lambda: self.grpc_bomb(zstd, "zstd"))
        attack.start(2, lambda: self.http_body(zstd_bomb(15 << 20), {"Content-Encoding": "zstd"}))
        attack.start(2, lambda: self.http_body(giant))
        attack.start(1, self.never_reads)
        time.sleep(ATTACK_S)  # how long the attack lasts at least
        wait_for(lambda: sum(self.good.counts.values()) > (20 if SANITIZED else 60), "the good client to have tried", 240)
        attack.stop()
        self.stopping.set()
        self.client.join(60)
        for s in hoarders:
            s.close()
        # Empty spans have no ids: a partial success, or refused for lack of memory and welcome again. What lies about fills the
        # share of connections: new ones are turned away, silent ones closed.
        self.assertLessEqual(set(attack.answers.counts), {"grpc 0", "grpc 8", "grpc 14", "http 200", "http 429", "http 503",
                                                          "http cut short", "not read", "turned away", "lost BrokenPipeError",
                                                          "lost ConnectionResetError"},
                             attack.answers.counts)
        done, all_of_it = self.good.counts.get(0, 0), sum(self.good.counts.values())
        self.assertLessEqual(set(self.good.counts), {0, 8, 14}, self.bad_words[:5])
        # What is small finds room: whoever only takes up room makes way, a tick later. All of it on a machine with a core to
        # run on; where nobody gets to run, refusals between two ticks weigh more.
        self.assertGreater(done, 0.7 * all_of_it, (self.good.counts, self.bad_words[:5]))
        if not SANITIZED:
            self.assertLessEqual(peak_mib(self.d), self.ceiling_mib)
        self.returns_to_nothing()
        self.assertEqual(self.d.stop(), 0, self.d.log()[-3000:])

    def returns_to_nothing(self):
        owners = ["body", "index", "output", "conn"]

        def held():
            page = self.d.metrics()
            return {o: page.get('tailrace_memory_used_bytes{owner="%s"}' % o, 0) for o in owners}
        wait_for(lambda: sum(held().values()) < 64 << 10, lambda: "nothing to be held: %s" % held())
        wait_for(lambda: self.d.ledger()["held"] == 0, "the books to say so too")


class SlowBackend(unittest.TestCase):
    """Clients offer more than the backend takes."""

    def overload(self, processors, names, queue):
        slow = threading.Event()  # set: the backend is quick again

        def answer(_):
            slow.wait(0.2)
            return 200
        with Backend(answer) as backend:
            plan = """
receivers: {%s}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 32}%s}
exporters: {otlp_http: {endpoint: '%s', sending_queue: {%s}}}
service: {pipelines: {traces: {receivers: [otlp], processors: [%s], exporters: [otlp_http]}}}
""" % (RECEIVER, processors, backend.url, queue, names)
            with Daemon(plan, ["--workers", "2"]) as d:
                d.wait_ready()
                ceiling = ceiling_mib(d.path, 2)
                codes, acknowledged = self.send_for(d, 3)
                if not SANITIZED:
                    self.assertLessEqual(peak_mib(d), ceiling)
                self.assertLessEqual(set(codes), {0, 8, 14}, codes)
                slow.set()
                port = d.port("Starting GRPC server")
                wait_for(lambda: export_one(port) == 0, "a request to be taken again")
                wait_for(lambda: d.ledger()["held"] == 0, lambda: "everything to be sent: %s" % d.ledger())
                books = d.ledger()
                returned = books["dropped"].get("returned", 0)
                counted = sum(books["dropped"].values()) - returned
                self.assertEqual(books["exported"], backend.count())
                self.assertGreaterEqual(books["exported"] + counted, acknowledged)
                self.assertEqual(d.stop(), 0, d.log()[-3000:])
                return codes, books

    def send_for(self, d, seconds):
        """Clients without a pause on both ports, and bombs. (answers by gRPC code, spans acknowledged); each page meanwhile
        balances."""
        port, http, attack, spans = d.port("Starting GRPC server"), d.port("Starting HTTP server"), Attack(), 50
        body, bomb, bombs = request(spans, 2000), gzip.compress(empty_spans(1000000), 9), Attack()
        meaning = {200: 0, 429: 8, 503: 14}

        def once():
            with GrpcClient(port) as c:
                for _ in range(20):
                    r = c.export(body)
                    attack.answers.add(14 if r.reset == REFUSED_STREAM else r.code)
            return "connection"

        def once_http():
            with HttpClient(http) as c:
                for _ in range(20):
                    r = c.request(body=body)
                    attack.answers.add(meaning.get(r.status, r.status))
                    if r.status != 200 and not r.headers.get("retry-after"):
                        attack.answers.add("no Retry-After")
            return "connection"

        def explode():
            with GrpcClient(port) as c:
                r = c.export(bomb, 1, [("grpc-encoding", "gzip")])
                return 14 if r.reset == REFUSED_STREAM else r.code
        attack.start(2, once)
        attack.start(2, once_http)
        bombs.start(1, explode)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            d.ledger()
        attack.stop()
        bombs.stop()
        self.assertLessEqual(set(bombs.answers.counts), {0, 8, 14})
        codes = dict(attack.answers.counts)
        codes.pop("connection", None)
        return codes, codes.get(0, 0) * spans

    def test_queue_alone(self):
        """Guarantees: a full queue is told to the client; what was acknowledged arrives, all of it."""
        codes, books = self.overload("", "memory_limiter", "queue_size: 50, num_consumers: 2")
        self.assertGreater(codes.get(14, 0) + codes.get(8, 0), 0, codes)
        self.assertEqual(set(k for k, v in books["dropped"].items() if v) - {"returned"}, set())

    def test_behind_batch(self):
        """Guarantees: with a queue that has room for bytes, memory is the bound and clients are told."""
        codes, books = self.overload(", batch: {timeout: 50ms, send_batch_size: 500}", "memory_limiter, batch",
                                     "queue_size: 100000, num_consumers: 2")
        self.assertGreater(codes.get(14, 0) + codes.get(8, 0), 0, codes)
        self.assertEqual(set(k for k, v in books["dropped"].items() if v) - {"returned"}, set())

    def test_behind_batch_with_a_short_queue(self):
        """Guarantees: `batch` sends nothing to a full queue; clients are refused at the door, nothing acknowledged is lost."""
        codes, books = self.overload(", batch: {timeout: 50ms, send_batch_size: 500}", "memory_limiter, batch",
                                     "queue_size: 5, num_consumers: 2")
        self.assertGreater(codes.get(14, 0) + codes.get(8, 0), 0, codes)
        self.assertEqual(set(k for k, v in books["dropped"].items() if v) - {"returned"}, set())


    def test_one_of_two_backends_is_gone(self):
        """Guarantees: the other one still gets everything and clients notice nothing; with block_on_overflow they wait for both."""
        for block, refused in (("false", False), ("true", True)):
            with Backend(lambda _: 200) as alive, Backend(lambda _: 503) as gone:
                plan = """
receivers: {%s}
processors: {batch: {timeout: 10ms, send_batch_size: 50}}
exporters:
  otlp_http: {endpoint: '%s'}
  otlp_http/gone: {endpoint: '%s', sending_queue: {queue_size: 3, num_consumers: 1, block_on_overflow: %s},
                   retry_on_failure: {initial_interval: 60s}}
service: {pipelines: {traces: {receivers: [otlp], processors: [batch], exporters: [otlp_http, otlp_http/gone]}}}
""" % (RECEIVER, alive.url, gone.url, block)
                with Daemon(plan, ["--workers", "1", "--shutdown-timeout", "1s"]) as d:
                    d.wait_ready()
                    with GrpcClient(d.port("Starting GRPC server")) as c:
                        codes = [c.export(request(50)).code for _ in range(20)]
                    acknowledged = 50 * codes.count(0)
                    self.assertEqual(set(codes) - {8}, {0, 14} if refused else {0})
                    wait_for(lambda: alive.count() == acknowledged - (50 if refused else 0) or alive.count() == acknowledged,
                             lambda: "the other backend to have all: %d of %d" % (alive.count(), acknowledged))
                    full = d.metrics().get('tailrace_receiver_refused_requests{reason="queue_full",receiver="otlp",transport="grpc"}', 0)
                    self.assertEqual(full > 0, refused)
                    if not refused:
                        wait_for(lambda: d.ledger()["dropped"].get("queue_full", 0) > 0, "the full queue to drop")


def export_one(port):
    with GrpcClient(port) as c:
        return c.export(request(5)).code


if __name__ == "__main__":
    unittest.main()
