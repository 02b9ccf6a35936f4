# SPDX-License-Identifier: Apache-2.0
"""Hoarders: clients that make the daemon keep something and never go on. What they make it keep is charged, so the
ceiling that `tailrace validate` prints holds; and they make way when others are short of memory.

Each hoard alone would be some 40 MiB, were it not charged; the limit is 16.
"""
import os
import re
import resource
import socket
import struct
import subprocess
import time
import unittest

from otlp_client import EXPORT, GrpcClient, HttpClient, request
from tailrace import BINARY, Daemon, wait_for

SANITIZED = os.environ.get("TAILRACE_KIND") == "sanitized"
CONFIG = """
receivers: {otlp: {protocols: {
  grpc: {endpoint: '127.0.0.1:0', include_metadata: %s}, http: {endpoint: '127.0.0.1:0', include_metadata: %s}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: %d}, batch: {timeout: 50ms}}
exporters: {nop: }
service: {pipelines: {traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [nop]}}}
"""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
CALL = b"\x83\x86\x04" + bytes([len(EXPORT)]) + EXPORT.encode() + b"\x01\x01x\x0f\x10\x10application/grpc"
UNITS = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}


def ceiling_mib(path):
    out = subprocess.run([BINARY, "validate", "--config", path, "--workers", "2"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, check=True, timeout=60).stdout.decode()
    number, unit = re.search(r"([0-9.]+) (KiB|MiB|GiB)  in all", out).groups()
    return float(number) * UNITS[unit]


def frame(kind, flags, stream, body):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def number(n, bits, first=0):
    """An integer of HPACK."""
    most = (1 << bits) - 1
    if n < most:
        return bytes([first | n])
    out, n = bytes([first | most]), n - most
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def header(name, value):
    return b"\0" + number(len(name), 7) + name + number(len(value), 7) + value


class Hoarders(unittest.TestCase):
    """What the tests share."""
    metadata, limit_mib = "false", 16

    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.held = []
        self.addCleanup(lambda: [s.close() for s in self.held])

    def start(self):
        self.d = Daemon(CONFIG % (self.metadata, self.metadata, self.limit_mib), ["--workers", "2"]).wait_ready()
        self.addCleanup(self.d.__exit__)
        self.ceiling = ceiling_mib(self.d.path)
        self.grpc = self.d.port("Starting GRPC server")
        self.http = self.d.port("Starting HTTP server")

    def hoard(self, port, n, *pieces, unread=False):
        """n connections that send this and no more."""
        for _ in range(n):
            s = socket.socket()
            self.held.append(s)
            try:
                if unread:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.settimeout(2)
                s.connect(("127.0.0.1", port))
                for piece in pieces:
                    s.sendall(piece)
            except OSError:
                pass  # turned away, or no longer listened to

    def taken(self):
        try:
            with GrpcClient(self.grpc) as c:
                return c.export(request(5)).code == 0
        except (OSError, AssertionError):
            return False

    def ends_well(self):
        wait_for(self.taken, "a good client to be served beside them")
        if not SANITIZED:
            with open("/proc/%d/status" % self.d.process.pid, encoding="ascii") as f:
                peak = int(re.search(r"VmHWM:\s*(\d+)", f.read()).group(1)) / 1024
            self.assertLessEqual(peak, self.ceiling)
        for s in self.held:
            s.close()
        wait_for(lambda: sum(v for k, v in self.d.metrics().items() if k.startswith("tailrace_memory_used_bytes")) < 256 << 10,
                 "nothing to be held")
        self.assertEqual(self.d.stop(), 0, self.d.log()[-3000:])


class Hoard(Hoarders):
    def test_half_a_request_line(self):
        self.start()
        self.hoard(self.http, 700, b"POST /v1/traces?" + b"x" * 60000)
        self.ends_well()

    def test_half_a_header_block(self):
        """HTTP/2: a field of 60,000 bytes in CONTINUATION frames that stop coming."""
        self.start()
        block = CALL + b"\0\x01x" + number(60000, 7) + b"y" * 10000
        more = frame(9, 0, 1, b"y" * 15000)
        self.hoard(self.grpc, 700, PREFACE + frame(1, 0, 1, block) + 3 * more)
        self.ends_well()

    def test_answers_that_nobody_reads(self):
        """Pipelined requests, as many as fit into one read, each with an answer."""
        self.start()
        self.hoard(self.http, 150, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4000, unread=True)
        self.ends_well()

    def test_silent_bodies(self):
        """Bodies that are announced on one port and never come. Guarantees: a client of the other port is served as soon
        as a tick has looked: some of those bodies are refused for memory, long before they are too slow for any time."""
        self.limit_mib = 64
        self.start()
        began = time.monotonic()
        for size in (700000, 40000, 2000):  # to the brim
            self.hoard(self.http, 160, b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
                       b"Content-Length: %d\r\n\r\n0123456789" % size)
        with GrpcClient(self.grpc) as c:
            wait_for(lambda: c.export(request(5)).code == 0, "the other client to be served")
        told_apart = time.monotonic() - began < 15  # on a machine that needs longer their own time is up: 408
        statuses = set()
        for s in self.held[:160]:
            client = HttpClient.__new__(HttpClient)
            client.sock, client.buffer = s, b""
            s.settimeout(60)
            statuses.add(client.reply().status)
        self.assertLessEqual(statuses, {503, 408})
        if told_apart:
            self.assertIn(503, statuses)
        self.ends_well()


class Metadata(Hoarders):
    """Headers that are kept for processors and exporters."""
    metadata = "true"

    def test_headers_of_open_requests(self):
        self.start()
        block = CALL + b"".join(header(b"a%02d" % i, b"z" * 90) for i in range(120))
        calls = b"".join(frame(1, 4, 2 * i + 1, block) for i in range(20))
        self.hoard(self.grpc, 100, PREFACE + calls)
        self.ends_well()


if __name__ == "__main__":
    unittest.main()
