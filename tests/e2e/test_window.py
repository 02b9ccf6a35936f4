# SPDX-License-Identifier: Apache-2.0
"""tail_sampling with storage: what it holds outlives the process, killed or stopped.

TAILRACE_WINDOW_ROUNDS sets how often a process is killed under load (5)."""
import os
import random
import shutil
import tempfile
import unittest

from otlp_http import Backend
from tailrace import Daemon, wait_for
from window import PREFIX, SPANS, Load, config, ids, marked, post, reload, span

ROUNDS = int(os.environ.get("TAILRACE_WINDOW_ROUNDS", "5"))
WORKERS = (1, 2, 2, 3, 1)


class Window(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.acked, self.first = [], 1

    def load_for(self, d, requests):
        """Two senders, until they have had so many groups acknowledged; they go on until they are told to stop."""
        port = d.port("Starting HTTP server")
        loads = [Load(port, self.first), Load(port, self.first + 1000000)]
        self.first += 2000000
        for load in loads:
            load.start()
        wait_for(lambda: sum(len(load.acked) for load in loads) >= requests * 20, "the load: " + d.log())
        return loads

    def collect(self, loads):
        for load in loads:
            load.stopping = True
        for load in loads:
            load.join(60)
            self.assertFalse(load.is_alive())
            self.acked.extend(load.acked)

    def test_killed_under_load(self):
        """Scenario: a process under load is killed again and again and started again, with other numbers of workers.
        Guarantees: every trace of which all spans were acknowledged is decided with all of them; what is kept arrives,
        nothing else does; the books of the last process agree."""
        with Backend() as backend:
            for i in range(ROUNDS):
                with Daemon(config(self.dir, backend.url), ["--workers", str(WORKERS[i % len(WORKERS)])]) as d:
                    d.wait_ready()
                    arrived = backend.count()
                    loads = self.load_for(d, random.randint(1, 40))
                    if i % 5 == 3:  # amid decisions and deliveries
                        wait_for(lambda: backend.count() > arrived, "kept spans: " + d.log())
                    d.process.kill()
                    d.wait_exit()
                    self.collect(loads)
            with Daemon(config(self.dir, backend.url), ["--workers", str(WORKERS[ROUNDS % len(WORKERS)])]) as d:
                d.wait_ready()
                kept = set().union(*(ids(t) for t in self.acked if marked(t)))
                wait_for(lambda: backend.distinct() >= kept, lambda: "%d spans that were acknowledged, log:\n%s" % (
                    len(kept - backend.distinct()), d.log()))
                page = d.wait_metric(PREFIX + "held_spans", 0)
                wait_for(lambda: d.ledger()["held"] == 0, lambda: "empty books: %s" % d.ledger())
                self.assertEqual(page[PREFIX + "storage_corrupt_records"], 0, d.log())
                self.assertEqual(page[PREFIX + "restored_cut_traces"], 0)
                unmarked = {i for i in backend.distinct() if not marked(int(i[0], 16))}
                self.assertEqual(unmarked, set())
                twice = backend.count() - len(backend.distinct())
                print("killed %d times: %d traces acknowledged, %d spans arrived, %d of them twice" % (
                    ROUNDS, len(self.acked), len(backend.distinct()), twice))
                self.assertEqual(d.stop(), 0, d.log())

    def test_a_stop_decides_nothing_early(self):
        """Scenario: a process is stopped while traces wait, and started again. Guarantees: they are left on disk and
        booked as stored; the next process decides them when they are due, with the spans that came meanwhile.
        (A reload makes them due.)"""
        with Backend() as backend:
            with Daemon(config(self.dir, backend.url, "600s"), ["--workers", "2"]) as d:
                d.wait_ready()
                port = d.port("Starting HTTP server")
                for k in range(SPANS - 1):
                    self.assertEqual(post(port, [span(t, k, marked(t)) for t in range(100, 200)]), 200)
                self.assertEqual(d.stop(), 0, d.log())
                books = d.wait_log("Span ledger")
                self.assertEqual((books["accepted"], books["stored"], books["held"]), (300, 300, 0))
            self.assertEqual(backend.count(), 0)
            with Daemon(config(self.dir, backend.url, "600s"), ["--workers", "1"]) as d:
                d.wait_ready()
                self.assertEqual(post(d.port("Starting HTTP server"), [span(t, SPANS - 1, False) for t in range(100, 200)]), 200)
                reload(d, config(self.dir, backend.url, "1s"))
                expected = set().union(*(ids(t) for t in range(100, 200) if marked(t)))
                wait_for(lambda: backend.distinct() == expected, "the kept traces: " + d.log())
                page = d.wait_metric('tailrace_pipeline_sampled_out_spans{pipeline="traces"}', 200)
                self.assertEqual(page[PREFIX + "restored_spans"], 300)
                self.assertEqual(page[PREFIX + "restored_traces"], 100)
                self.assertEqual(d.ledger()["accepted"], 400)
                self.assertEqual(d.stop(), 0, d.log())
            self.assertEqual(backend.count(), 200)

    def test_what_the_backend_did_not_take_is_sent_by_the_next(self):
        """Scenario: the backend refuses while traces are decided; the process is killed; the backend takes again.
        Guarantees: the kept traces arrive, decided once."""
        down = [True]
        with Backend(lambda n: 503 if down[0] else 200) as backend:
            with Daemon(config(self.dir, backend.url, "600s")) as d:
                d.wait_ready()
                port = d.port("Starting HTTP server")
                for k in range(SPANS):
                    self.assertEqual(post(port, [span(t, k, marked(t)) for t in range(100, 200)]), 200)
                reload(d, config(self.dir, backend.url, "1s"))
                d.wait_metric('otelcol_processor_tail_sampling_global_count_traces_sampled{decision="sampled",sampled="true"}', 50)
                d.process.kill()
            down[0] = False
            with Daemon(config(self.dir, backend.url, "1s")) as d:
                expected = set().union(*(ids(t) for t in range(100, 200) if marked(t)))
                wait_for(lambda: backend.distinct() >= expected, "the kept traces: " + d.log())
                page = d.metrics()
                self.assertFalse(page.get('otelcol_processor_tail_sampling_global_count_traces_sampled{decision="sampled",sampled="true"}'))
                self.assertEqual(page[PREFIX + "restored_spans"], 200)
                self.assertEqual(d.stop(), 0, d.log())

    def test_storage_cannot_be_changed_live(self):
        """Scenario: reloads take the storage away, move it, change its limits. Guarantees: the first two are refused, and what
        is held stays."""
        with Backend() as backend, Daemon(config(self.dir, backend.url, "60s")) as d:
            d.wait_ready()
            self.assertEqual(post(d.port("Starting HTTP server"), [span(2, 0, True)]), 200)
            reload(d, config(self.dir, backend.url, "60s", storage=False))
            wait_for(lambda: d.metrics()["otelcol_config_last_reload_success"] == 0, d.log)
            reload(d, config(self.dir + "/other", backend.url, "60s"))
            d.wait_log("The configuration was not reloaded, nothing changed",
                       error='"tail_sampling" processor cannot move to another storage while running: what it holds is in the '
                             "files of the old one")
            reload(d, config(self.dir, backend.url, "60s", more=", max_size: 300000000, timeout: 2s"))
            wait_for(lambda: d.metrics()["otelcol_config_last_reload_success"] == 1, d.log)
            self.assertEqual(d.ledger()["held"], 1)
            self.assertEqual(post(d.port("Starting HTTP server"), [span(2, 1, True)]), 200)
            reload(d, config(self.dir, backend.url, "1s", more=", max_size: 300000000"))
            d.wait_metric('tailrace_pipeline_sampled_out_spans{pipeline="traces"}', 2)
            self.assertGreaterEqual(d.metrics()[PREFIX + "storage_working"], 1)
            self.assertEqual(d.stop(), 0, d.log())


if __name__ == "__main__":
    unittest.main()
