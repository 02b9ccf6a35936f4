# SPDX-License-Identifier: Apache-2.0
"""Random tail_sampling settings, and ways to make them smaller.

Values stand at and beside those of sampling_rig.Traffic. What depends on the moment or on the order of decisions within a tick is
left out: limiters whose bucket is always full, so that only the size of a trace counts, and composites that either never run out
or never begin.
"""
import copy

WORDS = ["alpha", "beta", "gamma", "", "5", "abc", "Alpha", "alpha ", "true", "al", "a", "nowhere"]
REGEXES = ["^be", "m+a$", ".*", "^$", "a", "(?i)^ALPHA$", "[0-9]", "alpha|gamma", "^.{5}$", "\\s", "\\bal", "x*", "(al)?pha", "^[^a]*$", "true|5"]
NUMBERS = [-2 ** 63, -6, -5, -2, -1, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 2 ** 62, 2 ** 63 - 1]
KEYS = ["s", "n", "b", "s", "n", "b", "other", "nowhere", ""]
EDGES_MS = [0, 1, 199, 200, 201, 299, 300, 400, 499, 500, 501, 700, 899, 900, 901, 1499, 1500, 1501]
MODES = [{}, {"error_mode": "ignore"}, {"error_mode": "silent"}, {"error_mode": "propagate"}, {"error_mode": "Propagate"}]
FULL = 10 ** 15  # tokens a second: the bucket is full again at once


class Conditions:
    """Random OTTL conditions that compile; evaluating them may fail."""

    def __init__(self, r):
        self.r = r

    def text(self):
        return '"%s"' % self.r.choice(WORDS)

    def number(self):
        return str(self.r.choice([n for n in NUMBERS if n != -2 ** 63] + [0, 3.5, 4.0, -1.0]))

    def value(self, event):
        r = self.r
        kind = "spanevent" if event else "span"
        paths = ['attributes["s"]', 'attributes["n"]', 'attributes["b"]', 'attributes["nowhere"]', f'{kind}.attributes["s"]', 'resource.attributes["s"]',
                 'resource.attributes["n"]', 'scope.attributes["b"]', 'instrumentation_scope.attributes["s"]', "scope.name", "scope.version", "name"]
        if event:
            paths += ["span.name", "span.kind", 'span.attributes["n"]', "span.status.code", "dropped_attributes_count", "time_unix_nano"]
        else:
            paths += ["kind", "kind.string", "status.code", "status.message", "trace_state", 'trace_state["k"]', "dropped_attributes_count",
                      "parent_span_id.string", "start_time_unix_nano", "end_time_unix_nano", "flags", 'span.attributes["b"]', "name"]
        return r.choice(paths)

    def side(self, event):
        r = self.r
        v = self.value(event)
        shape = r.randrange(12)
        if shape == 0:
            return f"Len({v})"
        if shape == 1:
            return f"Int({v})"
        if shape == 2:
            return f"String({v})"
        if shape == 3:
            return f'Concat([{v}, "a"], "-")'
        if shape == 4:
            return f"Double({v})"
        if shape == 5:
            return f"ConvertCase({v}, \"upper\")"
        if shape == 6 and not event:
            return "end_time_unix_nano - start_time_unix_nano"
        return v

    def literal(self):
        r = self.r
        return r.choice([self.text, self.text, self.number, self.number, lambda: r.choice(["true", "false"]), lambda: "nil",
                         lambda: r.choice(["STATUS_CODE_ERROR", "STATUS_CODE_OK", "SPAN_KIND_SERVER", "3", "2"])])()

    def simple(self, event):
        r = self.r
        shape = r.randrange(14)
        v = self.value(event)
        if shape == 0:
            return f'IsMatch({v}, "{r.choice([x for x in REGEXES if chr(92) not in x])}")'
        if shape == 1:
            return f"HasPrefix({v}, {self.text()})"
        if shape == 2:
            return f"HasSuffix({v}, {self.text()})"
        if shape == 3:
            return f"{r.choice(['IsString', 'IsInt', 'IsBool', 'IsMap', 'IsList', 'IsDouble'])}({v})"
        if shape == 4 and not event:
            return "IsRootSpan()"
        if shape == 5 and not event:
            return f'end_time - start_time {r.choice(["<", "<=", ">", ">=", "==", "!="])} Duration("{r.choice(EDGES_MS)}ms")'
        if shape == 6:
            return f"ContainsValue([{self.text()}, {self.text()}, {self.number()}], {v})"
        if shape == 7:
            return f'Substring({v}, 0, {r.randrange(4)}) == "{r.choice(["al", "a", "be", "", "gam"])}"'
        if shape == 8:
            return f"{v} {r.choice(['+', '-', '*', '/'])} {r.choice([0, 1, 2, 3, 2.0])} {r.choice(['<', '>=', '==', '!='])} {self.number()}"
        if shape == 9:
            return f"{self.side(event)} {r.choice(['==', '!=', '<'])} {self.side(event)}"
        return f"{self.side(event)} {r.choice(['==', '!=', '<', '<=', '>', '>='])} {self.literal()}"

    def any(self, event, depth=2):
        r = self.r
        if depth == 0 or r.random() < 0.5:
            return ("not " if r.random() < 0.1 else "") + self.simple(event)
        joined = f" {r.choice(['and', 'or'])} ".join(self.any(event, depth - 1) for _ in range(2))
        return f"not ({joined})" if r.random() < 0.15 else f"({joined})"


class Trees:
    def __init__(self, r):
        self.r = r
        self.conditions = Conditions(r)

    # ---- leaves ----

    def latency(self):
        r = self.r
        block = {"threshold_ms": r.choice(EDGES_MS + [-1])}
        if r.random() < 0.4:
            block["upper_threshold_ms"] = r.choice(EDGES_MS + [-1, 2 ** 40])
        return block

    def numeric_attribute(self):
        r = self.r
        block = {"key": r.choice(KEYS)}
        names = r.choice([["min_value"], ["max_value"], ["min_value", "max_value"]])
        return self.inverted(dict(block, **{n: r.choice(NUMBERS) for n in names}))

    def inverted(self, block):
        return dict(block, invert_match=True) if self.r.random() < 0.35 else block

    def probabilistic(self):
        r = self.r
        block = {"sampling_percentage": r.choice([0, 0.1, 1, 10, 25, 33.333, 50, 99.9, 100, 150, -3, 1e-20, r.uniform(0, 100), r.randrange(1, 100)])}
        return dict(block, hash_salt=r.choice(["pepper", "default-hash-seed", "\u00fcber", "x" * 300])) if r.random() < 0.4 else block

    def status_code(self):
        codes = ["OK", "ERROR", "UNSET"]
        return {"status_codes": self.r.sample(codes, self.r.randrange(1, 4))}

    def string_attribute(self):
        r = self.r
        regex = r.random() < 0.5
        block = {"key": r.choice(KEYS), "values": [r.choice(REGEXES if regex else WORDS) for _ in range(r.randrange(4))]}
        if regex:
            block["enabled_regex_matching"] = True
            block["cache_max_size"] = r.choice([-1, 0, 1, 3, 1000])
        return self.inverted(block)

    def boolean_attribute(self):
        block = {"key": self.r.choice(KEYS)}
        if self.r.random() < 0.8:
            block["value"] = self.r.random() < 0.5
        return self.inverted(block)

    def span_count(self):
        r = self.r
        block = {"min_spans": r.randrange(-1, 10)}
        return dict(block, max_spans=r.randrange(-1, 10)) if r.random() < 0.6 else block

    def trace_state(self):
        r = self.r
        return {"key": r.choice(["k", "x", "1t@s", "y", "K", "", "nowhere"]),
                "values": [r.choice(["v", "w", "1", "2", "", "u", "v" * 254, "v" * 255, "v" * 256]) for _ in range(r.randrange(4))]}

    def rate_limiting(self):
        return {"spans_per_second": FULL, "burst_capacity": self.r.randrange(1, 9)}

    def bytes_limiting(self):
        return {"bytes_per_second": FULL, "burst_capacity": self.r.choice([100, 300, 700, 1000, 1500, self.r.randrange(50, 3000)])}

    def ottl_condition(self):
        r = self.r
        n = r.choice([(1, 0), (2, 0), (1, 1), (0, 1), (3, 0), (0, 2)])
        lists = {k: [self.conditions.any(event) for _ in range(count)] for k, event, count in (("span", False, n[0]), ("spanevent", True, n[1])) if count}
        return dict(lists, **r.choice(MODES))

    def leaf(self, stateless):
        r = self.r
        types = ["latency", "numeric_attribute", "probabilistic", "status_code", "string_attribute", "string_attribute", "boolean_attribute", "span_count",
                 "trace_state", "trace_flags", "ottl_condition", "ottl_condition", "rate_limiting", "bytes_limiting"]
        if r.random() < 0.04:
            return {"type": "always_sample"}
        t = r.choice(types[:-2] if stateless else types)
        if t == "trace_flags":
            return {"type": t}
        block = getattr(self, t)()
        if stateless and t == "latency":
            block.pop("upper_threshold_ms", None)
        if stateless and t == "span_count":
            block.pop("max_spans", None)
        return {"type": t, t: block}

    # ---- what holds others ----

    def name(self):
        return self.r.choice(["", "a", "b", "c", "d"])  # may be empty, and repeated

    def turned(self, stateless):
        return {"type": "not", "not": {"not_sub_policy": dict(self.leaf(stateless), name=self.name())}}

    def subs(self, stateless, least=0):
        r = self.r
        return [dict(self.turned(stateless) if r.random() < 0.25 else self.leaf(stateless), name=self.name())
                for _ in range(r.choice([1, 2, 2, 3, 4] if least else [0, 1, 2, 2, 3, 4]))]

    def both(self, stateless):
        return {"type": "and", "and": {"and_sub_policy": self.subs(stateless)}}

    def drop(self, stateless):
        return {"type": "drop", "drop": {"drop_sub_policy": self.subs(stateless, 1)}}

    def composite(self, stateless):
        r = self.r
        subs = [dict(self.both(stateless) if r.random() < 0.3 else self.leaf(stateless), name=self.name()) for _ in range(r.randrange(1, 5))]
        names = sorted({s["name"] for s in subs})
        allocation = [{"policy": n, "percent": r.choice([1, 10, 50, 100, 200, 0, -5])} for n in names]
        if r.random() < 0.3:  # the last one counts, and one of no sub-policy is passed over
            allocation += [{"policy": r.choice(names + ["nowhere"]), "percent": 20}]
        return {"type": "composite", "composite": {
            "max_total_spans_per_second": r.choice([10 ** 9, 10 ** 9, 10 ** 9, 0, -1]), "composite_sub_policy": subs,
            "policy_order": r.sample(names, len(names)), "rate_allocation": allocation}}

    def policy(self, stateless):
        p = self.r.random()
        if p < 0.45:
            return self.leaf(stateless)
        return (self.both if p < 0.65 else self.turned if p < 0.78 else self.composite if p < 0.9 else self.drop)(stateless)

    # ---- whole settings ----

    def settings(self):
        """Of one tail_sampling, but for what says when traces are decided."""
        r = self.r
        stateless = r.random() < 0.2
        policies = [self.policy(stateless) for _ in range(r.choice([1, 2, 2, 3, 4, 6]))]
        if stateless:
            policies = [p for p in policies if p["type"] != "drop"] or [self.leaf(True)]
        elif all(p["type"] == "drop" for p in policies):
            policies.insert(r.randrange(len(policies) + 1), {"type": "always_sample"} if r.random() < 0.5 else self.leaf(stateless))
        found = {"policies": [dict(p, name=f"p{i}") for i, p in enumerate(policies)]}
        if stateless:
            found["sampling_strategy"] = "span-ingest"
        elif r.random() < 0.25:
            found["sample_on_first_match"] = True
        if r.random() < 0.15:
            found["maximum_trace_size_bytes"] = r.choice([200, 600, 1500, r.randrange(100, 4000)])
        if r.random() < 0.4:
            found["decision_cache"] = {k: 100000 for k in ("sampled_cache_size", "non_sampled_cache_size") if r.random() < 0.7}
        return found


def smaller(settings):
    """Settings with one thing less, each in one way."""
    found = []

    def walk(node, path):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(items):
            if isinstance(node, list) or key in ("sample_on_first_match", "maximum_trace_size_bytes", "decision_cache", "sampling_strategy",
                                                 "invert_match", "upper_threshold_ms", "error_mode", "cache_max_size", "hash_salt", "max_spans"):
                found.append(path + [key])
            if isinstance(value, (dict, list)):
                walk(value, path + [key])

    walk(settings, [])
    for path in found:
        less = copy.deepcopy(settings)
        node = less
        for key in path[:-1]:
            node = node[key]
        del node[path[-1]]
        if less["policies"]:
            yield less
