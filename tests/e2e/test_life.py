# SPDX-License-Identifier: Apache-2.0
"""The life of the process: a log that nobody reads, the number of workers, a stop under full load."""
import os
import re
import resource
import socket
import subprocess
import threading
import unittest

from otlp_client import GrpcClient, HttpClient, request, span
from otlp_http import Backend
from tailrace import BINARY, DEADLINE_S, Daemon, wait_for

SANITIZED = os.environ.get("TAILRACE_KIND") == "sanitized"

SAMPLING = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 256}
  batch: {timeout: 100ms}
  redaction: {allow_all_keys: true, blocked_values: ['4[0-9]{12}(?:[0-9]{3})?']}
  tail_sampling: {decision_wait: 1h, num_traces: 50000, policies: [%s]}
exporters: {otlp_http: {endpoint: '%s'}}
service: {pipelines: {traces: {receivers: [otlp], processors: [memory_limiter, redaction, tail_sampling, batch], exporters: [otlp_http]}}}
"""
POLICIES = "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}, " \
           "{name: l, type: latency, latency: {threshold_ms: 1500}}, " \
           "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 20}}"


class Life(unittest.TestCase):
    def test_a_log_without_a_reader(self):
        """Scenario: whoever read stderr is gone. Guarantees: that costs the lines, not the process."""
        config = "yaml:receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}\nexporters: {debug: }\n" \
                 "service: {telemetry: {metrics: {level: none}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}"
        reader, writer = os.pipe()
        with subprocess.Popen([BINARY, "--config", config], stderr=writer, stdout=subprocess.DEVNULL) as p:
            os.close(writer)
            try:
                text = b""
                while b"Everything is ready" not in text:
                    more = os.read(reader, 65536)
                    self.assertTrue(more, text)
                    text += more
                os.close(reader)
                port = int(re.search(rb"Starting HTTP server.*?127\.0\.0\.1:(\d+)", text).group(1))
                with HttpClient(port) as c:
                    for _ in range(20):
                        self.assertEqual(c.request(body=request(3)).status, 200)
                p.terminate()
                self.assertEqual(p.wait(DEADLINE_S), 0)
            finally:
                p.kill()

    @unittest.skipIf(SANITIZED, "the sanitizer's allocator keeps what it likes")
    def test_memory_comes_back(self):
        """Scenario: thousands of connections come and go. Guarantees: the process does not stay as large as with them."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with Backend() as backend, Daemon(SAMPLING % (POLICIES, backend.url), ["--workers", "2"]) as d:
            def rss_mib():
                with open("/proc/%d/status" % d.process.pid, encoding="ascii") as f:
                    return int(re.search(r"VmRSS:\s*(\d+)", f.read()).group(1)) / 1024
            d.wait_ready()
            port, before = d.port("Starting GRPC server"), rss_mib()
            held = [socket.create_connection(("127.0.0.1", port), DEADLINE_S) for _ in range(3000)]
            for s in held:
                s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            wait_for(lambda: d.metrics().get('tailrace_receiver_connections{receiver="otlp",transport="grpc"}') == 3000,
                     "the connections to be there")
            largest = rss_mib()
            self.assertGreater(largest, before + 16)
            for s in held:
                s.close()
            wait_for(lambda: rss_mib() < before + (largest - before) / 2,
                     lambda: "memory to come back: %.1f, %.1f, %.1f" % (before, largest, rss_mib()))

    def sampled(self, workers):
        """The spans kept of the same made-up traffic, sent by three clients at once."""
        with Backend() as backend, Daemon(SAMPLING % (POLICIES, backend.url), ["--workers", workers]) as d:
            d.wait_ready()
            target = "127.0.0.1:%d" % d.port("Starting HTTP server")
            senders = [subprocess.Popen([BINARY, "generate", "--endpoint", target, "--seed", str(seed), "--traces", "300",
                                         "--start", "1700000000000000000"], stdout=subprocess.DEVNULL) for seed in (1, 2, 3)]
            self.assertEqual([s.wait(DEADLINE_S) for s in senders], [0, 0, 0])
            self.assertEqual(d.stop(), 0, d.log())
            last = d.find("Span ledger")
            self.assertEqual((last["held"], last["dropped"]), (0, 0))
            self.assertEqual(len(backend.ids), last["exported"])
            return last["accepted"], last["sampled_out"], sorted(backend.ids)

    def test_results_do_not_depend_on_the_workers(self):
        one = self.sampled("1")
        self.assertGreater(len(one[2]), 0)
        self.assertGreater(one[1], 0)
        for workers in ("2", "5"):
            self.assertEqual(self.sampled(workers), one, workers)

    def test_stop_under_full_load(self):
        """Scenario: SIGTERM while six clients send over gRPC without a pause, on two workers. Guarantees: exit status 0,
        the books balance on each page until then, every acknowledged span arrives once."""
        policies = "{name: all, type: always_sample}"
        with Backend() as backend, Daemon(SAMPLING % (policies, backend.url), ["--workers", "2"]) as d:
            d.wait_ready()
            port, acknowledged = d.port("Starting GRPC server"), []

            def load():
                try:
                    while True:
                        with GrpcClient(port) as c:
                            for _ in range(50):
                                ids = [(os.urandom(16), os.urandom(8)) for _ in range(20)]
                                if c.export(request([span(t, s) for t, s in ids])).code == 0:
                                    acknowledged.extend((t.hex(), s.hex()) for t, s in ids)
                except (OSError, AssertionError):
                    pass  # the drain closed it: not acknowledged
            threads = [threading.Thread(target=load, daemon=True) for _ in range(6)]
            for thread in threads:
                thread.start()
            pages = 0
            while pages < 50 or len(acknowledged) < 2000:
                d.ledger()
                pages += 1
            self.assertEqual(d.stop(), 0, d.log()[-3000:])
            for thread in threads:
                thread.join(DEADLINE_S)
            self.assertEqual(set(acknowledged) - set(backend.ids), set())
            self.assertEqual(len(backend.ids), len(set(backend.ids)))


if __name__ == "__main__":
    unittest.main()
