# SPDX-License-Identifier: Apache-2.0
"""tail_sampling whose settings change while it holds traces, beside a Collector that had the new ones from the beginning.

What is decided later must be decided by the new settings, whole, as if they had always been there: after a reload in the middle
of the traffic, and after SIGKILL with the window in files. Settings are random trees (policy_trees.py); SEEDS as in
sampling_trees_diff.py.
"""
import json
import os
import random
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peers import free_ports, peer, start_otelcol, start_tailrace, wait_for, write  # noqa: E402
from policy_trees import Trees  # noqa: E402
from sampling_rig import OURS, Rig, Traffic, config, kept  # noqa: E402

PIPELINES = int(os.environ.get("PIPELINES", "60"))
TRACES = int(os.environ.get("TRACES", "300"))


def seeds():
    first, _, last = os.environ.get("SEEDS", "1").partition("-")
    return range(int(first), int(last or first) + 1)


def random_settings(trees, n, without=(), **more):
    """Without what the past has a part in: items that were judged, sizes that were exceeded, caches."""
    found = {}
    while len(found) < n:
        s = trees.settings()
        if not any(f'"{w}"' in json.dumps(s) for w in ("sampling_strategy", *without)):
            found[f"t{len(found)}"] = {k: v for k, v in dict(s, **more).items() if k not in ("maximum_trace_size_bytes", "decision_cache")}
    return found


@unittest.skipUnless(peer("otelcol"), "no otelcol in PEERS")
class SamplingChangeDiff(Rig, unittest.TestCase):
    def begin(self, before, after):
        d = self.folder.name
        *self.ports, theirs = free_ports(len(OURS) + 1)
        self.tailraces = [self.start_one(before, i) for i in range(len(OURS))]
        self.otelcol = start_otelcol(d, config({k: {n: v for n, v in s.items() if n != "storage"} for k, s in after.items()}, d, "otelcol", theirs), theirs)
        self.addresses = [f"127.0.0.1:{port}" for port in (*self.ports, theirs)]

    def start_one(self, settings, i):
        d, name = self.folder.name, OURS[i]
        return start_tailrace(d, config(settings, d, name, self.ports[i]), name, ("--workers", name[-1]))[0]

    def kill_all(self):
        for t in self.tailraces:
            t.proc.kill()
            t.proc.wait()
            t.log.close()

    def compare(self, seed, before, after, all_spans):
        different, some = [], set()
        for name in after:
            theirs = kept(self.folder.name, "otelcol", name)
            some.add(len(theirs))
            for program in OURS:
                ours = kept(self.folder.name, program, name)
                if ours != theirs:
                    different.append((program, name))
                    print(f"SEEDS={seed}, {program}: {len(theirs - ours)} spans missing, {len(ours - theirs)} too many of {len(theirs)}; the first "
                          f"{list({*(theirs - ours), *(ours - theirs)})[:2]}\n    before: {before[name]}\n    after:  {after[name]}")
        print(f"seed {seed}: {len(after)} changes of settings, {all_spans} spans, {len(different)} differ", flush=True)
        self.assertEqual(different, [])
        self.assertGreater(len(some), len(after) // 4)

    def test_reload(self):
        for seed in seeds():
            trees, traffic = Trees(random.Random(seed + 5000)), Traffic(seed)
            traffic.mixed = True
            before = random_settings(trees, PIPELINES, decision_wait="10m")
            # Which ResourceSpans a span came in is only known while bytes are counted: what came before is near, but not exact.
            after = random_settings(trees, PIPELINES, ["bytes_limiting"], decision_wait="10m")
            self.begin(before, after)
            requests = traffic.traces(TRACES)
            for body in requests[:len(requests) // 2]:
                self.post_all(body)
            for i, t in enumerate(self.tailraces):
                write(self.folder.name, f"{OURS[i]}.yaml", config(after, self.folder.name, OURS[i], self.ports[i]))
                t.proc.send_signal(signal.SIGHUP)
                wait_for("the reload", lambda: t.alive() and "Configuration reloaded" in t.log_text())
            for body in requests[len(requests) // 2:]:
                self.post_all(body)
            self.stop()
            self.compare(seed, before, after, traffic.n_spans)

    def test_kill(self):
        """What was acknowledged before the kill is decided after it, by the settings of then; the rest of the traffic comes after it too."""
        for seed in seeds():
            trees, traffic = Trees(random.Random(seed + 6000)), Traffic(seed)
            traffic.mixed = True
            before = random_settings(trees, PIPELINES // 3, decision_wait="10m", storage="file_storage")
            # Requests of several workers come back in another order, which these two depend on.
            order = ["upper_threshold_ms", "propagate", "Propagate"]
            after = random_settings(trees, PIPELINES // 3, order, decision_wait="10m", storage="file_storage")
            self.begin(before, after)
            requests = traffic.traces(TRACES)
            for body in requests[:len(requests) // 2]:
                self.post_all(body)
            self.kill_all()
            self.tailraces = [self.start_one(after, i) for i in range(len(OURS))]
            for body in requests[len(requests) // 2:]:
                self.post_all(body)
            self.otelcol.stop()
            self.kill_all()
            # Once more, and now their time comes: a stop would leave them on disk.
            soon = {name: dict(s, decision_wait="1s") for name, s in after.items()}
            self.tailraces = [self.start_one(soon, i) for i in range(len(OURS))]

            def decided():
                return all(sum(kept(self.folder.name, program, name).values()) >= sum(kept(self.folder.name, "otelcol", name).values())
                           for program in OURS for name in after)
            try:
                wait_for("what was held", decided, 60)
            finally:
                for t in self.tailraces:
                    self.assertEqual(t.stop(), 0)
                self.compare(seed, before, after, traffic.n_spans)


if __name__ == "__main__":
    unittest.main(verbosity=2)
