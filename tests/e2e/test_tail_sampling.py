# SPDX-License-Identifier: Apache-2.0
"""tail_sampling in the running daemon: whole traces over connections and workers, its pages, its memory bound."""
import http.client
import json
import os
import shutil
import subprocess
import threading
import unittest

from otlp_http import Backend
from tailrace import BINARY, Daemon, wait_for

PREFIX = "otelcol_processor_tail_sampling_"


def config(backend, tail, more=""):
    return ("receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}\n"
            "processors: {tail_sampling: %s%s}\n"
            "exporters: {otlp_http: {endpoint: '%s', compression: none}}\n"
            "service: {pipelines: {traces: {receivers: [otlp], processors: [%stail_sampling], exporters: [otlp_http]}}}\n"
            % (json.dumps(tail), more, backend.url, "memory_limiter, " if more else ""))


def span(trace, number, error=False, text=""):
    return {"traceId": "%032x" % trace, "spanId": "%016x" % number, "name": "op",
            "status": {"code": 2 if error else 0}, "attributes": [{"key": "text", "value": {"stringValue": text}}]}


class Sender:
    """New connections: each lands on some worker."""

    def __init__(self, port):
        self.port = port

    def send(self, spans):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            conn.request("POST", "/v1/traces", json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}),
                         {"Content-Type": "application/json"})
            return conn.getresponse().status
        finally:
            conn.close()


ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}


class TailSampling(unittest.TestCase):
    def test_traces_are_whole_whatever_worker_their_spans_reach(self):
        """Scenario: 90 traces of 6 spans, each span over a connection of its own request; a third has an error in its
        last span. Guarantees: exactly those traces come out, whole, once; counters and books agree; late spans follow."""
        with Backend() as backend:
            tail = {"decision_wait": "5s", "policies": [ERRORS]}
            with Daemon(config(backend, tail), ["--workers", "3"]) as d:
                d.wait_ready()
                sender = Sender(d.port("Starting HTTP server"))
                for k in range(6):
                    for first in range(0, 90, 15):
                        spans = [span(1000 + t, t * 6 + k + 1, k == 5 and t % 3 == 0) for t in range(first, first + 15)]
                        self.assertEqual(sender.send(spans), 200)
                wait_for(lambda: backend.count() == 180, "the kept spans")
                page = d.wait_metric('tailrace_pipeline_sampled_out_spans{pipeline="traces"}', 360)
                expected = {("%032x" % (1000 + t), "%016x" % (t * 6 + k + 1)) for t in range(0, 90, 3) for k in range(6)}
                self.assertEqual(backend.distinct(), expected)
                self.assertEqual(page[PREFIX + 'global_count_traces_sampled{decision="sampled",sampled="true"}'], 30)
                self.assertEqual(page[PREFIX + 'global_count_traces_sampled{decision="not_sampled",sampled="false"}'], 60)
                self.assertEqual(page[PREFIX + 'count_traces_sampled{decision="sampled",policy="errors",sampled="true"}'], 30)
                self.assertEqual(page[PREFIX + "new_trace_id_received"], 90)
                self.assertEqual(page["tailrace_tail_sampling_held_spans"], 0)
                self.assertEqual(sender.send([span(1000, 5000), span(1001, 5001)]), 200)
                wait_for(lambda: backend.count() == 181, "the late span of a kept trace")
                self.assertEqual(d.ledger()["sampled_out"], 361)
                self.check_page(d)
                self.assertEqual(d.stop(), 0, d.log())

    def check_page(self, d):
        promtool = shutil.which("promtool")
        if promtool:
            body = d.get("/metrics")[2]
            done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, text=True)
            self.assertIn(done.returncode, (0, 3), done.stderr)  # 3: remarks about names that are the Collector's

    def test_the_buffer_bound_decides_early_and_loses_nothing(self):
        """Scenario: 40 MiB of spans against a buffer of 6 MiB and a wait of an hour. Guarantees: everything is taken, the
        oldest are decided early and counted, every kept span comes out, memory stays where it should."""
        with Backend() as backend:
            tail = {"decision_wait": "1h", "buffer_limit_mib": 6, "policies": [ERRORS]}
            limiter = ", memory_limiter: {check_interval: 1s, limit_mib: 64, spike_limit_mib: 16}"
            with Daemon(config(backend, tail, limiter), ["--workers", "2"]) as d:
                d.wait_ready()
                sender = Sender(d.port("Starting HTTP server"))
                kept, text = 0, "x" * 2000
                for i in range(200):
                    spans = [span(10_000 + i * 100 + k, 1 + i * 100 + k, k % 10 == 0, text) for k in range(100)]
                    kept += 10
                    self.assertEqual(sender.send(spans), 200)
                page = d.metrics()
                early = page['tailrace_tail_sampling_early_decisions{reason="buffer_limit"}']
                self.assertGreater(early, 10_000)
                self.assertEqual(page[PREFIX + "sampling_trace_dropped_too_early"], early)
                self.assertLess(page["tailrace_tail_sampling_held_bytes"], 7 << 20)
                self.assertGreater(page["tailrace_tail_sampling_held_bytes"], 3 << 20)
                with open("/proc/%d/status" % d.process.pid, encoding="ascii") as f:
                    rss_kib = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
                if os.environ.get("TAILRACE_KIND") != "sanitized":
                    self.assertLess(rss_kib, 64 << 10)
                self.assertEqual(d.stop(), 0, d.log())
                self.assertEqual(backend.count(), kept)
                last = d.find("Span ledger")
                self.assertEqual((last["accepted"], last["exported"], last["sampled_out"], last["held"], last["dropped"]),
                                 (20_000, kept, 20_000 - kept, 0, 0))

    def test_decisions_are_explained(self):
        """Scenario: a kept and a dropped trace, on some worker each. Guarantees: the command and the page tell of both, of one
        that waits, and say so when they know nothing."""
        with Backend() as backend:
            drop = {"name": "noise", "type": "drop", "drop": {"drop_sub_policy": [
                {"name": "n", "type": "string_attribute", "string_attribute": {"key": "text", "values": ["noise"]}}]}}
            with Daemon(config(backend, {"decision_wait": "1s", "policies": [ERRORS, drop]}), ["--workers", "3"]) as d:
                d.wait_ready()
                port = d.port("Serving metrics", "address")
                sender = Sender(d.port("Starting HTTP server"))
                self.assertEqual(sender.send([span(1, 1, True), span(1, 2), span(2, 3, True, "noise"), span(3, 4)]), 200)
                wait_for(lambda: backend.count() == 2, "the kept spans")
                d.wait_metric('tailrace_pipeline_sampled_out_spans{pipeline="traces"}', 2)
                self.assertEqual(sender.send([span(4, 5)]), 200)

                def explain(trace):
                    done = subprocess.run([BINARY, "explain", "%032x" % trace, "--admin", "127.0.0.1:%d" % port], capture_output=True, text=True)
                    return done.returncode, done.stdout + done.stderr
                status, text = explain(1)
                self.assertEqual(status, 0, text)
                self.assertRegex(text, r"decision +sampled\n")
                self.assertRegex(text, r"policy errors +sampled")
                self.assertRegex(text, r"policy noise +not sampled")
                status, text = explain(2)
                self.assertRegex(text, r"decision +dropped\n")
                self.assertRegex(text, r"policy noise +dropped")
                self.assertRegex(text, r"policy errors +not asked")
                self.assertRegex(explain(3)[1], r"decision +not sampled\n")
                self.assertEqual(explain(5)[0], 1)
                self.assertEqual(d.get("/debug/traces/xyz")[0], 400)
                self.assertEqual(d.get("/debug/traces/%032x" % 5)[0], 404)
                self.assertEqual(d.get("/debug/traces/%032x" % 4)[0], 200)
                self.assertEqual(d.stop(), 0, d.log())

    def test_stopped_under_overload_it_delivers_what_it_took(self):
        """Scenario: everything is kept, the backend is slower than the senders, who are refused by then; every batch is
        edited on its way; SIGTERM. Guarantees: all that was acknowledged is delivered; nothing is dropped for want of
        memory."""
        turn = threading.Lock()

        def slowly(_):
            with turn:
                backend.released.wait(0.03)
            return 200

        with Backend(slowly) as backend:
            tail = {"decision_wait": "1s", "policies": [{"name": "all", "type": "always_sample"}]}
            more = (", memory_limiter: {check_interval: 1s, limit_mib: 24, spike_limit_mib: 6}, batch: {send_batch_max_size: 1000, send_batch_size: 1000},"
                    " attributes: {actions: [{key: env, value: test, action: upsert}]}")
            whole = config(backend, tail, more).replace("tail_sampling]", "tail_sampling, attributes, batch]")
            with Daemon(whole, ["--workers", "3", "--shutdown-timeout", "120s"]) as d:
                d.wait_ready()
                port = d.port("Starting HTTP server")
                load = [subprocess.Popen([BINARY, "generate", "--endpoint", "127.0.0.1:%d" % port, "--traces", "20000", "--seed", str(i)],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(4)]
                try:
                    # in the pipeline, or at the door when the queue says so first
                    wait_for(lambda: any(v > 0 for k, v in d.metrics().items() if k.startswith("tailrace_receiver_refused_requests") or
                                         (k.startswith("tailrace_pipeline_dropped_spans") and "returned" in k)), "a refusal")
                    self.assertEqual(d.stop(), 0, d.log())
                finally:
                    for p in load:
                        p.kill()
                        p.wait()
                last = d.find("Span ledger")
                self.assertRegex(last.get("dropped_by_reason", ""), "^(returned [0-9]+)?$")
                self.assertEqual(last["accepted"], last["exported"] + last["dropped"])
                self.assertEqual(backend.count(), last["exported"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
