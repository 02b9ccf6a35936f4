#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Overload: three times what the exporter takes, with gzip bombs among it, beside the undisturbed peak.

usage: overload.py BUILD_DIR [SECONDS]     (60 s for each of four phases, on a quiet machine)

The backend takes CONSUMERS requests of BATCH spans every ANSWER_S, no more. In both phases the same senders keep the queue
filled: undisturbed with OVER_PEAK times what it takes, then with OVER_LOAD times, beside senders of bombs. Both rates are
what the backend counted while the queue was full. What must hold is printed with its figures, "ok" or "FAIL"; the exit
status says whether all of it did.
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

SPANS, BATCH, CONSUMERS, ANSWER_S, SENDERS, BOMBERS = 100, 500, 4, 0.5, 8, 2
CAPACITY = CONSUMERS * BATCH / ANSWER_S  # spans a second, if the backend cost nothing
OVER_PEAK, OVER_LOAD = 1.3, 3.3
GOAL = 0.95
PLAN = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 64}, batch: {timeout: 5s, send_batch_size: %d, send_batch_max_size: %d}}
exporters: {otlp_http: {endpoint: '%s', sending_queue: {queue_size: 50, num_consumers: %d}}}
service: {pipelines: {traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_http]}}}
"""
UNITS = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}
REFUSED_STREAM = 7


def ceiling_mib(path):
    out = subprocess.run([BINARY, "validate", "--config", path, "--workers", "1"], stdout=subprocess.PIPE, check=True).stdout.decode()
    number, unit = re.search(r"([0-9.]+) (KiB|MiB|GiB)  in all", out).groups()
    return float(number) * UNITS[unit]


def peak_mib(d):
    with open("/proc/%d/status" % d.process.pid, encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s*(\d+)", f.read()).group(1)) / 1024


def grpc_once(client, body, flag=0, headers=()):
    """What became of a call: "taken", "refused, again" or words that should not be."""
    r = client.export(body, flag, headers)
    if r.code == 0:
        return "taken"
    if r.reset == REFUSED_STREAM:
        return "refused, again"
    if r.code in (8, 14) and r.details()[2] is not None:
        return "refused, again"
    return "code %s %s" % (r.code, r.text)


def http_once(client, body):
    r = client.request(body=body)
    if r.status == 200:
        return "taken"
    if r.status in (429, 503) and r.headers.get("retry-after"):
        return "refused, again"
    return "status %s" % r.status


class Senders:
    """Threads that offer `rate` requests a second together, whatever the answers; answers by kind."""

    def __init__(self, n, rate, connect, once):
        self.stopping, self.lock, self.answers, self.interval = threading.Event(), threading.Lock(), {}, n / rate
        self.threads = [threading.Thread(target=self.run, args=(connect, once, i / rate), daemon=True) for i in range(n)]
        for t in self.threads:
            t.start()

    def run(self, connect, once, offset):
        due = time.monotonic() + offset
        with connect() as client:
            while not self.stopping.wait(max(0.0, due - time.monotonic())):
                due = max(due + self.interval, time.monotonic() - 1)  # a second may be caught up with, no more
                kind = once(client)
                with self.lock:
                    self.answers[kind] = self.answers.get(kind, 0) + 1

    def count(self, kind=None):
        with self.lock:
            return sum(n for k, n in self.answers.items() if kind in (None, k))

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)


class Run:
    def __init__(self, kind):
        self.kind, self.good = kind, True

    def check(self, ok, text):
        self.good &= ok
        print("  %-4s  %s" % ("ok" if ok else "FAIL", text), flush=True)

    def senders(self, ports, factor):
        body, port = request(SPANS, 60), ports[self.kind]
        connect, once = ((lambda: GrpcClient(port)), (lambda c: grpc_once(c, body))) if self.kind == "grpc" else \
            ((lambda: HttpClient(port)), (lambda c: http_once(c, body)))
        return Senders(SENDERS, factor * CAPACITY / SPANS, connect, once)

    def measure(self, backend, senders):
        """(spans a second that the backend took, that were offered) while the queue was full."""
        wait_for(lambda: senders.count("refused, again") > 0, "the queue to be full", 120)
        spans, offered, began = backend.count(), senders.count(), time.monotonic()
        time.sleep(SECONDS)
        took = time.monotonic() - began
        return (backend.count() - spans) / took, (senders.count() - offered) * SPANS / took

    def overload(self, d, backend, ports):
        bomb = gzip.compress(field(1, field(2, b"\x12\x00" * 1900000)), 9)
        bombers = Senders(BOMBERS, 10, lambda: GrpcClient(ports["grpc"]), lambda c: grpc_once(c, bomb, 1, [("grpc-encoding", "gzip")]))
        senders = self.senders(ports, OVER_LOAD)
        rate, offered = self.measure(backend, senders)
        bombers.stop()
        senders.stop()
        print("  answers %s; to bombs %s" % (senders.answers, bombers.answers), flush=True)
        odd = (set(senders.answers) | set(bombers.answers)) - {"taken", "refused, again"}
        self.check(not odd and senders.count("refused, again") > 0, "what is refused may come again and is told when%s" % (": %s" % odd if odd else ""))
        return rate, offered

    def run(self):
        quick = threading.Event()

        def answer(_):
            quick.wait(ANSWER_S)
            return 200
        with Backend(answer) as backend, Daemon(PLAN % (BATCH, BATCH, backend.url, CONSUMERS), ["--workers", "1"]) as d:
            d.wait_ready()
            ports = {"grpc": d.port("Starting GRPC server"), "http": d.port("Starting HTTP server")}
            senders = self.senders(ports, OVER_PEAK)
            peak, offered = self.measure(backend, senders)
            senders.stop()
            print("%s: undisturbed %.0f spans/s taken of %.0f offered, the backend could %.0f" % (self.kind, peak, offered, CAPACITY), flush=True)
            wait_for(lambda: d.ledger()["held"] == 0, "the queue to be empty")
            rate, offered = self.overload(d, backend, ports)
            self.check(offered >= 3 * peak, "offered %.2f times what is taken (3)" % (offered / peak))
            self.check(rate >= GOAL * peak, "goodput %.0f spans/s, %.1f %% of the peak (%.0f)" % (rate, 100 * rate / peak, 100 * GOAL))
            self.check(peak_mib(d) <= ceiling_mib(d.path), "RSS at most %.1f MiB, the limit and the fixed part are %.1f" % (peak_mib(d), ceiling_mib(d.path)))
            quick.set()
            wait_for(lambda: d.ledger()["held"] == 0, "everything to be sent")
            books = d.ledger()  # raises unless it balances
            dropped = {k: v for k, v in books["dropped"].items() if v and k != "returned"}
            self.check(books["exported"] == backend.count() and not dropped,
                       "drained, the books balance: %d accepted, %d exported, %d at the backend, dropped %s"
                       % (books["accepted"], books["exported"], backend.count(), dropped or "nothing"))
            self.check(d.stop() == 0, "stopped")
        return self.good


if __name__ == "__main__":
    sys.exit(0 if all([Run(which).run() for which in ("grpc", "http")]) else 1)
