# SPDX-License-Identifier: Apache-2.0
"""Reload while running: receivers, exporters, connectors, and what holds spans, come, go and change."""
import json
import os
import socket
import tempfile
import unittest

from otlp_http import Backend, Load, send
from reloading import FAILED, Reloading, connect, marked, plan, refused
from tailrace import wait_for


class Ends(unittest.TestCase):
    """Receivers, exporters and connectors."""

    def test_an_exporter_moves_to_another_backend(self):
        """What the old one holds goes where it was to go; the new one takes what comes from now on."""
        with Backend() as old, Backend() as new:
            with Reloading(plan(old), ["--workers", "2"]) as d:
                d.wait_ready()
                client = connect(self, d)
                for i in range(20):
                    self.assertEqual(client.send(1 + 10 * i, 10), 200)
                d.reload(plan(new))
                self.assertEqual(client.send(1000, 7), 200)
                wait_for(lambda: old.count() == 200 and new.count() == 7, "both backends")
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 207)
                d.ledger()
                self.assertEqual(d.stop(), 0, d.log())

    def test_an_exporter_that_cannot_finish(self):
        """The old backend does not answer: at the deadline what is held for it goes to the new one, and the next reload waits
        for that. An exporter that goes for good drops it."""
        with Backend() as old, Backend() as new:
            old.server.RequestHandlerClass.do_POST = lambda handler: old.released.wait(60)
            with Reloading(plan(old), ["--workers", "2", "--shutdown-timeout", "500ms"]) as d:
                d.wait_ready()
                client = connect(self, d)
                self.assertEqual(client.send(1, 5), 200)
                d.reload(plan(new))
                self.assertEqual(client.send(10, 3), 200)
                wait_for(lambda: new.count() == 3, "the new backend")
                d.reload(plan(new, marked("x"), ["attributes"]))
                wait_for(lambda: new.count() == 8, "what the old one did not take")
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 8)
                d.reload(plan(old))
                self.assertEqual(client.send(20, 4), 200)
                d.reload(plan(new).replace("otlp_http", "otlp_http/other"))
                d.wait_metric('tailrace_pipeline_dropped_spans{pipeline="traces",reason="shutdown"}', 4)
                self.assertEqual(d.ledger()["exported"], 8)
                self.assertEqual(d.stop(), 0, d.log())

    def test_a_queue_goes_to_the_backend_that_is_right(self):
        """Scenario: a dead or refusing endpoint, requests queue up in memory, batched or not, some of their senders wait; then
        the configuration is mended. Guarantees: everything arrives there, and is counted once."""
        for queue in ("queue_size: 100", "queue_size: 1000, batch: {flush_timeout: 10ms, min_size: 7}", "wait_for_result: true"):
            with Backend() as new, Backend(lambda _: 503) as refusing:
                dead = Backend()
                dead.__exit__(None, None, None)
                wait = "wait_for" in queue

                def config(backend, size=""):
                    return plan(backend).replace("num_consumers: 1", "num_consumers: 3, " + queue + size)
                with self.subTest(queue), Reloading(config(dead), ["--workers", "2"]) as d:
                    d.wait_ready()
                    load = [Load(d.http_port(), k, 5) for k in range(6)]
                    for one in load:
                        one.start()
                    wait_for(lambda: d.ledger()["held"] >= (30 if wait else 100), "held spans")
                    d.reload(config(refusing))
                    d.reload(config(refusing, ", block_on_overflow: true"))
                    d.reload(config(new))
                    wait_for(lambda: all(one.acknowledged for one in load), "acknowledged requests")
                    for one in load:
                        one.stop()
                    self.assertEqual([one.failures for one in load], [[]] * len(load))
                    wait_for(lambda: d.ledger()["held"] == 0, lambda: "nothing held: %s" % d.ledger())
                    got = [trace for trace, _ in new.ids]
                    self.assertEqual(set(got), {trace for one in load for trace in one.acknowledged})
                    self.assertEqual(len(got), len(set(got)))
                    books = d.ledger()
                    self.assertEqual(books["exported"], len(got))
                    self.assertEqual(set(books["dropped"]) - {"returned", "queue_full"}, set(), books)
                    self.assertEqual(d.stop(), 0, d.log())

    def test_fan_out_comes_and_goes(self):
        both = "traces: {receivers: [otlp], exporters: [otlp_http, otlp_http/b]}"
        with Backend() as a, Backend() as b:
            second = ", otlp_http/b: {endpoint: '%s'}" % b.url
            with Reloading(plan(a), ["--workers", "2"]) as d:
                d.wait_ready()
                load = Load(d.http_port(), 1)
                load.start()
                for i in range(10):
                    d.reload(plan(a, "", both, exporters=second) if i % 2 == 0 else plan(a))
                    before = b.count()
                    if i % 2 == 0:
                        wait_for(lambda: b.count() > before, "spans at the second backend")
                    d.ledger()
                load.stop()
                self.assertEqual(load.failures, [])
                self.assertEqual(d.stop(), 0, d.log())
                self.assertEqual(set(load.acknowledged), {trace for trace, _ in a.ids})
                self.assertEqual(d.find("Span ledger")["exported"], len(load.acknowledged))

    def test_receivers_and_connectors_come_and_go(self):
        def two(backend):
            return plan(backend, "", "traces: {receivers: [otlp], exporters: [otlp_http]}, "
                        "traces/in: {receivers: [otlp/b], exporters: [forward]}, "
                        "traces/out: {receivers: [forward], exporters: [otlp_http]}",
                        "connectors: {forward: }").replace(
                            "processors:", "  otlp/b: {protocols: {http: {endpoint: '127.0.0.1:0'}}}\nprocessors:").replace(
                                "receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}",
                                "receivers:\n  otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}")
        with Backend() as backend:
            with Reloading(plan(backend), ["--workers", "2"]) as d:
                d.wait_ready()
                client = connect(self, d)
                d.reload(two(backend))
                port = d.port("Starting HTTP server", **{"otelcol.component.id": "otlp/b"})
                self.assertEqual(send(port, 1, 4), 200)
                self.assertEqual(client.send(10, 2), 200)
                wait_for(lambda: backend.count() == 6, "spans of both")
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces/out"}', 4)
                d.reload(plan(backend))
                self.assertEqual(client.send(20, 2), 200)
                wait_for(lambda: refused(port), "the old port closed")
                self.assertEqual(d.ledger("traces/out")["exported"], 4)
                self.assertEqual(d.stop(), 0, d.log())

    def test_a_listener_that_cannot_be_had_changes_nothing(self):
        with Backend() as backend, socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            taken = s.getsockname()[1]
            with Reloading(plan(backend), ["--workers", "2"]) as d:
                d.wait_ready()
                client = connect(self, d)
                line = d.reload(plan(backend).replace("127.0.0.1:0", "127.0.0.1:%d" % taken), FAILED)
                self.assertIn("address already in use", line["error"])
                self.assertEqual(client.send(1, 2), 200)
                wait_for(lambda: backend.count() == 2, "the spans")
                self.assertEqual(d.stop(), 0, d.log())

    def test_a_receiver_changes_on_its_own_port(self):
        """Clients that keep their connection and clients that come anew for each request see no refusal."""
        for workers in ("1", "2"):
            with Backend() as backend, Reloading(plan(backend), ["--workers", workers]) as d:
                d.wait_ready()
                port = d.http_port()

                def config(i):
                    return plan(backend).replace("'127.0.0.1:0'", "'127.0.0.1:%d', max_request_body_size: %d" % (port, 1000000 + i))
                load = [Load(port, 1), Load(port, 2), Load(port, 3, keep=False), Load(port, 4, keep=False)]
                for one in load:
                    one.start()
                for i in range(10):
                    d.reload(config(i))
                for one in load:
                    one.stop()
                self.assertEqual([one.failures for one in load], [[]] * len(load))
                self.assertEqual(d.stop(), 0, d.log())
                got = {trace for one in load for trace in one.acknowledged}
                self.assertEqual(got, {trace for trace, _ in backend.ids})
                # what clients were told to send again counts as dropped: returned
                self.assertEqual(d.find("Span ledger")["dropped"], sum(one.refused * one.n_spans for one in load))

    def test_a_receiver_changes_its_address_on_one_port(self):
        with Backend() as backend, Reloading(plan(backend), ["--workers", "2"]) as d:
            d.wait_ready()
            port = d.http_port()
            d.reload(plan(backend).replace("127.0.0.1:0", "0.0.0.0:%d" % port))
            d.wait_log("Starting HTTP server", endpoint="0.0.0.0:%d" % port)
            self.assertEqual(send(port, 1, 2), 200)
            wait_for(lambda: backend.count() == 2, "the spans")
            self.assertEqual(d.stop(), 0, d.log())

    def test_two_receivers_on_one_port_are_still_an_error(self):
        with Backend() as backend, Reloading(plan(backend), ["--workers", "2"]) as d:
            d.wait_ready()
            more = plan(backend).replace("receivers: {", "receivers: {otlp/b: {protocols: {http: {endpoint: '127.0.0.1:%d'}}}, "
                                         % d.http_port()).replace("receivers: [otlp]", "receivers: [otlp, otlp/b]")
            self.assertIn("address already in use", d.reload(more, FAILED)["error"])
            self.assertEqual(send(d.http_port(), 1, 1), 200)
            self.assertEqual(d.stop(), 0, d.log())

    def test_the_file_exporter_changes_on_its_path(self):
        """Under load: each reload brings other settings for the same file. Guarantees: records stay whole, none is lost, the
        file is never emptied."""
        both = "traces: {receivers: [otlp], exporters: [otlp_http, file]}"
        more = ("", ", rotation: {max_megabytes: 50}", ", sending_queue: {queue_size: 100, block_on_overflow: true}", ", append: true",
                ", flush_interval: 2s")
        with Backend() as backend, tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out")

            def config(i):
                return plan(backend, "", both, exporters=", file: {path: '%s'%s}" % (path, more[i % len(more)]))
            with Reloading(config(0), ["--workers", "2"]) as d:
                d.wait_ready()
                load = [Load(d.http_port(), k) for k in range(2)]
                for one in load:
                    one.start()
                for i in range(1, 11):
                    d.reload(config(i))
                for one in load:
                    one.stop()
                self.assertEqual([one.failures for one in load], [[], []])
                self.assertEqual(d.stop(), 0, d.log())
                with open(path, encoding="utf-8") as f:
                    got = [span["traceId"] for line in f for r in json.loads(line)["resourceSpans"]
                           for s in r["scopeSpans"] for span in s["spans"]]
                self.assertEqual(sorted(got), sorted(trace for one in load for trace in one.acknowledged))

    def test_the_file_exporter_keeps_its_format(self):
        with Backend() as backend:
            both = "traces: {receivers: [otlp], exporters: [otlp_http, file]}"

            def to_file(d, more=""):
                return plan(backend, "", both, exporters=", file: {path: '%s/out'%s}" % (d.dir.name, more))
            with Reloading(plan(backend)) as d:
                d.wait_ready()
                d.reload(to_file(d))
                line = d.reload(to_file(d, ", format: proto"), FAILED)
                self.assertIn('"file" exporter cannot be changed while running', line["error"])
                self.assertEqual(send(d.http_port(), 1, 1), 200)
                wait_for(lambda: os.path.getsize(d.dir.name + "/out"), "the file")
                d.reload(to_file(d, ", format: proto").replace("/out'", "/other'"))
                self.assertEqual(send(d.http_port(), 10, 1), 200)
                wait_for(lambda: os.path.getsize(d.dir.name + "/other"), "the other file")
                d.reload(plan(backend))
                self.assertEqual(d.stop(), 0, d.log())


    def test_tail_sampling_leaves(self):
        """Taken out, or with another strategy in its place: what it held is decided then by its own policies, and goes on."""
        def tail(wait, policy, more=""):
            return "tail_sampling: {decision_wait: %s, policies: [{name: p, %s}]%s}" % (wait, policy, more)
        errors = "type: status_code, status_code: {status_codes: [ERROR]}"
        with Backend() as backend:
            with Reloading(plan(backend, tail("1h", "type: always_sample"), ["tail_sampling"]), ["--workers", "2"]) as d:
                d.wait_ready()
                client = connect(self, d)
                self.assertEqual(client.send(1, 30), 200)
                wait_for(lambda: d.ledger()["held"] == 30, "held spans")
                d.reload(plan(backend, tail("1h", errors, ", sampling_strategy: span-ingest"), ["tail_sampling"]))
                wait_for(lambda: backend.count() == 30, "what the one before held")
                self.assertEqual(client.send(100, 20), 200)
                self.assertEqual(client.send(200, 20, status={"code": 2}), 200)
                wait_for(lambda: backend.count() == 50, "the errors, at once")
                self.assertEqual(d.ledger()["held"], 20)
                d.reload(plan(backend, tail("1h", errors), []))
                d.wait_metric('tailrace_pipeline_sampled_out_spans{pipeline="traces"}', 20)
                self.assertEqual(client.send(300, 5), 200)
                wait_for(lambda: backend.count() == 55, "spans that nobody samples")
                self.assertEqual(d.ledger()["held"], 0)
                self.assertEqual(d.ledger()["dropped"], {})
                self.assertEqual(d.stop(), 0, d.log())

    def test_tail_sampling_with_files_stays(self):
        with Backend() as backend, tempfile.TemporaryDirectory() as directory:
            tail = "tail_sampling: {decision_wait: 1h, storage: file_storage, policies: [{name: all, type: always_sample}]}"
            extension = "extensions: {file_storage: {directory: '%s'}}" % directory

            def stored(names):
                return plan(backend, tail, names, extension).replace("service: {", "service: {extensions: [file_storage], ")
            with Reloading(stored(["tail_sampling"])) as d:
                d.wait_ready()
                line = d.reload(stored([]), FAILED)
                self.assertIn('"tail_sampling" processor cannot be changed or removed', line["error"])
                self.assertEqual(d.stop(), 0, d.log())


if __name__ == "__main__":
    unittest.main()
