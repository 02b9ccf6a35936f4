# SPDX-License-Identifier: Apache-2.0
"""tail_sampling beside a real Collector: random traces go to both, what they keep must be equal.

One process of each runs a pipeline per policy set; the same requests (OTLP/JSON) reach all of them.
Compared are the multisets of (trace id, span id) that the file exporters wrote. PEERS=DIR holds otelcol.

  sets   nothing is decided before the shutdown, which decides every trace whole
  late   decided after a second; then late spans come, with and without decision caches
  roots  decision_wait_after_root_received, late spans tell when each trace was decided
"""
import collections
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peers import free_ports, get, peer, wait_for  # noqa: E402
from sampling_rig import OURS, TRACES, Rig, kept, named, page_of, recorded, states  # noqa: E402


def ottl(span, spanevent=(), **more):
    return {"type": "ottl_condition", "ottl_condition": {"span": list(span), "spanevent": list(spanevent), **more}}


POLICIES = {
    "always": [{"type": "always_sample"}],
    "none": [],
    "error": [{"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}],
    "unset_ok": [{"type": "status_code", "status_code": {"status_codes": ["UNSET", "OK"]}}],
    "slow": [{"type": "latency", "latency": {"threshold_ms": 500}}],
    "slow0": [{"type": "latency", "latency": {"threshold_ms": 0}}],
    "window": [{"type": "latency", "latency": {"threshold_ms": 300, "upper_threshold_ms": 900}}],
    "percent": [{"type": "probabilistic", "probabilistic": {"sampling_percentage": 33.333}}],
    "percent_salt": [{"type": "probabilistic", "probabilistic": {"hash_salt": "pepper", "sampling_percentage": 10}}],
    "percent_all": [{"type": "probabilistic", "probabilistic": {"sampling_percentage": 150}}],
    "exact": [{"type": "string_attribute", "string_attribute": {"key": "s", "values": ["alpha", "", "5"]}}],
    "exact_not": [{"type": "string_attribute", "string_attribute": {"key": "s", "values": ["alpha", "beta"], "invert_match": True}}],
    "regex": [{"type": "string_attribute", "string_attribute": {"key": "s", "values": ["^be", "m+a$"], "enabled_regex_matching": True, "cache_max_size": 10}}],
    "regex_empty": [{"type": "string_attribute", "string_attribute": {"key": "n", "values": [".*"], "enabled_regex_matching": True}}],
    "regex_not": [{"type": "string_attribute", "string_attribute": {"key": "s", "values": ["a"], "enabled_regex_matching": True, "invert_match": True}}],
    "numeric": [{"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 3, "max_value": 5}}],
    "numeric_max": [{"type": "numeric_attribute", "numeric_attribute": {"key": "n", "max_value": -1}}],
    "numeric_not": [{"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 2, "max_value": 9, "invert_match": True}}],
    "boolean": [{"type": "boolean_attribute", "boolean_attribute": {"key": "b", "value": True}}],
    "boolean_false": [{"type": "boolean_attribute", "boolean_attribute": {"key": "b", "value": False}}],
    "boolean_not": [{"type": "boolean_attribute", "boolean_attribute": {"key": "b", "value": True, "invert_match": True}}],
    "count": [{"type": "span_count", "span_count": {"min_spans": 3, "max_spans": 6}}],
    "flags": [{"type": "trace_flags"}],
    "and": [{"type": "and", "and": {"and_sub_policy": [
        {"name": "a", "type": "latency", "latency": {"threshold_ms": 200}},
        {"name": "b", "type": "string_attribute", "string_attribute": {"key": "s", "values": ["alpha"]}},
        {"name": "c", "type": "not", "not": {"not_sub_policy": {"name": "d", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}}}]}}],
    "and_empty": [{"type": "and", "and": {"and_sub_policy": []}}],
    "not": [{"type": "not", "not": {"not_sub_policy": {"name": "a", "type": "latency", "latency": {"threshold_ms": 700}}}}],
    "drop": [{"type": "always_sample"}, {"type": "drop", "drop": {"drop_sub_policy": [
        {"name": "a", "type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 4}}]}}],
    "drop_only": [{"type": "drop", "drop": {"drop_sub_policy": [{"name": "a", "type": "trace_flags"}]}}],
    "state": [{"type": "trace_state", "trace_state": {"key": "k", "values": ["v", "w"]}}],
    "state_tenant": [{"type": "trace_state", "trace_state": {"key": "1t@s", "values": ["v"]}}],
    "ottl": [ottl(["attributes[\"s\"] == \"alpha\"", "status.code == STATUS_CODE_ERROR and IsRootSpan()"])],
    "ottl_differs": [ottl(["attributes[\"s\"] != \"alpha\""])],
    "ottl_math": [ottl(["attributes[\"n\"] * 2 > 6", "end_time - start_time > Duration(\"300ms\")"], error_mode="silent")],
    "ottl_resource": [ottl(["resource.attributes[\"s\"] != nil or scope.name == \"x\""])],
    "ottl_ignore": [ottl(["Substring(attributes[\"s\"], 0, 2) == \"al\"", "kind == 3"], error_mode="ignore")],
    "ottl_propagate": [ottl(["attributes[\"n\"] > 3", "HasPrefix(attributes[\"s\"], \"al\")"], error_mode="propagate")],
    "ottl_events": [ottl(["kind == 4"], ["name == \"exception\" and attributes[\"n\"] > 2", "IsMatch(attributes[\"s\"], \"^be\")"], error_mode="propagate")],
    "ottl_event_index": [ottl([], ["event_index == 0"], error_mode="propagate")],
    "ottl_schema": [ottl(["resource.schema_url != \"\"", "scope.schema_url != \"\""])],
    "ottl_not": [{"type": "not", "not": {"not_sub_policy": {"name": "a", **ottl(["Len(attributes[\"s\"]) == 5"], error_mode="propagate")}}}],
    "ottl_and": [{"type": "and", "and": {"and_sub_policy": [
        {"name": "a", "type": "span_count", "span_count": {"min_spans": 3}},
        {"name": "b", **ottl(["Len(attributes[\"s\"]) == 5"], error_mode="propagate")}]}}],
    "ottl_drop": [{"type": "always_sample"}, {"type": "drop", "drop": {"drop_sub_policy": [{"name": "a", **ottl(["Len(attributes[\"s\"]) == 4"], error_mode="propagate")}]}}],
    # A bucket that is always full makes the choice one of size.
    "rate": [{"type": "rate_limiting", "rate_limiting": {"spans_per_second": 10 ** 15, "burst_capacity": 3}}],
    "rate_none": [{"type": "rate_limiting", "rate_limiting": {"spans_per_second": 0}}],
    "rate_once": [{"type": "rate_limiting", "rate_limiting": {"spans_per_second": 0, "burst_capacity": 10 ** 9}}],
    "rate_not": [{"type": "not", "not": {"not_sub_policy": {
        "name": "a", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 10 ** 15, "burst_capacity": 2}}}}],
    "bytes": [{"type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 10 ** 15, "burst_capacity": 700}}],
    "bytes_and": [{"type": "and", "and": {"and_sub_policy": [
        {"name": "a", "type": "span_count", "span_count": {"min_spans": 2}},
        {"name": "b", "type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 10 ** 15, "burst_capacity": 1500}}]}}],
    "composite": [{"type": "composite", "composite": {
        "max_total_spans_per_second": 10 ** 9, "policy_order": ["b", "a"],
        "composite_sub_policy": [
            {"name": "a", "type": "latency", "latency": {"threshold_ms": 400}},
            {"name": "b", "type": "and", "and": {"and_sub_policy": [
                {"name": "c", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
                {"name": "d", "type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 1}}]}}],
        "rate_allocation": [{"policy": "a", "percent": 50}, {"policy": "b", "percent": 25}]}}],
    "composite_refused": [{"type": "composite", "composite": {
        "max_total_spans_per_second": 0, "composite_sub_policy": [{"name": "a", "type": "always_sample"}],
        "rate_allocation": [{"policy": "a", "percent": 100}]}}],
    "rate_and": [{"type": "and", "and": {"and_sub_policy": [
        {"name": "a", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 10 ** 15, "burst_capacity": 5}},
        {"name": "b", "type": "boolean_attribute", "boolean_attribute": {"key": "b", "value": True, "invert_match": True}}]}}],
    "bytes_not": [{"type": "not", "not": {"not_sub_policy": {
        "name": "a", "type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 10 ** 15, "burst_capacity": 1000}}}}],
    "window_edge": [{"type": "latency", "latency": {"threshold_ms": 500, "upper_threshold_ms": 700}}],
    "slow_edge": [{"type": "latency", "latency": {"threshold_ms": 1499}}],
    "percent_none": [{"type": "probabilistic", "probabilistic": {"sampling_percentage": 0}}],
    "percent_small": [{"type": "probabilistic", "probabilistic": {"hash_salt": "x", "sampling_percentage": 0.1}}],
    "status_all": [{"type": "status_code", "status_code": {"status_codes": ["OK"]}}],
    "exact_missing": [{"type": "string_attribute", "string_attribute": {"key": "nowhere", "values": ["alpha"]}}],
    "exact_missing_not": [{"type": "string_attribute", "string_attribute": {"key": "nowhere", "values": ["alpha"], "invert_match": True}}],
    "exact_key_empty": [{"type": "string_attribute", "string_attribute": {"key": "", "values": ["alpha"]}}],
    "regex_case": [{"type": "string_attribute", "string_attribute": {"key": "s", "values": ["(?i)^ALPHA$"], "enabled_regex_matching": True}}],
    "regex_blank": [{"type": "string_attribute", "string_attribute": {"key": "s", "values": ["^$"], "enabled_regex_matching": True}}],
    "numeric_min": [{"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 2 ** 63 - 1}}],
    "numeric_one": [{"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 4, "max_value": 4}}],
    "numeric_turned": [{"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 5, "max_value": 3}}],
    "numeric_turned_not": [{"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 5, "max_value": 3, "invert_match": True}}],
    "boolean_false_not": [{"type": "boolean_attribute", "boolean_attribute": {"key": "b", "value": False, "invert_match": True}}],
    "count_min": [{"type": "span_count", "span_count": {"min_spans": 8}}],
    "count_turned": [{"type": "span_count", "span_count": {"min_spans": 5, "max_spans": 3}}],
    "state_missing": [{"type": "trace_state", "trace_state": {"key": "nowhere", "values": ["v"]}}],
    "flags_not": [{"type": "not", "not": {"not_sub_policy": {"name": "a", "type": "trace_flags"}}}],
    "drop_error": [{"type": "always_sample"}, {"type": "drop", "drop": {"drop_sub_policy": [
        {"name": "a", **ottl(["Len(attributes[\"s\"]) == 5"], error_mode="propagate")},
        {"name": "b", "type": "span_count", "span_count": {"min_spans": 2}}]}}],
    "drop_two": [{"type": "probabilistic", "probabilistic": {"sampling_percentage": 60}},
                 {"type": "drop", "drop": {"drop_sub_policy": [{"name": "a", "type": "status_code", "status_code": {"status_codes": ["OK"]}}]}},
                 {"type": "drop", "drop": {"drop_sub_policy": [
                     {"name": "b", "type": "not", "not": {"not_sub_policy": {"name": "c", "type": "string_attribute", "string_attribute": {"key": "s", "values": ["alpha", "beta"]}}}},
                     {"name": "d", "type": "latency", "latency": {"threshold_ms": 300}}]}}],
    "drop_empty": [{"type": "always_sample"}, {"type": "drop", "drop": {"drop_sub_policy": []}}],
    "drop_inverted": [{"type": "always_sample"}, {"type": "drop", "drop": {"drop_sub_policy": [
        {"name": "a", "type": "boolean_attribute", "boolean_attribute": {"key": "b", "value": True, "invert_match": True}}]}}],
    "inverts": [{"type": "string_attribute", "string_attribute": {"key": "s", "values": ["alpha"], "invert_match": True}},
                {"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 1, "max_value": 5, "invert_match": True}}],
    "invert_and_match": [{"type": "string_attribute", "string_attribute": {"key": "s", "values": ["alpha", "beta", "gamma"], "invert_match": True}},
                         {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
                         {"type": "and", "and": {"and_sub_policy": [
                             {"name": "a", "type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 1, "max_value": 9, "invert_match": True}},
                             {"name": "b", "type": "boolean_attribute", "boolean_attribute": {"key": "b", "value": False, "invert_match": True}}]}}],
    "composite_and": [{"type": "composite", "composite": {
        "max_total_spans_per_second": 10 ** 9,
        "composite_sub_policy": [
            {"name": "a", "type": "and", "and": {"and_sub_policy": [
                {"name": "c", "type": "string_attribute", "string_attribute": {"key": "s", "values": ["a"], "enabled_regex_matching": True}},
                {"name": "d", "type": "not", "not": {"not_sub_policy": {"name": "e", "type": "trace_flags"}}}]}},
            {"name": "b", "type": "span_count", "span_count": {"min_spans": 4, "max_spans": 5}},
            {"name": "f", **ottl(["Len(attributes[\"s\"]) == 4"], error_mode="propagate")}],
        "rate_allocation": [{"policy": "a", "percent": 30}, {"policy": "b", "percent": 30}, {"policy": "f", "percent": 30}]}},
        {"type": "trace_flags"}],
    "many": [{"type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
             {"type": "latency", "latency": {"threshold_ms": 1500}},
             {"type": "probabilistic", "probabilistic": {"sampling_percentage": 10}}],
}


@unittest.skipUnless(peer("otelcol"), "no otelcol in PEERS")
class SamplingDiff(Rig, unittest.TestCase):
    def test_policy_sets(self):
        pipelines = {name: {"decision_wait": "10m", "policies": named(p)} for name, p in POLICIES.items()}
        pipelines["first_match"] = dict(pipelines["many"], sample_on_first_match=True)
        for limit in (200, 600, 1500):
            pipelines[f"at_most_{limit}"] = dict(pipelines["always"], maximum_trace_size_bytes=limit)
        for name in ("error", "slow", "percent", "exact", "exact_not", "regex_not", "numeric", "boolean", "flags", "and", "not", "drop", "drop_only",
                     "state", "composite", "many"):
            pipelines[f"ingest_{name}"] = dict(pipelines[name], sampling_strategy="span-ingest")
        pipelines["ingest_count"] = dict(pipelines["always"], sampling_strategy="span-ingest", policies=named(
            [{"type": "span_count", "span_count": {"min_spans": 4}}]))
        pipelines["ingest_cached"] = dict(pipelines["ingest_many"], decision_cache={"sampled_cache_size": 10000, "non_sampled_cache_size": 10000})
        pipelines["drop_pending"] = dict(pipelines["always"], drop_pending_traces_on_shutdown=True)
        self.start(pipelines)
        for body in self.traffic.traces(TRACES):
            self.post_all(body)
        shares = self.stop_and_compare(pipelines, self.traffic.n_spans)
        self.assertGreater(len(shares), 15, "the sets differ from each other")

    def test_recorded_policies(self):
        """With the gate: kept spans name their policy, those that a cache answers too, other late ones do not. No policy is
        probabilistic: which of several wins by threshold differs between releases."""
        policies = named([POLICIES["numeric"][0], POLICIES["slow"][0], POLICIES["composite"][0], POLICIES["exact"][0]])
        base = {"decision_wait": "1s", "policies": policies}
        pipelines = {"table": base, "first": dict(base, sample_on_first_match=True),
                     "caches": dict(base, decision_cache={"sampled_cache_size": 1000, "non_sampled_cache_size": 1000})}
        self.start(pipelines, ["--feature-gates=+processor.tailsamplingprocessor.recordpolicy"])
        t = self.traffic
        ids = [f"{t.random.getrandbits(128) | 1:032x}" for _ in range(400)]
        for _ in range(2):
            self.post_all(t.request([t.span(i, 0.4) for i in ids for _ in range(2)]))
            time.sleep(4)
        self.stop()
        for name in pipelines:
            theirs = recorded(self.folder.name, "otelcol", name)
            for program in OURS:
                self.assertEqual(recorded(self.folder.name, program, name), theirs, f"{program}, {name}")
            print(f"{name}: {collections.Counter(theirs.values())}")
            self.assertGreater(len(set(theirs.values())), 3)

    def test_trace_state(self):
        """With the gate: who is kept, and what each kept span's tracestate says then. Without limiters: their thresholds came
        after the release compared with."""
        self.traffic.consistent = True
        names = ("always", "error", "percent", "percent_salt", "percent_all", "percent_none", "percent_small", "and", "not", "drop_two", "composite",
                 "composite_and", "many", "inverts")
        pipelines = {name: {"decision_wait": "10m", "policies": named(POLICIES[name])} for name in names}
        pipelines["both"] = dict(pipelines["many"], policies=named([POLICIES["percent"][0], POLICIES["percent_salt"][0]]))
        pipelines["and_percents"] = dict(pipelines["many"], policies=named([{"type": "and", "and": {"and_sub_policy": [
            {"name": "a", **POLICIES["percent"][0]}, {"name": "b", **POLICIES["percent_salt"][0]}]}}, POLICIES["slow"][0]]))
        pipelines["not_percent"] = dict(pipelines["many"], policies=named([{"type": "not", "not": {"not_sub_policy": {"name": "a", **POLICIES["percent"][0]}}}]))
        pipelines["drop_percent"] = dict(pipelines["many"], policies=named([POLICIES["percent_all"][0], {"type": "drop", "drop": {"drop_sub_policy": [
            {"name": "a", **POLICIES["percent"][0]}]}}]))
        pipelines["first"] = dict(pipelines["both"], sample_on_first_match=True)
        self.start(pipelines, ["--feature-gates=+processor.tailsamplingprocessor.usetracestate"])
        for body in self.traffic.traces(TRACES):
            self.post_all(body)
        self.stop_and_compare(pipelines, self.traffic.n_spans)
        for name in pipelines:
            theirs = states(self.folder.name, "otelcol", name)
            self.assertGreaterEqual(sum("ot=" in state for state in theirs.values()), len(theirs) // 2, name)
            for program in OURS:
                ours = states(self.folder.name, program, name)
                self.assertEqual({k: (v, theirs[k]) for k, v in ours.items() if v != theirs[k]}, {}, f"{program}, {name}")

    def test_metrics(self):
        """The pages of both after the same input: families, types, labels, and what can be equal is. Late spans find caches (eu), or
        the table (span-ingest)."""
        policies = named([POLICIES["error"][0], POLICIES["slow"][0], POLICIES["drop"][1], ottl(["Len(attributes[\"s\"]) == 5"], error_mode="propagate"),
                          POLICIES["composite"][0]])
        base = {"decision_wait": "1s", "policies": policies}
        self.metrics_of({"eu": dict(base, decision_cache={"sampled_cache_size": 1000, "non_sampled_cache_size": 1000})}, {})
        self.metrics_of({"table": dict(base, maximum_trace_size_bytes=700)}, {"without_type_suffix": True, "without_units": True, "without_scope_info": True})
        self.metrics_of({"items": dict(base, sampling_strategy="span-ingest", policies=[p for p in policies if p["type"] != "drop"])}, {})

    def metrics_of(self, pipelines, reader):
        ports = free_ports(len(OURS) + 1)
        self.start(pipelines, ["--feature-gates=+processor.tailsamplingprocessor.metricstatcountspanssampled,"
                               "+processor.tailsamplingprocessor.metricstatcountbytessampled"], (ports, reader))
        t = self.traffic
        ids = [f"{t.random.getrandbits(128) | 1:032x}" for _ in range(300)]
        for _ in range(3):
            self.post_all(t.request([t.span(i, 0.3) for i in ids for _ in range(2)]))
            time.sleep(4)
        pages = [page_of(get(f"http://127.0.0.1:{port}/metrics").decode()) for port in ports]
        self.stop()
        theirs = pages.pop()
        self.assertGreater(len(theirs), 20)
        for ours in pages:
            self.assertEqual({k: (ours.get(k), v) for k, v in theirs.items() if ours.get(k) != v}, {})
            self.assertEqual([k for k, v in ours.items() if v and k not in theirs and k[0] != "type" and "tailrace_" not in k[0]], [])

    def test_budgets(self):
        """Traces of one size, so that what a budget lets through is a number whatever the order. A composite's budget is that of a second,
        and the decisions at the stop may fall into two."""
        rate = {"type": "rate_limiting", "rate_limiting": {"spans_per_second": 0, "burst_capacity": 500}}
        size = {"type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 0, "burst_capacity": 30000}}
        error = POLICIES["error"][0]
        policies = {
            "rate": [rate], "bytes": [size],
            "rate_spends_for_all": [error, rate],  # also for what another policy keeps
            "rate_in_and": [{"type": "and", "and": {"and_sub_policy": [{"name": "a", **error}, {"name": "b", **rate}]}}],
            "rate_before_others": [{"type": "and", "and": {"and_sub_policy": [{"name": "a", **rate}, {"name": "b", **error}]}}],
            "rate_turned": [{"type": "not", "not": {"not_sub_policy": {"name": "a", **rate}}}],
            "rate_in_drop": [{"type": "always_sample"}, {"type": "drop", "drop": {"drop_sub_policy": [{"name": "a", **rate}]}}],
            "two": [rate, dict(rate, rate_limiting={"spans_per_second": 0, "burst_capacity": 700})],
        }
        pipelines = {name: {"decision_wait": "10m", "policies": named(p)} for name, p in policies.items()}
        pipelines["first_match"] = dict(pipelines["rate_spends_for_all"], sample_on_first_match=True)
        shares = {"a": 20, "b": 33}
        pipelines["composite"] = dict(pipelines["rate"], policies=named([{"type": "composite", "composite": {
            "max_total_spans_per_second": 1000, "composite_sub_policy": [{"name": "a", **error}, {"name": "b", "type": "always_sample"}],
            "rate_allocation": [{"policy": k, "percent": v} for k, v in shares.items()]}}]))
        self.start(pipelines, ["--feature-gates=+processor.tailsamplingprocessor.usetracestate"])
        r = self.traffic.random
        traces = [(f"{r.getrandbits(128) | 1:032x}", r.random() < 0.4) for _ in range(1200)]
        for at in range(0, len(traces), 100):
            self.post_all(self.same_size(traces[at:at + 100]))
        self.stop()
        errors = {trace for trace, error in traces if error}
        for name in pipelines:
            found = [collections.Counter(trace in errors for trace, _ in kept(self.folder.name, program, name)) for program in (*OURS, "otelcol")]
            print(f"{name}: {found}")
            if name == "composite":
                for error, share in ((True, 20), (False, 33)):
                    most = share * 1000 // 100 // 3 * 3
                    self.assertLessEqual({c[error] for c in found}, {most, 2 * most}, name)
            elif name in ("rate", "bytes", "rate_in_and", "rate_turned", "rate_in_drop", "two"):  # how many
                self.assertEqual(len({sum(c.values()) for c in found}), 1, name)
                self.assertGreater(sum(found[0].values()), 100, name)
            else:  # all errors, or as many of them as came in time
                bound = 498 if name == "rate_before_others" else 3 * len(errors)
                for c in found:
                    self.assertLessEqual(c[True], bound, name)
                    self.assertLessEqual(c[False], 0 if name == "rate_before_others" else 498, name)
        found = [kept(self.folder.name, program, "first_match") for program in (*OURS, "otelcol")]
        self.assertEqual({sum(trace not in errors for trace, _ in f) for f in found}, {498})

    def same_size(self, traces):
        """Three spans each; some have an error."""
        spans = []
        for trace, error in traces:
            for i in range(3):
                self.traffic.n_spans += 1
                spans.append({"traceId": trace, "spanId": f"{self.traffic.n_spans:016x}", "name": "n", "startTimeUnixNano": "1700000000000000000",
                              "endTimeUnixNano": "1700000000300000000", "status": {"code": 2 if error and i == 1 else 1}})
        return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()

    def test_rate_over_time(self):
        """A bucket that fills while traces are decided: what it lets through in six seconds is the same but for a second or two."""
        rate, burst = 150, 60
        policies = named([{"type": "rate_limiting", "rate_limiting": {"spans_per_second": rate, "burst_capacity": burst}}])
        self.start({"rate": {"decision_wait": "1s", "policies": policies}})
        r = self.traffic.random
        for _ in range(24):
            self.post_all(self.same_size([(f"{r.getrandbits(128) | 1:032x}", False) for _ in range(100)]))
            time.sleep(0.25)
        self.stop()
        found = [sum(kept(self.folder.name, program, "rate").values()) for program in (*OURS, "otelcol")]
        print(f"over time: {found}")
        for n in found:
            self.assertGreaterEqual(n, burst * 3)
            self.assertLess(abs(n - found[-1]), burst * 3)

    def late(self, settings, between_s):
        """Traces whole in one request; what comes later follows what was decided."""
        base = {"decision_wait": "1s", "policies": named(POLICIES["many"])}
        pipelines = {name: dict(base, **s) for name, s in settings.items()}
        self.start(pipelines)
        t = self.traffic
        ids = [f"{t.random.getrandbits(128) | 1:032x}" for _ in range(300)]
        for wait_s in between_s:
            self.post_all(t.request([t.span(i, 0.2) for i in ids for _ in range(2)]))
            time.sleep(wait_s)
        self.stop_and_compare(pipelines, t.n_spans)

    def test_late_spans(self):
        """Waits are whole decisions apart (wait + 2 s), not synchronisation."""
        self.late({"table": {}, "caches": {"decision_cache": {"sampled_cache_size": 1000, "non_sampled_cache_size": 1000}},
                   "sampled": {"decision_cache": {"sampled_cache_size": 1000}},
                   "small": {"decision_cache": {"non_sampled_cache_size": 1000}}}, [4, 0.5, 3])

    def test_roots(self):
        """Roots come in any request; what a decision saw shows in what is kept."""
        self.late({"root": {"decision_wait": "9s", "decision_wait_after_root_received": "1s"}}, [4.5, 8, 0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
