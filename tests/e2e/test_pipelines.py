# SPDX-License-Identifier: Apache-2.0
"""Data through whole graphs: fan-out, fan-in, connectors, exact books under load, and the drain."""
import http.client
import signal
import threading
import time
import unittest

from otlp_http import Backend, Client, send
from tailrace import Daemon, wait_for

RECEIVER = "otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}"


def exporter(name, backend, more=""):
    return "%s: {endpoint: '%s', compression: none%s}" % (name, backend.url, more)


def config(exporters, pipelines, processors="", connectors="", receivers=RECEIVER):
    return "receivers: {%s}\nprocessors: {%s}\nconnectors: {%s}\nexporters: {%s}\nservice: {pipelines: {%s}}\n" % (
        receivers, processors, connectors, ", ".join(exporters), pipelines)


def http_port(d, **kw):
    return d.port("Starting HTTP server", **kw)


class FanOut(unittest.TestCase):
    def test_each_span_is_booked_once(self):
        """Scenario: two exporters, one of them refused for good. Guarantees: one drop per span, its reason; the other
        exporter delivers all the same."""
        with Backend() as good, Backend(lambda n: 400) as bad:
            plan = config([exporter("otlp_http/a", good), exporter("otlp_http/b", bad)],
                          "traces: {receivers: [otlp], exporters: [otlp_http/a, otlp_http/b]}")
            with Daemon(plan) as d:
                d.wait_ready()
                self.assertEqual(send(http_port(d), 1, 7), 200)
                wait_for(lambda: good.count() == 7, "the good backend")
                d.wait_metric('tailrace_pipeline_dropped_spans{pipeline="traces",reason="not_retryable"}', 7)
                books = d.ledger()
                self.assertEqual((books["accepted"], books["exported"], books["held"]), (7, 0, 0))
                self.assertEqual(books["dropped"], {"not_retryable": 7})
                self.assertEqual(d.stop(), 0, d.log())

    def test_queues_behind_a_fan_out_merge(self):
        batching = ", sending_queue: {batch: {flush_timeout: 100s, min_size: 60, sizer: items}}"
        with Backend() as a, Backend() as b:
            plan = config([exporter("otlp_http/a", a, batching), exporter("otlp_http/b", b)],
                          "traces: {receivers: [otlp], exporters: [otlp_http/a, otlp_http/b]}")
            with Daemon(plan, ["--workers", "1"]) as d:
                d.wait_ready()
                port = http_port(d)
                for i in range(20):
                    self.assertEqual(send(port, 1 + 3 * i, 3), 200)
                wait_for(lambda: a.count() == 60 and b.count() == 60, "both backends")
                self.assertEqual((a.requests, b.requests), (1, 20))
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 60)
                self.assertEqual(d.ledger()["held"], 0)
                self.assertEqual(d.stop(), 0, d.log())

    def test_without_queue_the_client_learns_of_a_failing_branch(self):
        no_queue = ", sending_queue: {enabled: false}, retry_on_failure: {enabled: false}"
        with Backend() as good, Backend(lambda n: 503) as bad:
            plan = config([exporter("otlp_http/a", good, no_queue), exporter("otlp_http/b", bad, no_queue)],
                          "traces: {receivers: [otlp], exporters: [otlp_http/a, otlp_http/b]}")
            with Daemon(plan) as d:
                d.wait_ready()
                self.assertEqual(send(http_port(d), 1, 3), 503)
                self.assertEqual(good.count(), 3)
                books = d.ledger()
                self.assertEqual((books["accepted"], books["exported"]), (3, 0))
                self.assertEqual(sum(books["dropped"].values()), 3)
                self.assertEqual(d.stop(), 0, d.log())

    def test_a_branch_does_not_see_the_other_s_changes(self):
        """Two pipelines share the payload of one request; one of them edits."""
        with Backend() as a, Backend() as b:
            plan = config([exporter("otlp_http/a", a), exporter("otlp_http/b", b)],
                          "traces/a: {receivers: [otlp], processors: [attributes], exporters: [otlp_http/a]}, "
                          "traces/b: {receivers: [otlp], exporters: [otlp_http/b]}",
                          processors="attributes: {actions: [{key: x, value: y, action: insert}]}")
            with Daemon(plan) as d:
                d.wait_ready()
                self.assertEqual(send(http_port(d), 1, 5), 200)
                wait_for(lambda: a.count() == 5 and b.count() == 5, "both backends")
                self.assertEqual(a.distinct(), b.distinct())
                for pipeline in ("traces/a", "traces/b"):
                    self.assertEqual(d.wait_metric('tailrace_pipeline_exported_spans{pipeline="%s"}' % pipeline, 5)[
                        'tailrace_pipeline_accepted_spans{pipeline="%s"}' % pipeline], 5)
                self.assertEqual(d.stop(), 0, d.log())


class Shapes(unittest.TestCase):
    def test_fan_in_and_connector(self):
        with Backend() as backend:
            plan = config([exporter("otlp_http", backend)],
                          "traces/in: {receivers: [otlp, otlp/2], exporters: [forward]}, "
                          "traces/out: {receivers: [forward], processors: [batch], exporters: [otlp_http]}",
                          processors="batch: {timeout: 10ms}", connectors="forward: ",
                          receivers=RECEIVER + ", " + RECEIVER.replace("otlp:", "otlp/2:"))
            with Daemon(plan, ["--workers", "2"]) as d:
                d.wait_ready()
                for i, name in enumerate(("otlp", "otlp/2")):
                    port = http_port(d, **{"otelcol.component.id": name})
                    self.assertEqual(send(port, 1 + 100 * i, 4), 200)
                wait_for(lambda: backend.count() == 8, "8 spans")
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces/out"}', 8)
                for pipeline in ("traces/in", "traces/out"):
                    books = d.ledger(pipeline)
                    self.assertEqual((books["accepted"], books["exported"], books["held"]), (8, 8, 0))
                self.assertEqual(d.stop(), 0, d.log())


class Books(unittest.TestCase):
    def test_exact_while_running_at_full_load(self):
        """Scenario: clients send without pause through tail sampling on 2 workers; the page is read all the while.
        Guarantees: every page balances, and the audit finds every held span in a component."""
        with Backend() as backend:
            plan = config([exporter("otlp_http", backend)],
                          "traces: {receivers: [otlp], processors: [tail_sampling, batch], exporters: [otlp_http]}",
                          processors="batch: {timeout: 20ms}, tail_sampling: {decision_wait: 1s, policies: "
                                     "[{name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}]}")
            with Daemon(plan, ["--workers", "2"]) as d:
                d.wait_ready()
                port, stop, sent = http_port(d), threading.Event(), [0, 0, 0]

                def load(k):
                    client = Client(port)
                    while not stop.is_set():
                        if client.send(1 + (k << 40) + sent[k], 20) == 200:
                            sent[k] += 20
                    client.close()
                threads = [threading.Thread(target=load, args=(k,)) for k in range(len(sent))]
                for thread in threads:
                    thread.start()
                try:
                    give_up, pages, books = time.monotonic() + 120, 0, {"sampled_out": 0}
                    while (pages < 30 or not books["sampled_out"]) and time.monotonic() < give_up:
                        books = d.ledger()
                        pages += 1
                finally:
                    stop.set()
                    for thread in threads:
                        thread.join()
                self.assertGreaterEqual(pages, 30)
                self.assertGreater(books["sampled_out"], 0)
                self.assertEqual(d.stop(), 0, d.log())
                last = d.find("Span ledger")
                self.assertEqual(last["accepted"], sum(sent))
                self.assertEqual((last["held"], last["dropped"]), (0, 0))
                self.assertEqual(last["exported"], backend.count())
                self.assertEqual(last["exported"] + last["sampled_out"], last["accepted"])
                self.assertGreater(last["sampled_out"], 0)


class Drain(unittest.TestCase):
    def test_nothing_acknowledged_is_lost(self):
        """Scenario: SIGTERM while clients send; tail sampling holds for an hour and the batch for 10 s. Guarantees:
        every acknowledged span reaches the backend once, exit status 0."""
        with Backend() as backend:
            plan = config([exporter("otlp_http", backend)],
                          "traces: {receivers: [otlp], processors: [tail_sampling, batch], exporters: [otlp_http]}",
                          processors="batch: {timeout: 10s}, tail_sampling: {decision_wait: 1h, policies: "
                                     "[{name: all, type: always_sample}]}")
            with Daemon(plan, ["--workers", "2"]) as d:
                d.wait_ready()
                port, acknowledged = http_port(d), []
                begun = threading.Event()

                def load(k):
                    client, first = Client(port), 1 + (k << 40)
                    try:
                        while client.send(first, 10) == 200:
                            acknowledged.extend("%032x" % (0xabc << 100 | first + i) for i in range(10))
                            first += 10
                            if len(acknowledged) > 500:
                                begun.set()
                    except (OSError, http.client.HTTPException):
                        pass  # closed by the drain, without an answer: not acknowledged
                threads = [threading.Thread(target=load, args=(k,)) for k in range(3)]
                for thread in threads:
                    thread.start()
                self.assertTrue(begun.wait(60))
                code = d.stop()
                for thread in threads:
                    thread.join()
                self.assertEqual(code, 0, d.log())
                got = [trace for trace, _ in backend.ids]
                self.assertEqual(len(got), len(set(got)))
                self.assertEqual(set(acknowledged) - set(got), set())
                self.assertEqual(d.find("Span ledger")["held"], 0)

    def hanging(self, backend, args=()):
        plan = config([exporter("otlp_http", backend, ", timeout: 100s")],
                      "traces: {receivers: [otlp], exporters: [otlp_http]}")
        d = Daemon(plan, args)
        d.wait_ready()
        self.assertEqual(send(http_port(d), 1, 5), 200)
        wait_for(lambda: backend.requests > 0, "a request at the backend")
        return d

    def test_deadline_drops_and_counts(self):
        with Backend() as backend:
            backend.server.RequestHandlerClass.do_POST = hang_of(backend)
            with self.hanging(backend, ["--shutdown-timeout", "200ms"]) as d:
                self.assertEqual(d.stop(), 0, d.log())
                last = d.find("Span ledger")
                self.assertEqual((last["accepted"], last["dropped"], last["held"]), (5, 5, 0))
                self.assertEqual(last["dropped_by_reason"], "shutdown 5")

    def test_health_says_so_at_once(self):
        health = "yaml:{extensions: {health_check: {endpoint: '127.0.0.1:0'}}, service: {extensions: [health_check]}}"
        with Backend() as backend:
            backend.server.RequestHandlerClass.do_POST = hang_of(backend)
            with self.hanging(backend, ["--config", health]) as d:
                port = d.port("Starting health_check extension")
                self.assertEqual(d.get("/", port)[0], 200)
                d.signal()
                d.wait_log("Starting shutdown...")
                status, _, body = d.get("/", port)
                self.assertEqual((status, body), (503, '{"status":"Server not available",'
                                                       '"upSince":"0001-01-01T00:00:00Z","uptime":""}'))
                self.assertEqual(d.ledger()["held"], 5)  # the metrics page stays until the end

    def test_second_signal_ends_at_once(self):
        """Unless it comes so soon that it is the first one, told twice."""
        with Backend() as backend:
            backend.server.RequestHandlerClass.do_POST = hang_of(backend)
            with self.hanging(backend, ["--set", "service.telemetry.logs.level=debug"]) as d:
                d.signal()
                d.signal(signal.SIGINT)
                d.wait_log("Starting shutdown...")
                d.wait_log("The same signal again")
                self.assertEqual(d.ledger()["held"], 5)  # it goes on draining
                time.sleep(0.6)  # not a wait for anything: what makes the next one another signal
                d.signal(signal.SIGINT)
                self.assertEqual(d.wait_exit(), 1, d.log())
                self.assertIsNone(d.find("Shutdown complete."))


def hang_of(backend):
    """A handler that counts the request and never answers."""
    def do_POST(handler):
        backend.requests += 1
        backend.released.wait(120)
        handler.close_connection = True
    return do_POST


if __name__ == "__main__":
    unittest.main()
