# SPDX-License-Identifier: Apache-2.0
"""Reload while running: what changes, what stays, what is refused, and that nothing is lost by it.

TAILRACE_RELOADS: how many reloads under load (50; `make soak` asks for more)."""
import http.client
import json
import os
import signal
import socket
import tempfile
import unittest

from otlp_http import Backend, Client, Load, send
from tailrace import Daemon, wait_for

RELOADS = int(os.environ.get("TAILRACE_RELOADS", "50"))
SUCCESS = "otelcol_config_last_reload_success"
TIME = "otelcol_config_last_reload_success_timestamp"
DONE, SAME = "Configuration reloaded", "Configuration is unchanged"
FAILED = "The configuration was not reloaded, nothing changed"


def plan(backend, processors="", pipelines=None, more="", exporters=""):
    """processors: the definitions by name; pipelines: text, or the names in order for `traces`."""
    names = "" if not isinstance(pipelines, (list, tuple)) else ", ".join(pipelines)
    text = pipelines if isinstance(pipelines, str) else "traces: {receivers: [otlp], processors: [%s], exporters: [otlp_http]}" % names
    # one connection a worker, so that the number of open files tells something
    return """
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
processors: {%s}
exporters: {otlp_http: {endpoint: '%s', compression: none, sending_queue: {num_consumers: 1}}%s}
service: {pipelines: {%s}}
%s""" % (processors, backend.url, exporters, text, more)


def marked(value):
    return "attributes: {actions: [{key: mark, value: '%s', action: upsert}]}" % value


class Reloading(Daemon):
    def write(self, config):
        """In place of the old file, in one step."""
        new = self.path + ".new"
        with open(new, "w", encoding="utf-8") as f:
            f.write(config)
        os.replace(new, self.path)

    def count(self, message):
        with self.lock:
            return sum(line.get("msg") == message for line in self.lines)

    def reload(self, config, message=DONE):
        before = self.count(message)
        self.write(config)
        self.signal(signal.SIGHUP)
        wait_for(lambda: self.count(message) > before or self.process.poll() is not None,
                 lambda: "%s in:\n%s" % (message, self.log()))
        assert self.process.poll() is None, self.log()
        with self.lock:
            return [line for line in self.lines if line.get("msg") == message][-1]

    def http_port(self):
        return self.port("Starting HTTP server")

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def post(self, path="/-/reload", method="POST"):
        c = http.client.HTTPConnection("127.0.0.1", self.port("Serving metrics", "address"), timeout=30)
        c.request(method, path)
        r = c.getresponse()
        answer = r.status, r.read().decode()
        c.close()
        return answer


def refused(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def connect(test, d):
    client = Client(d.http_port())
    test.addCleanup(client.close)
    return client


class Changes(unittest.TestCase):
    def test_a_processor_changes_under_a_connection(self):
        with Backend() as backend:
            with Reloading(plan(backend, marked("one"), ["attributes"]), ["--workers", "2"]) as d:
                d.wait_ready()
                client = connect(self, d)
                self.assertEqual(client.send(1, 3), 200)
                wait_for(lambda: backend.count() == 3, "the first spans")
                self.assertIn(b"one", backend.bodies[-1])
                d.reload(plan(backend, marked("two"), ["attributes"]))
                self.assertEqual(client.send(10, 3), 200)  # the same connection
                wait_for(lambda: backend.count() == 6, "the next spans")
                self.assertIn(b"two", backend.bodies[-1])
                self.assertNotIn(b"one", backend.bodies[-1])
                self.assertEqual(d.ledger()["accepted"], 6)
                page = d.metrics()
                self.assertEqual(page[SUCCESS], 1)
                self.assertEqual(d.stop(), 0, d.log())
                self.assertEqual(d.find("Span ledger")["exported"], 6)

    def test_processors_come_and_go(self):
        with Backend() as backend:
            with Reloading(plan(backend)) as d:
                d.wait_ready()
                client = connect(self, d)
                for i, (names, expect) in enumerate(((["attributes"], True), (["batch", "attributes"], True), ([], False),
                                                     (["attributes", "batch"], True), (["batch"], False))):
                    d.reload(plan(backend, "batch: {timeout: 10ms}, " + marked("here"), names))
                    self.assertEqual(client.send(1 + 10 * i, 2), 200)
                    wait_for(lambda: backend.count() == 2 * i + 2, "spans of round %d" % i)
                    self.assertEqual(b"here" in backend.bodies[-1], expect)
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 10)
                self.assertEqual(d.ledger()["held"], 0)
                self.assertEqual(d.stop(), 0, d.log())

    def test_a_chain_that_works_as_one_changes_in_its_middle(self):
        """Neighbours take spans together; each keeps its place, its effect and its counters."""
        def processors(middle):
            return "attributes/first: {actions: [{key: mark, value: card-4111, action: upsert}]}, %s, attributes/last: {actions: [" \
                   "{key: copy, from_attribute: mark, action: insert}]}" % middle

        masks = "redaction: {allow_all_keys: true, blocked_values: ['4[0-9]+']}"
        names = ("transform: {error_mode: ignore, trace_statements: ['set(span.attributes[\"mark\"], \"%s\")"
                 " where span.attributes[\"mark\"] == \"card-4111\"']}")
        with Backend() as backend:
            with Reloading(plan(backend, processors(masks), ["attributes/first", "redaction", "attributes/last"]), ["--workers", "2"]) as d:
                d.wait_ready()
                client = connect(self, d)
                for i, (middle, name, expect) in enumerate(((masks, "redaction", b"card-****"), (names % "two", "transform", b"two"),
                                                            (names % "three", "transform", b"three"), (masks, None, b"card-4111"))):
                    chain = ["attributes/first", name, "attributes/last"] if name else ["attributes/first", "attributes/last"]
                    if i:
                        d.reload(plan(backend, processors(middle), chain))
                    self.assertEqual(client.send(1 + 10 * i, 4), 200)
                    wait_for(lambda: backend.count() == 4 * i + 4, "spans of round %d" % i)
                    self.assertEqual(backend.bodies[-1].count(expect), 8)  # mark and copy of four spans
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 16)
                page = d.metrics()
                for processor, spans in (("attributes/first", 16), ("attributes/last", 16), ("transform", 8), ("redaction", 4)):
                    for way in ("incoming", "outgoing"):
                        series = 'otelcol_processor_%s_items{otel_signal="traces",processor="%s"}' % (way, processor)
                        self.assertEqual(page.get(series), spans, series)
                self.assertEqual(d.ledger()["dropped"], {})
                self.assertEqual(d.stop(), 0, d.log())

    def test_what_a_processor_holds_goes_on_through_the_new_chain(self):
        """A batch that would wait for an hour leaves with the reload, through what follows now."""
        with Backend() as backend:
            with Reloading(plan(backend, "batch: {timeout: 1h}", ["batch"]), ["--workers", "2"]) as d:
                d.wait_ready()
                self.assertEqual(send(d.http_port(), 1, 5), 200)
                wait_for(lambda: d.ledger()["held"] == 5, "held spans")
                d.reload(plan(backend, "batch: {timeout: 2h}, " + marked("new"), ["batch", "attributes"]))
                wait_for(lambda: backend.count() == 5, "the spans")
                self.assertIn(b"new", backend.bodies[-1])
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 5)
                self.assertEqual(d.ledger()["dropped"], {})
                self.assertEqual(d.stop(), 0, d.log())

    def test_tail_sampling_keeps_its_traces(self):
        """Another processor changes: the traces held stay undecided."""
        tail = "tail_sampling: {decision_wait: 1h, policies: [{name: all, type: always_sample}]}, "
        with Backend() as backend:
            with Reloading(plan(backend, tail + marked("one"), ["tail_sampling", "attributes"]), ["--workers", "2"]) as d:
                d.wait_ready()
                self.assertEqual(send(d.http_port(), 1, 9), 200)
                wait_for(lambda: d.ledger()["held"] == 9, "held spans")
                d.reload(plan(backend, tail + marked("two"), ["tail_sampling", "attributes"]))
                self.assertEqual(send(d.http_port(), 100, 1), 200)
                wait_for(lambda: d.ledger()["held"] == 10, "held spans")
                self.assertEqual(backend.count(), 0)
                self.assertEqual(d.stop(), 0, d.log())
                self.assertEqual(backend.count(), 10)
                self.assertEqual(sum(b"two" in body for body in backend.bodies), backend.requests)

    def test_new_policies_judge_the_traces_held(self):
        """The policies that came with a reload decide about traces that came before it, by all of their spans."""
        def tail(wait, *policies):
            return "tail_sampling: {decision_wait: %s, policies: [%s]}" % (wait, ", ".join(policies))
        never = "{name: never, type: string_attribute, string_attribute: {key: no, values: [such]}}"
        errors = "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}"
        names = "{name: named, type: ottl_condition, ottl_condition: {span: ['name == \"special\"']}}"
        with Backend() as backend:
            with Reloading(plan(backend, tail("1h", never), ["tail_sampling"]), ["--workers", "2"]) as d:
                d.wait_ready()
                client = connect(self, d)
                self.assertEqual(client.send(1, 20), 200)
                self.assertEqual(client.send(100, 20, status={"code": 2}), 200)
                self.assertEqual(client.send(200, 20, name="special"), 200)
                wait_for(lambda: d.ledger()["held"] == 60, "held spans")
                d.reload(plan(backend, tail("2h", errors, names), ["tail_sampling"]))
                self.assertEqual(d.ledger()["held"], 60)
                self.assertEqual(client.send(300, 20), 200)
                self.assertEqual(client.send(100, 1, name="later"), 200)
                d.reload(plan(backend, tail("1s", errors, names), ["tail_sampling"]))
                d.wait_metric('tailrace_pipeline_sampled_out_spans{pipeline="traces"}', 40)
                wait_for(lambda: backend.count() == 41, "the kept spans")
                self.assertEqual({trace for trace, _ in backend.ids},
                                 {"%032x" % (0xabc << 100 | i) for i in list(range(100, 120)) + list(range(200, 220))})
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 41)
                self.assertEqual(d.ledger()["held"], 0)
                self.assertEqual(d.stop(), 0, d.log())

    def test_pipelines_come_and_go(self):
        """Another pipeline on the same receiver and exporter; its books stay when it goes."""
        one = "traces: {receivers: [otlp], exporters: [otlp_http]}"
        two = one + ", traces/two: {receivers: [otlp], processors: [batch], exporters: [otlp_http]}"
        batch = "batch: {timeout: 1h}"
        with Backend() as backend:
            with Reloading(plan(backend, batch, one), ["--workers", "2"]) as d:
                d.wait_ready()
                client = connect(self, d)
                self.assertEqual(client.send(1, 1), 200)
                d.reload(plan(backend, batch, two))
                self.assertEqual(client.send(2, 1), 200)
                self.assertEqual(d.ledger("traces/two")["accepted"], 1)
                d.reload(plan(backend, batch, one))
                self.assertEqual(client.send(3, 1), 200)
                wait_for(lambda: backend.count() == 4, "all spans")
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces/two"}', 1)
                self.assertEqual(d.ledger("traces/two")["accepted"], 1)
                d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 3)
                self.assertEqual(d.ledger()["accepted"], 3)
                d.reload(plan(backend, batch, two))  # the same books go on
                self.assertEqual(client.send(4, 1), 200)
                self.assertEqual(d.ledger("traces/two")["accepted"], 2)
                self.assertEqual(d.stop(), 0, d.log())

    def test_memory_limits_follow(self):
        limiter = "memory_limiter: {check_interval: 1s, limit_mib: %d}"
        with Backend() as backend:
            with Reloading(plan(backend, limiter % 100, ["memory_limiter"])) as d:
                d.wait_ready()
                self.assertEqual(d.metrics()["tailrace_memory_limit_bytes"], 100 << 20)
                d.reload(plan(backend, limiter % 50, ["memory_limiter"]))
                self.assertEqual(d.metrics()["tailrace_memory_limit_bytes"], 50 << 20)
                self.assertEqual(d.stop(), 0, d.log())


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


class NothingChanges(unittest.TestCase):
    def refuse(self, d, config, *words):
        before = d.metrics()[TIME]
        line = d.reload(config, FAILED)
        for word in words:
            self.assertIn(word, line["error"])
        page = d.metrics()
        self.assertEqual((page[SUCCESS], page[TIME]), (0, before))

    def test_errors_and_refusals(self):
        tail = "tail_sampling: {policies: [{name: all, type: always_sample}]}"
        with Backend() as backend:
            good = plan(backend, tail, ["tail_sampling"])
            with Reloading(good) as d:
                d.wait_ready()
                client, fds = connect(self, d), d.fds()
                self.assertEqual(client.send(1, 1), 200)
                self.refuse(d, good.replace("policies", "polices"), "polices", "policies", "collector.yaml:")
                self.refuse(d, "a: [", "collector.yaml:2:1", "not valid YAML")
                self.refuse(d, plan(backend, tail, ["tail_sampling", "batch"]), "batch")  # not defined
                self.refuse(d, good.replace("always_sample", "never_sample"), "never_sample")
                self.refuse(d, good.replace("service: {", "extensions: {health_check: {endpoint: '%s'}}\n"
                                                          "service: {extensions: [health_check], " % backend.url[7:]),
                            'failed to start "health_check" extension')
                self.assertEqual(client.send(2, 1), 200)  # the same connection
                self.assertEqual(d.ledger()["accepted"], 2)
                d.reload(good, SAME)
                self.assertEqual(d.metrics()[SUCCESS], 1)
                d.write(good.replace("service: {", "extensions: {health_check: {endpoint: '%s'}}\nservice: {extensions: [health_check], " % backend.url[7:]))
                for _ in range(30):
                    self.assertEqual(d.post()[0], 409)
                self.assertLessEqual(d.fds(), fds + 15)  # these requests' own connections may linger
                self.assertEqual(d.stop(), 0, d.log())


OWN = "service: {telemetry: {%s}}"


class Telemetry(unittest.TestCase):
    """service.telemetry: its own file behind the others, so that it can change."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "telemetry.yaml")
        self.folder = folder.name
        self.say()

    def say(self, logs="", metrics="", more="", encoding="json"):
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(OWN % ("logs: {encoding: %s, sampling: {enabled: false}%s}, metrics: {%s}%s" % (
                encoding, logs, metrics or self.reader(0), more)))

    @staticmethod
    def reader(port, more="", host="127.0.0.1"):
        return "readers: [{pull: {exporter: {prometheus: {host: '%s', port: %d%s}}}}]" % (host, port, more)

    def daemon(self, backend):
        return Reloading(plan(backend), ["--config", self.path], telemetry=None)

    def apply(self, d, message=DONE, **said):
        self.say(**said)
        with open(d.path, encoding="utf-8") as f:
            return d.reload(f.read(), message)

    def page(self, d, port):
        status, _, body = d.get("/metrics", port)
        self.assertEqual(status, 200)
        return body

    def page_or_reset(self, d, port):
        try:
            return self.page(d, port)
        except OSError:
            return None

    def test_readers_come_go_and_change(self):
        with Backend() as backend, self.daemon(backend) as d:
            d.wait_ready()
            port = d.port("Serving metrics", "address")
            body = self.page(d, port)
            before = d.fds()
            self.assertIn("otelcol_process_uptime ", body)
            name = body[body.index("target_info{"):].split("\n", 1)[0]
            # spelling and level change on the same socket; the instance stays who it is
            self.apply(d, metrics="level: detailed, " + self.reader(0, ", without_type_suffix: false, without_units: false"))
            body = self.page(d, port)
            self.assertIn("otelcol_process_uptime_seconds_total ", body)
            self.assertIn(name, body)
            # another name for the process, as label too
            self.apply(d, metrics=self.reader(0, ", with_resource_constant_labels: {included: ['service.name']}"),
                       more=", resource: {service.name: other}")
            body = self.page(d, port)
            self.assertEqual(body.count("target_info{"), 1)
            self.assertIn('service_name="other"', body[body.index("target_info{"):].split("\n", 1)[0])
            self.assertIn('otelcol_process_uptime{service_name="other"} ', body)
            # another address of the same port, asked for over the reader that goes
            self.say(metrics=self.reader(port, host="0.0.0.0"))
            self.assertEqual(d.post()[0], 200)
            d.wait_log("Serving metrics", address="0.0.0.0:%d" % port)
            # whoever came while the old socket closed was reset
            self.assertIn("otelcol_process_uptime ", wait_for(lambda: self.page_or_reset(d, port), "the new socket"))
            # one that cannot be had changes nothing
            line = self.apply(d, FAILED, metrics=self.reader(int(backend.url.rsplit(":", 1)[1])))
            self.assertIn("for Prometheus exporter", line["error"])
            self.assertIn("address already in use", line["error"])
            # two of them, then none
            self.apply(d, metrics="readers: [%s, %s]" % (self.reader(port, host="0.0.0.0")[10:-1], self.reader(0)[10:-1]))
            self.assertEqual(len([line for line in d.lines if line.get("msg") == "Serving metrics"]), 3)
            self.page(d, int([line for line in d.lines if line.get("msg") == "Serving metrics"][-1]["address"].rsplit(":", 1)[1]))
            self.page(d, port)
            self.apply(d, metrics="level: none")
            wait_for(lambda: refused(port), "the reader's end")
            self.apply(d, metrics=self.reader(port))
            self.page(d, port)
            wait_for(lambda: d.fds() <= before + 1, lambda: "%d open files, not %d" % (before, d.fds()))
            self.assertEqual(d.stop(), 0, d.log())

    def test_level(self):
        """What components count follows: batch sizes of the queue exist at `detailed` only."""
        sizes = 'otelcol_exporter_queue_batch_send_size_count{exporter="otlp_http"}'
        with Backend() as backend, self.daemon(backend) as d:
            d.wait_ready()
            client = connect(self, d)
            self.assertEqual(client.send(1, 1), 200)
            d.wait_metric('otelcol_exporter_sent_spans{exporter="otlp_http"%s}' % ",server_address=\"127.0.0.1\",server_port=\"%s\",url_path=\"/v1/traces\"" % backend.url.rsplit(":", 1)[1], 1)
            self.assertNotIn(sizes, d.metrics())
            self.apply(d, metrics="level: detailed, " + self.reader(0))
            self.assertEqual(client.send(2, 1), 200)
            d.wait_metric(sizes, 1)
            self.assertEqual(client.send(3, 1), 200)  # the same connection
            d.wait_metric(sizes, 2)
            self.apply(d)
            self.assertNotIn(sizes, d.metrics())
            self.assertEqual(d.stop(), 0, d.log())

    def test_logs(self):
        first, second = (os.path.join(self.folder, name) for name in ("first.log", "second.log"))

        def text(path):
            with open(path, encoding="utf-8") as f:
                return f.read()
        with Backend() as backend, self.daemon(backend) as d:
            d.wait_ready()
            self.apply(d, logs=", level: debug, output_paths: [stderr, '%s'], initial_fields: {where: here}" % first)
            wait_for(lambda: '"where":"here"' in text(first), lambda: text(first))
            self.assertIn(DONE, text(first))
            # renamed by whoever rotates logs: let go of at the next reload, changed or not
            os.rename(first, second)
            self.apply(d, SAME, logs=", level: debug, output_paths: [stderr, '%s'], initial_fields: {where: here}" % first)
            wait_for(lambda: SAME in text(first), lambda: text(first))
            self.assertNotIn(SAME, text(second))
            # a file that cannot be had changes nothing
            self.assertIn("no such file", self.apply(d, FAILED, logs=", output_paths: ['/no/such/file']")["error"].lower())
            wait_for(lambda: FAILED in text(first), lambda: text(first))
            # console text; the file stays closed
            self.say(encoding="console", logs=", output_paths: [stderr]")
            d.signal(signal.SIGHUP)
            wait_for(lambda: any("\tinfo\t" in line and DONE in line for line in d.raw), d.log)
            self.assertEqual(d.stop(), 0, d.log())
            self.assertNotIn("Shutdown complete.", text(first))


class Triggers(unittest.TestCase):
    def test_request(self):
        with Backend() as backend, Reloading(plan(backend)) as d:
            d.wait_ready()
            self.assertEqual(d.post(), (200, SAME + "\n"))
            d.write(plan(backend, marked("x"), ["attributes"]))
            self.assertEqual(d.post(), (200, DONE + "\n"))
            d.write("receivers: {nop: }")
            status, text = d.post()
            self.assertEqual(status, 400)
            self.assertIn("exporters", text)
            self.assertEqual(d.post(method="GET")[0], 405)
            self.assertEqual(d.post("/-/other")[0], 405)
            self.assertEqual(d.stop(), 0, d.log())

    def test_watched_file_and_symbolic_links(self):
        """As Kubernetes swaps a ConfigMap: collector.yaml -> ..data/collector.yaml, ..data -> a folder."""
        with Backend() as backend, Reloading(plan(backend), ["--watch"]) as d:
            d.wait_ready()
            d.write(plan(backend, marked("x"), ["attributes"]))
            d.wait_log(DONE, trigger="file")
            for version in ("v1", "v2"):
                os.mkdir(os.path.join(d.dir.name, version))
                with open(os.path.join(d.dir.name, version, "collector.yaml"), "w", encoding="utf-8") as f:
                    f.write(plan(backend, marked(version), ["attributes"]))
                before = d.count(DONE)
                os.symlink(version, os.path.join(d.dir.name, "..new"))
                os.rename(os.path.join(d.dir.name, "..new"), os.path.join(d.dir.name, "..data"))
                if version == "v1":
                    os.symlink("..data/collector.yaml", d.path + ".link")
                    os.rename(d.path + ".link", d.path)
                wait_for(lambda: d.count(DONE) > before, "a reload of " + version)
            self.assertEqual(send(d.http_port(), 1, 1), 200)
            wait_for(lambda: backend.count() == 1, "the span")
            self.assertIn(b"v2", backend.bodies[-1])
            self.assertEqual(d.stop(), 0, d.log())


    def test_watched_values(self):
        """A mounted Secret that the configuration names by ${file:...}; one that is named later is watched from then on."""
        with Backend() as backend, tempfile.TemporaryDirectory() as folder:
            def put(name, text):
                with open(os.path.join(folder, name + ".new"), "w", encoding="utf-8") as f:
                    f.write(text)
                os.rename(os.path.join(folder, name + ".new"), os.path.join(folder, name))

            def mark(d):
                before = backend.count()
                self.assertEqual(send(d.http_port(), before + 1, 1), 200)
                wait_for(lambda: backend.count() > before, "the span")
                return backend.bodies[-1]
            put("one", "first")
            put("two", "second")
            with Reloading(plan(backend, marked("${file:%s/one}" % folder), ["attributes"]), ["--watch"]) as d:
                d.wait_ready()
                self.assertIn(b"first", mark(d))
                for name, text in (("one", "third"), ("two", "fourth")):
                    before = d.count(DONE)
                    put(name, text)
                    wait_for(lambda: d.count(DONE) > before, d.log)
                    self.assertIn(text.encode(), mark(d))
                    d.reload(plan(backend, marked("${file:%s/two}" % folder), ["attributes"])) if name == "one" else None
                self.assertEqual(d.stop(), 0, d.log())


class UnderLoad(unittest.TestCase):
    def test_many_reloads(self):
        """Guarantees: no request fails, every acknowledged span arrives once, books balance at each look, and the number of
        open files and the memory stay what they are (memory: but with sanitizers, which keep what was freed)."""
        tail = "tail_sampling: {decision_wait: 2s, policies: [{name: p%d, type: latency, latency: {threshold_ms: %d}}]}, "

        def version(i):
            names = (["attributes", "batch"], ["batch", "attributes"], ["batch"], ["attributes"])[i % 4]
            return plan(backend, tail % (i % 3, i % 5) + "batch: {timeout: %dms}, " % (5 + i) + marked("v%d" % i), ["tail_sampling"] + names)
        with Backend() as backend:
            with Reloading(version(0), ["--workers", "2"]) as d:
                d.wait_ready()
                threads = [Load(d.http_port(), k) for k in range(3)]
                for thread in threads:
                    thread.start()
                wait_for(lambda: all(t.acknowledged for t in threads), "load")
                fds, rss = d.fds(), 0
                for i in range(1, RELOADS + 1):
                    d.reload(version(i))
                    d.ledger()
                    if i == min(100, RELOADS // 2):
                        rss = d.metrics()["otelcol_process_memory_rss"]
                end = d.metrics()["otelcol_process_memory_rss"]
                if os.environ.get("TAILRACE_KIND", "plain") == "plain":
                    self.assertLess(end, rss + (16 << 20), "RSS grew from %d to %d" % (rss, end))
                print("%d reloads: RSS %.1f, then %.1f MiB; %d open files, then %d" % (RELOADS, rss / 2**20, end / 2**20, fds, d.fds()))
                for thread in threads:
                    thread.stop()
                # two more at most: the exporters' connections, one a worker
                wait_for(lambda: d.fds() <= fds + 2, lambda: "%d open files, not %d" % (fds, d.fds()))
                self.assertEqual([t.failures for t in threads], [[], [], []])
                self.assertEqual(d.stop(), 0, d.log())
                acknowledged = [x for t in threads for x in t.acknowledged]
                got = [trace for trace, _ in backend.ids]
                self.assertEqual(len(got), len(set(got)))
                last = d.find("Span ledger")
                self.assertEqual(len(set(acknowledged) - set(got)), 0, d.log())
                self.assertEqual((last["accepted"], last["exported"], last["held"]), (len(got), len(got), 0))


if __name__ == "__main__":
    unittest.main()
