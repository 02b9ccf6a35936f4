# SPDX-License-Identifier: Apache-2.0
"""Reload while running: what changes, what stays, what is refused, and that nothing is lost by it.

TAILRACE_RELOADS: how many reloads under load (50; `make soak` asks for more)."""
import os
import signal
import tempfile
import unittest

from otlp_http import Backend, Load, send
from reloading import DONE, FAILED, SAME, SUCCESS, TIME, Reloading, connect, marked, plan, refused
from tailrace import wait_for

RELOADS = int(os.environ.get("TAILRACE_RELOADS", "50"))


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
