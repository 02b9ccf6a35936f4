# SPDX-License-Identifier: Apache-2.0
"""tail_sampling with storage, one life after the other: what was decided stays decided, deadlines stand, nothing that was
delivered or is safe in another file is sent again."""
import re
import shutil
import tempfile
import unittest

from otlp_http import Backend
from tailrace import Daemon, wait_for
from window import PREFIX, SPANS, Load, config, kept, marked, post, post_whole, span

SAMPLED = 'otelcol_processor_tail_sampling_global_count_traces_sampled{decision="sampled",sampled="true"}'
NOT_SAMPLED = 'otelcol_processor_tail_sampling_global_count_traces_sampled{decision="not_sampled",sampled="false"}'
TRACES = range(100, 200)

def seconds_left(d, trace):
    """Until the trace is due, from the page that explains it; None: it is not held."""
    found = re.search(r"due in (-?\d+) s", d.get("/debug/traces/%032x" % trace)[2])
    return int(found.group(1)) if found else None


class Lives(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)

    def test_decisions_stand(self):
        """Scenario: traces are decided and delivered, the process is killed; then late spans come, for each trace enough of
        them for the opposite decision. Guarantees: they follow the decision that was made."""
        with Backend() as backend:
            with Daemon(config(self.dir, backend.url, "1s"), ["--workers", "2"]) as d:
                d.wait_ready()
                post_whole(d.port("Starting HTTP server"), TRACES)
                d.wait_metric(SAMPLED, 50)
                d.wait_metric(NOT_SAMPLED, 50)
                wait_for(lambda: d.ledger()["held"] == 0, d.log)
                d.process.kill()
            before = backend.distinct()
            self.assertEqual(before, kept(TRACES))
            with Daemon(config(self.dir, backend.url, "1s"), ["--workers", "1"]) as d:
                d.wait_ready()
                port = d.port("Starting HTTP server")
                late = {}
                for k in range(SPANS):
                    spans = [dict(span(t, k, not marked(t)), spanId="%016x" % (1 << 40 | t * SPANS + k)) for t in TRACES]
                    late.update({(s["traceId"], s["spanId"]): int(s["traceId"], 16) for s in spans})
                    self.assertEqual(post(port, spans), 200)
                expected = before | {i for i, trace in late.items() if marked(trace)}
                wait_for(lambda: backend.distinct() >= expected, "late spans of kept traces: " + d.log())
                d.wait_metric('tailrace_pipeline_sampled_out_spans{pipeline="traces"}', 50 * SPANS)
                wait_for(lambda: d.ledger()["held"] == 0, d.log)
                page = d.metrics()
                self.assertFalse(page.get(SAMPLED) or page.get(NOT_SAMPLED))
                self.assertEqual(d.stop(), 0, d.log())
            self.assertEqual(backend.distinct(), expected)
            self.assertEqual(backend.count(), len(expected))

    def test_deadlines_stand(self):
        """Scenario: a trace has waited some seconds when the process is killed. Guarantees: in the next process it does not
        begin to wait anew."""
        with Backend() as backend:
            with Daemon(config(self.dir, backend.url, "600s")) as d:
                d.wait_ready()
                self.assertEqual(post(d.port("Starting HTTP server"), [span(2, 0, True)]), 200)
                # The worker that owns the trace may get it a moment after the answer.
                wait_for(lambda: (seconds_left(d, 2) or 600) <= 597, "some seconds")
                d.process.kill()
            with Daemon(config(self.dir, backend.url, "600s")) as d:
                d.wait_ready()
                wait_for(lambda: seconds_left(d, 2) is not None, "the trace: " + d.log())
                self.assertLessEqual(seconds_left(d, 2), 598)  # ticks are seconds
                self.assertEqual(d.stop(), 0, d.log())

    def test_a_queue_on_disk_has_them_once(self):
        """Scenario: behind the window a sending queue on disk, the backend is away. The process is killed when the queue has
        the kept traces, and the next one finds the backend. Guarantees: each span arrives once; the window has let go of them."""
        queue = "{storage: file_storage, sizer: items, queue_size: 100000}, retry_on_failure: {max_elapsed_time: 0}"
        down = [True]
        with Backend(lambda n: 503 if down[0] else 200) as backend:
            with Daemon(config(self.dir, backend.url, "1s", queue=queue)) as d:
                d.wait_ready()
                post_whole(d.port("Starting HTTP server"), TRACES)
                d.wait_metric('otelcol_exporter_queue_size{data_type="traces",exporter="otlp_http"}', 50 * SPANS)
                self.assertEqual(d.ledger()["held"], 50 * SPANS)
                d.process.kill()
            self.assertEqual(backend.count(), 0)
            down[0] = False
            with Daemon(config(self.dir, backend.url, "1s", queue=queue)) as d:
                wait_for(lambda: backend.distinct() == kept(TRACES), "the kept traces: " + d.log())
                wait_for(lambda: d.ledger()["held"] == 0, d.log)
                page = d.metrics()
                self.assertEqual(page[PREFIX + "restored_spans"], 0)
                self.assertEqual(page['tailrace_storage_restored_spans{exporter="otlp_http"}'], 50 * SPANS)
                self.assertEqual(d.stop(), 0, d.log())
            self.assertEqual(backend.count(), 50 * SPANS)

    def test_stops_under_load_send_nothing_twice(self):
        """Scenario: a process under load is stopped, amid decisions and deliveries, and another goes on; three times.
        Guarantees: every kept trace that was acknowledged arrives, and no span twice."""
        acked = []
        with Backend() as backend:
            for i in range(3):
                with Daemon(config(self.dir, backend.url, "2s"), ["--workers", str(1 + i % 2)]) as d:
                    d.wait_ready()
                    arrived = backend.count()
                    loads = [Load(d.port("Starting HTTP server"), 1000000 * (2 * i + n + 1)) for n in range(2)]
                    for load in loads:
                        load.start()
                    wait_for(lambda: backend.count() > arrived, "kept spans: " + d.log())
                    code = d.stop()
                    self.assertEqual(code, 0, d.log())
                    for load in loads:
                        load.join(60)
                        acked.extend(load.acked)
            with Daemon(config(self.dir, backend.url, "2s")) as d:
                d.wait_ready()
                wait_for(lambda: backend.distinct() >= kept(acked) if acked else True, "what was acknowledged: " + d.log())
                wait_for(lambda: d.ledger()["held"] == 0, d.log)
                self.assertEqual(d.stop(), 0, d.log())
            self.assertEqual(backend.count(), len(backend.distinct()))


if __name__ == "__main__":
    unittest.main()
