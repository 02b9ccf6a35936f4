#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Overload, by hand: offers several times what the backend takes, gzip bombs among it, and prints what comes through.

usage: overload.py BUILD_DIR [SECONDS]

Two phases for gRPC and for HTTP each: the peak (clients that just keep the queue filled) and the overload. Goodput
is what the backend got. Then everything must drain and the ledger balance.
"""
import gzip
import os
import re
import subprocess
import sys
import threading
import time

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build"
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 60
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "lib"))
os.environ["TAILRACE"] = os.path.abspath(BUILD) + "/tailrace"
os.environ["TAILRACE_AUDIT"] = "0"
from otlp_client import GrpcClient, HttpClient, field, request  # noqa: E402
from otlp_http import Backend  # noqa: E402
from tailrace import BINARY, Daemon, wait_for  # noqa: E402

SPANS, ANSWER_S, CONSUMERS = 100, 0.2, 4
PLAN = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 64}, batch: {timeout: 100ms, send_batch_size: 500}}
exporters: {otlp_http: {endpoint: '%s', sending_queue: {queue_size: 50, num_consumers: %d}}}
service: {pipelines: {traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_http]}}}
"""
UNITS = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}


def ceiling_mib(path):
    out = subprocess.run([BINARY, "validate", "--config", path, "--workers", "2"], stdout=subprocess.PIPE, check=True).stdout.decode()
    number, unit = re.search(r"([0-9.]+) (KiB|MiB|GiB)  in all", out).groups()
    return float(number) * UNITS[unit]


def peak_mib(d):
    with open("/proc/%d/status" % d.process.pid, encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s*(\d+)", f.read()).group(1)) / 1024


class Clients:
    """Threads that send again and again, with a pause after each request; answers by code."""

    def __init__(self, n, once, pause_s=0.0):
        self.stopping, self.codes, self.pause_s = False, {}, pause_s
        self.threads = [threading.Thread(target=self.run, args=(once,), daemon=True) for _ in range(n)]
        for t in self.threads:
            t.start()

    def run(self, once):
        with once() as send:
            while not self.stopping:
                code = send()
                self.codes[code] = self.codes.get(code, 0) + 1
                if self.pause_s:
                    time.sleep(self.pause_s)

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join(60)


def grpc(port, body, *headers):
    class Sender(GrpcClient):
        def __enter__(self):
            super().__enter__()
            return lambda: self.export(body, *headers).code
    return lambda: Sender(port)


def http(port, body):
    class Sender(HttpClient):
        def __enter__(self):
            super().__enter__()
            return lambda: self.request(body=body).status
    return lambda: Sender(port)


def phase(d, backend, clients, seconds):
    time.sleep(2)  # the queue fills
    before, began = backend.count(), time.monotonic()
    time.sleep(seconds)
    rate = (backend.count() - before) / (time.monotonic() - began)
    codes = {}
    for c in clients:
        c.stop()
        for code, n in c.codes.items():
            codes[code] = codes.get(code, 0) + n
    return rate, codes


def run(kind):
    quick = threading.Event()

    def answer(_):
        quick.wait(ANSWER_S)
        return 200
    with Backend(answer) as backend, Daemon(PLAN % (backend.url, CONSUMERS), ["--workers", "2"]) as d:
        d.wait_ready()
        ports = {"grpc": d.port("Starting GRPC server"), "http": d.port("Starting HTTP server")}
        sender, body = {"grpc": grpc, "http": http}[kind], request(SPANS, 60)
        peak, _ = phase(d, backend, [Clients(4, sender(ports[kind], body), 0.02)], SECONDS)
        wait_for(lambda: d.ledger()["held"] == 0, "the queue to be empty")
        bomb = gzip.compress(field(1, field(2, b"\x12\x00" * 1900000)), 9)
        over = [Clients(8, sender(ports[kind], body), 0.015), Clients(2, grpc(ports["grpc"], bomb, 1, [("grpc-encoding", "gzip")]), 0.05)]
        rate, codes = phase(d, backend, over, SECONDS)
        print("%s: peak %.0f spans/s, overload %.0f spans/s (%.1f %%), answers %s, peak RSS %.1f of %.1f MiB"
              % (kind, peak, rate, 100 * rate / peak, codes, peak_mib(d), ceiling_mib(d.path)), flush=True)
        quick.set()
        wait_for(lambda: d.ledger()["held"] == 0, "everything to be sent")
        books = d.ledger()
        offered = sum(n for c, n in codes.items())
        print("   offered %.1f times; %s" % (offered * SPANS / (SECONDS + 2) / peak, {k: v for k, v in books.items() if v}), flush=True)
        d.stop()


for which in ("grpc", "http"):
    run(which)
