# SPDX-License-Identifier: Apache-2.0
"""tail_sampling beside a real Collector with random settings: policy trees of every type and nesting (policy_trees.py).

Each round makes PIPELINES (60) settings of its seed and sends the same random traces to all of them. Compared are the spans kept, and
by test the pages of metrics (every policy's votes among them), trace states, recorded policies. SEEDS=1,2,3 or SEEDS=1-50 says which
seeds (default 1). A difference is told with its seed and settings, made as small as they get while they still differ.
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peers import TAILRACE, free_ports, get, peer  # noqa: E402
from policy_trees import Trees, smaller  # noqa: E402
from sampling_rig import OURS, Rig, Traffic, config, kept, page_of, recorded, states  # noqa: E402

PIPELINES = int(os.environ.get("PIPELINES", "60"))
TRACES = int(os.environ.get("TRACES", "400"))
ATTEMPTS = 12  # at making a difference smaller


def seeds():
    for part in os.environ.get("SEEDS", "1").split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def of_traces(request, ids):
    """What a request has of these traces."""
    doc = json.loads(request)
    for rs in doc["resourceSpans"]:
        for ss in rs["scopeSpans"]:
            ss["spans"] = [s for s in ss["spans"] if s["traceId"] in ids]
        rs["scopeSpans"] = [ss for ss in rs["scopeSpans"] if ss["spans"]]
    doc["resourceSpans"] = [rs for rs in doc["resourceSpans"] if rs["scopeSpans"]]
    return json.dumps(doc).encode() if doc["resourceSpans"] else None


@unittest.skipUnless(peer("otelcol"), "no otelcol in PEERS")
class SamplingTreesDiff(Rig, unittest.TestCase):
    args, read = (), staticmethod(kept)  # what the programs are started with, and what is compared of what they wrote
    compared = OURS

    def run_all(self, pipelines, phases, pages=None):
        """phases: requests, then seconds until all of it has been decided. Returns what was kept, by program and pipeline.
        pages: takes the metrics of each program."""
        ports = free_ports(len(OURS) + 1) if pages is not None else None
        with tempfile.TemporaryDirectory() as d:
            self.folder.name, before = d, self.folder.name
            try:
                self.start(pipelines, self.args, (ports, {}) if ports else None)
                for requests, wait_s in phases:
                    for body in requests:
                        self.post_all(body)
                    time.sleep(wait_s)
                if ports:
                    pages.extend(page_of(get(f"http://127.0.0.1:{port}/metrics").decode()) for port in ports)
                self.stop()
                return {(program, name): self.read(d, program, name) for program in (*OURS, "otelcol") for name in pipelines}
            finally:
                self.folder.name = before

    def differences(self, found, pipelines):
        """(pipeline, program, spans that differ, what each kept)"""
        for name in pipelines:
            theirs = found["otelcol", name]
            for program in self.compared:
                ours = found[program, name]
                if ours != theirs:
                    differ = [k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k)]
                    yield name, program, sorted(differ), ours, theirs

    def shrink(self, settings, phases, ids):
        """Fewer traces first, then fewer things in the settings, as long as something differs."""
        phases = [([r for r in (of_traces(r, ids) for r in requests) if r], wait_s) for requests, wait_s in phases]
        for _ in range(ATTEMPTS):
            some = {f"s{i}": s for i, s in enumerate(s for s in smaller(settings) if self.valid(s))}
            if not some:
                break
            still = [name for name, *_ in self.differences(self.run_all(some, phases), some)]
            if not still:
                break
            settings = min((some[name] for name in still), key=lambda s: len(json.dumps(s)))
        return settings, phases

    def valid(self, settings):
        path = os.path.join(self.folder.name, "smaller.yaml")
        with open(path, "w") as f:
            f.write(config({"s": settings}, self.folder.name, "none", 4318))
        return subprocess.run([TAILRACE, "validate", "--config", path], capture_output=True).returncode == 0

    def tell(self, seed, name, settings, phases, ids):
        settings, phases = self.shrink(settings, phases, set(ids[:3]))
        print(f"SEEDS={seed}, pipeline {name} differs; smallest settings:\n{json.dumps(settings, indent=1)}\nsent:")
        for requests, wait_s in phases:
            for body in requests:
                print(f"  {body.decode()}")
            print(f"  ... {wait_s} s")

    def compare(self, seed, pipelines, phases, n_spans, pages=None):
        found = self.run_all(pipelines, phases, pages=pages)
        told = []
        for name, program, differ, ours, theirs in self.differences(found, pipelines):
            print(f"seed {seed}, {name}, {program}: {len(differ)} spans differ; the Collector kept {len(theirs)}, it kept {len(ours)}; the first:")
            for span in differ[:3]:
                print(f"    {span}: {str(ours.get(span))[:200]}, the Collector's is {str(theirs.get(span))[:200]}")
            if name not in told and len(told) < 3:
                self.tell(seed, name, pipelines[name], phases, [trace for trace, _ in differ])
            told.append(name)
        some = [len(found["otelcol", name]) for name in pipelines]
        print(f"seed {seed}: {len(pipelines)} settings, {n_spans} spans; {sum(0 < n < n_spans for n in some)} keep some, "
              f"{some.count(0)} nothing, {len(set(told))} differ", flush=True)
        self.assertEqual(told, [], f"seed {seed}")
        self.assertGreater(len(set(some)), 2, "the settings differ from each other")

    def whole(self, seed, consistent=False, without=()):
        """Nothing is decided before the stop (but by span-ingest), which decides every trace whole."""
        trees, traffic = Trees(random.Random(seed)), Traffic(seed)
        traffic.mixed, traffic.consistent = True, consistent
        some = (dict(trees.settings(), decision_wait="10m") for _ in range(2 * PIPELINES))
        some = [s for s in some if not any(f'"{w}"' in json.dumps(s) for w in without)][:PIPELINES]
        self.compare(seed, {f"t{i}": s for i, s in enumerate(some)}, [(traffic.traces(TRACES), 0)], traffic.n_spans)

    def test_whole_traces(self):
        for seed in seeds():
            self.whole(seed)

    def test_trace_states(self):
        """With the gate usetracestate: what each kept span's tracestate says as well. Buckets that are always full give no threshold,
        as in the release compared with; there span-ingest marks only some of a trace's spans."""
        self.args, self.read = ["--feature-gates=+processor.tailsamplingprocessor.usetracestate"], states
        for seed in seeds():
            self.whole(seed, consistent=True, without=["span-ingest"])

    def test_recorded_policies(self):
        """With the gate recordpolicy: who kept each span. Without probabilistic policies: who wins by threshold differs between releases.
        Without limits in bytes: there what a composite has recorded makes the trace larger for policies behind it."""
        self.args, self.read = ["--feature-gates=+processor.tailsamplingprocessor.recordpolicy"], recorded
        for seed in seeds():
            self.whole(seed, without=["probabilistic", "bytes_limiting"])

    def test_late_spans(self):
        """Traces come back twice after they were decided: each time with other spans. Waits are whole decisions apart
        (decision_wait of 1 s and a tick), not synchronisation. With the gates that count votes in spans and bytes."""
        self.args = ["--feature-gates=+processor.tailsamplingprocessor.metricstatcountspanssampled,"
                     "+processor.tailsamplingprocessor.metricstatcountbytessampled"]
        for seed in seeds():
            trees, traffic = Trees(random.Random(-seed)), Traffic(seed)
            pipelines = {f"t{i}": dict(trees.settings(), decision_wait="1s") for i in range(PIPELINES)}
            for settings in pipelines.values():
                settings.pop("maximum_trace_size_bytes", None)  # see compare_pages
            ids = [f"{traffic.random.getrandbits(128) | 1:032x}" for _ in range(TRACES // 2)]
            phases = []
            for wait_s in (5, 5, 5):
                requests = []
                for at in range(0, len(ids), 20):
                    spans = [traffic.span(i, traffic.random.choice([0, 0.2, 0.8])) for i in ids[at:at + 20] for _ in range(traffic.random.choice([1, 1, 2, 4]))]
                    traffic.random.shuffle(spans)  # a trace's spans are no neighbours
                    requests.append(traffic.request(spans))
                phases.append((requests, wait_s))
            pages = []
            self.compare(seed, pipelines, phases, traffic.n_spans, pages)
            self.compare_pages(seed, pipelines, *pages)

    def test_small_caches(self):
        """Who is forgotten first. One trace a request and judged as it comes, so that the order is known; one worker, because
        several share the sizes out."""
        self.compared = OURS[:1]
        for seed in seeds():
            trees, traffic = Trees(random.Random(seed + 1000)), Traffic(seed)
            r, pipelines = traffic.random, {}
            while len(pipelines) < PIPELINES // 3:
                settings = trees.settings()
                if settings.get("sampling_strategy"):
                    sizes = {k: r.choice([-1, 0, 1, 2, 5, 20, 50]) for k in ("sampled_cache_size", "non_sampled_cache_size")}
                    pipelines[f"t{len(pipelines)}"] = dict(settings, decision_wait="10m", decision_cache=sizes)
            ids = [f"{r.getrandbits(128) | 1:032x}" for _ in range(TRACES // 8)]
            ids += [i[:16] + ids[0][16:] for i in ids[1:4]]  # the halves that caches look at are equal
            requests = [traffic.request([traffic.span(i, r.choice([0, 0.2, 0.8])) for _ in range(r.choice([1, 1, 2]))]) for i in r.choices(ids, k=TRACES)]
            self.compare(seed, pipelines, [(requests, 0)], traffic.n_spans)

    def compare_pages(self, seed, pipelines, *pages):
        """Every policy's votes, every decision and late item is counted alike. But not:
        - traces_on_memory: in the Collector one of several processors has the last word;
        - trace_dropped_too_early: there, what span-ingest gave to a cache counts as well;
        - late items of traces over maximum_trace_size_bytes: there they count when span-ingest had judged an item of the trace before;
          and the spans of an item that is over it: here those behind the span that made it so are late."""
        *ours, theirs = pages
        theirs = {k: v for k, v in theirs.items() if not k[0].endswith(("_on_memory", "_dropped_too_early"))}
        for program, page in zip(OURS, ours):
            differ = {k: (page.get(k), v) for k, v in theirs.items() if page.get(k) != v}
            for (name, labels), (mine, other) in list(differ.items())[:20]:
                print(f"SEEDS={seed}, {program}: {name} {labels}: {mine}, the Collector's is {other}")
                tree = dict(labels).get("processor", dict(labels).get("policy", "")).split(".")[0].split("/")[-1]
                print(f"    {json.dumps(pipelines.get(tree))}")
            self.assertEqual(len(differ), 0, f"seed {seed}, {program}")
        self.assertGreater(len(theirs), PIPELINES * 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
