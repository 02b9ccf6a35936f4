#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The attribute processors beside the real Collector's: the same random spans through both, each of many
configurations, outputs compared attribute by attribute, in their order.

One pair of processes for each kind of processor: one receiver, a pipeline with its own file for every
configuration. INTEROP_SPANS in the environment: how many spans at least (default 2000).

Then as many configurations by chance of each of five processors, from the seed (random_configs.py). Last come chains:
2 to 5 of all these, at random, one behind the other in a pipeline.

usage: PEERS=DIR TAILRACE=build/tailrace processors_diff.py [seed] [spans] [only these] [by chance: 10]"""
import json
import os
import random
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402
from more_configs import MORE  # noqa: E402
from random_configs import random_configs  # noqa: E402
from transform_configs import TRANSFORM  # noqa: E402

CARD = "4[0-9]{12}(?:[0-9]{3})?"
# (type, settings for both, settings for tailrace alone)
CONFIGS = [
    ("redaction", "{}", ""),
    ("redaction", "{allow_all_keys: true}", ""),
    ("redaction", "{allowed_keys: [a, n, url], summary: debug}", ""),
    ("redaction", "{allowed_keys: [a, n, url], ignored_keys: [b], ignored_key_patterns: ['^x-'], summary: info}", ""),
    ("redaction", "{allow_all_keys: true, ignored_keys: [b], ignored_key_patterns: ['^x-'], summary: debug, blocked_values: ['" + CARD + "']}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['" + CARD + "', '(?i)bearer [a-z0-9]+', '\\b\\d{3}-\\d{2}-\\d{4}\\b'], summary: debug}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['a*'], summary: info}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['^$', 'x$', '(?m)^v'], summary: info}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['\\d+', '\\*\\*\\*\\*-'], summary: debug}", ""),
    ("redaction", "{allow_all_keys: true, blocked_key_patterns: ['(?i)token|password', 'key$'], summary: debug}", ""),
    ("redaction", "{allow_all_keys: true, blocked_key_patterns: [token], blocked_values: ['" + CARD + "'], allowed_values: ['^ok', 'fine'], summary: debug}", ""),
    ("redaction", "{allow_all_keys: true, blocked_key_patterns: [token], allowed_values: ['^$'], summary: debug}", ""),
    ("redaction", "{allow_all_keys: true, redact_all_types: true, blocked_values: ['1', 'true', 'e'], summary: debug}", ""),
    ("redaction", "{allow_all_keys: true, redact_all_types: true, blocked_key_patterns: ['.*'], summary: info}", ""),
    ("redaction", "{allowed_keys: [a, token], redact_all_types: true, blocked_key_patterns: ['token'], blocked_values: ['" + CARD + "'], summary: debug}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['" + CARD + "'], summary: nonsense}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['(?i)[k]', '\\pL{3}', '[^ -~]+']}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['" + CARD + "', '\\b\\d+'], hash_function: md5, summary: debug}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['a*'], blocked_key_patterns: [token], hash_function: SHA1}", ""),
    ("redaction", "{allow_all_keys: true, redact_all_types: true, blocked_key_patterns: ['.'], hash_function: sha3}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['.'], blocked_key_patterns: [token], hash_function: hmac-sha256, hmac_key: '" + "k" * 32 + "'}", ""),
    ("redaction", "{allow_all_keys: true, blocked_values: ['e|a'], blocked_key_patterns: [token], hash_function: HMAC-sha512, hmac_key: '" + "k" * 200 + "'}", ""),
    ("attributes", "{actions: [{key: new, action: insert, value: 5}, {key: a, action: insert, value: x}]}", ""),
    ("attributes", "{actions: [{key: a, action: update, value: [1, t, {k: 2.5, j: [true]}]}, {key: zzz, action: update, value: 1}]}", ""),
    ("attributes", "{actions: [{key: a, action: upsert, value: true}, {key: q, action: upsert, from_attribute: n}, {key: r, action: upsert, from_attribute: nope, default_value: d}]}", ""),
    ("attributes", "{actions: [{key: a, action: delete}, {key: n, action: delete}]}", ""),
    ("attributes", "{actions: [{pattern: '^[ab]$', action: delete}]}", ""),
    ("attributes", "{actions: [{key: token, pattern: 'n', action: delete}]}", ""),
    ("attributes", "{actions: [{key: a, action: hash}, {key: n, action: hash}, {key: b, action: hash}]}", ""),
    ("attributes", "{actions: [{pattern: '.', action: hash}]}", ""),
    ("attributes", "{actions: [{key: a, pattern: '^a$', action: hash}]}", ""),
    ("attributes", "{actions: [{key: a, action: convert, converted_type: int}, {key: n, action: convert, converted_type: int}]}", ""),
    ("attributes", "{actions: [{key: a, action: convert, converted_type: double}, {key: n, action: convert, converted_type: double}, {key: b, action: convert, converted_type: double}]}", ""),
    ("attributes", "{actions: [{key: a, action: convert, converted_type: string}, {key: n, action: convert, converted_type: string}, {key: b, action: convert, converted_type: string}, {key: url, action: convert, converted_type: string}]}", ""),
    ("attributes", "{actions: [{key: c, action: upsert, from_context: client.address}, {key: m, action: upsert, from_context: metadata.x-tenant}, {key: o, action: insert, from_context: X-Tenant}]}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: strict, services: [plain text, fine]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: regexp, services: ['^$', nil, '7']}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: strict, span_names: [op ok, op fine, 'op ']}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: regexp, span_names: ['e']}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: strict, span_kinds: [SPAN_KIND_CLIENT, SPAN_KIND_SERVER]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: regexp, span_kinds: ['UNSP', 'ER$']}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: strict, attributes: [{key: a}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], exclude: {match_type: strict, attributes: [{key: n, value: 7}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: regexp, attributes: [{key: n, value: '^-?[0-9.]+$'}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: regexp, attributes: [{key: a, value: '^0\\.0000|00000$|Inf'}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], exclude: {match_type: regexp, attributes: [{key: b, value: 'true|ok'}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: strict, attributes: [{key: a, value: true}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: strict, resources: [{key: b}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: strict, libraries: [{name: s, version: '1'}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: regexp, libraries: [{name: s, version: ''}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: strict, libraries: [{name: s, version: ''}]}}", ""),
    ("attributes", "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: regexp, services: ['.']}, exclude: {match_type: regexp, span_names: ['o.*n']}}", ""),
    ("attributes", "{actions: [{key: a, action: extract, pattern: '^(?P<first>.)(?P<n>\\d*)(?P<rest>x)?'}, {key: b, action: extract, pattern: '(?P<b>[a-z]+|)'}]}", ""),
    ("probabilistic_sampler", "{sampling_percentage: 25}", ""),
    ("probabilistic_sampler", "{sampling_percentage: 50, hash_seed: 22, fail_closed: false}", ""),
    ("probabilistic_sampler", "{sampling_percentage: 99.9, hash_seed: 4294967318}", ""),
    ("probabilistic_sampler", "{sampling_percentage: 0}", ""),
    ("probabilistic_sampler", "{sampling_percentage: 0, fail_closed: false}", ""),
    ("probabilistic_sampler", "{sampling_percentage: 300, mode: hash_seed, fail_closed: false}", ""),
    ("probabilistic_sampler", "{mode: proportional, sampling_percentage: 25}", ""),
    ("probabilistic_sampler", "{mode: proportional, sampling_percentage: 33.333333, fail_closed: false}", ""),
    ("probabilistic_sampler", "{mode: proportional, sampling_percentage: 100}", ""),
    ("probabilistic_sampler", "{mode: proportional, sampling_percentage: 99.9, sampling_precision: 14, fail_closed: false}", ""),
    ("probabilistic_sampler", "{mode: proportional, sampling_percentage: 70, sampling_precision: 1}", ""),
    ("probabilistic_sampler", "{mode: equalizing, sampling_percentage: 10}", ""),
    ("probabilistic_sampler", "{mode: equalizing, sampling_percentage: 60, fail_closed: false}", ""),
    ("probabilistic_sampler", "{mode: equalizing, sampling_percentage: 33.333333, sampling_precision: 14}", ""),
    ("probabilistic_sampler", "{mode: equalizing, sampling_percentage: 51, sampling_precision: -3}", ""),
    ("probabilistic_sampler", "{mode: equalizing, sampling_percentage: 0, fail_closed: false}", ""),
    ("span", "{name: {from_attributes: [a]}}", ""),
    ("span", "{name: {from_attributes: [n, a], separator: '->'}}", ""),
    ("span", "{name: {from_attributes: [b], separator: x, to_attributes: {rules: ['(?P<a>[0-9]+)']}}}", ""),
    ("span", "{name: {to_attributes: {rules: ['^/users/(?P<user>[^/?]*)', '(?P<n>\d+)', '(?P<word>\pL\pL+)']}}}", ""),
    ("span", "{name: {to_attributes: {rules: ['(?P<user>\d+)', '(.)', '(?P<z>o?)'], break_after_match: true}}}", ""),
    ("span", "{name: {to_attributes: {rules: ['(?P<a>\w+)[ /]+(?P<b>\w+)', '(?P<end>$)', '(?P<token>[^ -~])'], keep_original_name: true}}}", ""),
    ("span", "{name: {to_attributes: {rules: ['/(?P<last>[^/]*)$', '(?s)^(?P<all>.*)$']}}, status: {code: Ok}}", ""),
    ("span", "{status: {code: Unset}, include: {match_type: regexp, span_names: ['^op']}}", ""),
    ("span", "{status: {code: Error, description: because}, exclude: {match_type: strict, attributes: [{key: a}]}}", ""),
    ("span", "{status: {code: Error}, include: {match_type: strict, span_kinds: [SPAN_KIND_SERVER, SPAN_KIND_CLIENT]}}", ""),
    ("resource", "{attributes: [{key: service.name, action: upsert, value: other}, {key: a, action: delete}, {key: n, action: hash}, {key: new, action: insert, from_attribute: b}]}", ""),
]
CONFIGS += TRANSFORM
CONFIGS += MORE

# In chains only; filter_diff.py has filter by itself.
FILTERS = [("filter", json.dumps({"error_mode": "ignore", "traces": traces}), "") for traces in (
    {"span": ['attributes["a"] == "ok"', 'name == "op "']}, {"span": ['IsMatch(name, "users")', 'attributes["new"] != nil']},
    {"span": ['status.code == 2 and kind == 3']}, {"spanevent": ['attributes["a"] != nil']}, {"span": ['resource.attributes["b"] == "x"']})]
CHAINS = 48


def chains(rng, configs, n):
    """Random ones; nothing that refuses a request, as all pipelines would see it again."""
    pool = [c for c in configs if "propagate" not in c[1]]
    by_kind = {kind: [c for c in pool if c[0] == kind] for kind in dict.fromkeys(c[0] for c in pool)} | {"filter": FILTERS}
    picked = []
    while len(picked) < n:
        stages = [rng.choice(by_kind[rng.choice(list(by_kind))]) for _ in range(rng.choice([2, 2, 3, 3, 4, 5]))]
        # A mask, or a hash, for every empty match: several of them one after the other make megabytes.
        if sum(c[0] == "redaction" for c in stages) <= 2 and sum("hash_function" in c[1] for c in stages) <= 1:
            picked.append(("chain", " -> ".join(f"{c[0]} {c[1]}" for c in stages), stages))
    return picked


def stages_of(config):
    return config[2] if config[0] == "chain" else [config]


KEYS = ["a", "b", "n", "url", "token", "my.token", "x-key", "password", "Token", "z", "redaction.masked.keys", "redaction.masked.count", "service.name", "api_key", "http.method", "db.system"]
BITS = ["4111111111111111", "411111111111", "078-05-1120", "Bearer abc9", "bearer", "ok", "fine", "plain text", " ", "\n", "a", "aa", "baaac", "", "v", "x",
        "Kelvin \u212a", "\u00fc\u00df\u20ac", "\U0001f600", "12", "-7", "+5", "1.5", "1e3", "0x1p-2", "1_000", "nan", "-inf", "Infinity", "9223372036854775808",
        "true", "/users/42", "/a/b?c=d", "qxqx", "/x1/y2z/", "sqlite", "<&>", '"', "\\", "\u2028", "\t", "****", ",", "007", "1e400", ".5"]
INTS = [0, 1, -1, 7, 4111111111111111, 2**63 - 1, -2**63]
# No NaN: JSON does not say which one, and Go's is its own.
DOUBLES = [0.0, 1.5, -2.25, 1e21, 1e20, 1e-7, 123456789.125, 1e308, 5e-324, 0.1, "Infinity", "-Infinity", 3.0, -0.0]


def value(rng, depth=0):
    kind = rng.randrange(12 if depth < 2 else 8)
    if kind < 4:
        return {"stringValue": "".join(rng.choice(BITS) for _ in range(rng.choice([0, 1, 1, 1, 2, 3])))}
    if kind == 4:
        return {"intValue": str(rng.choice(INTS))}
    if kind == 5:
        return {"doubleValue": rng.choice(DOUBLES)}
    if kind == 6:
        return {"boolValue": rng.random() < 0.5}
    if kind == 7:
        # Empty bytes inside a list read as null or "" there, depending on how they came.
        return {"bytesValue": ["eHl6", "AAEC/w==", ""][rng.randrange(2 if depth else 3)]}
    if kind == 8:
        return {}
    if kind == 9:
        return {"kvlistValue": {"values": [{"key": k, "value": value(rng, depth + 1)} for k in rng.sample(KEYS, rng.randrange(4))]}}
    return {"arrayValue": {"values": [value(rng, depth + 1) for _ in range(rng.randrange(4))]}}


def attributes(rng, most):
    n = rng.randrange(most + 1)
    keys = rng.choices(KEYS, k=n) if rng.random() < 0.1 else rng.sample(KEYS, n) # now and then with duplicates
    return [{"key": k, "value": system(rng) if k == "db.system" else value(rng)} for k in keys]


def system(rng):
    return {"stringValue": rng.choice(["redis", "Valkey", "memcached", "mongodb", "elasticsearch", "opensearch", "sqlite", "", "x"])}


def trace_state(rng):
    def ot():
        parts = [rng.choice(["th:8", "th:0", "th:c", "th:fd70a", "th:C00", "th:zz", "th:", "rv:" + f"{rng.getrandbits(56):014x}", "rv:ABCDEF01234567",
                             "rv:12", "a:b", "x9:1.2_3-A", "TH:1", "q"]) for _ in range(rng.randrange(1, 4))]
        return "ot=" + ";".join(parts)

    if rng.random() < 0.4:
        return ""
    return rng.choice([",", ",", " ,", ",\t", ",,"]).join(
        ot() if rng.random() < 0.5 else rng.choice(["a=b", "c=d e", "k= v", "t9@sys=1", "9t@sys=1", "A=b", "a=", "a", "a=b=c", "a=\u00e9", "x*/_-=~!", ""])
        for _ in range(rng.choice([1, 1, 1, 2, 3, 31, 32])))


def name(rng):
    if rng.random() < 0.6:
        return "op " + rng.choice(BITS)
    return rng.choice(["", "/users/42/carts/7", "GET /users/42?token=x", "/users//", "SELECT 1", "a/b/c\nd", "\u00fc ber", "SET user:1 john", "n2", "/a/b/c/d/e/f/g/h/9/i/j", "x?y", "/1/2", "/1/?z"])


def priority(rng):
    if rng.random() < 0.8:
        return []
    return [{"key": "sampling.priority", "value": rng.choice([
        {"intValue": "0"}, {"intValue": "1"}, {"intValue": "-1"}, {"doubleValue": 0.5}, {"doubleValue": -0.0}, {"boolValue": True}, {"stringValue": "1"},
        {"stringValue": "0.0"}, {"stringValue": "1_0"}, {"stringValue": "0x1p1"}, {"stringValue": " 1"}, {"stringValue": "-2"}, {"stringValue": "inf"}])}]


def request(rng, number):
    trace = f"{rng.getrandbits(128):032x}"

    def span(i):
        return {"traceId": trace, "traceState": trace_state(rng), "spanId": f"{i + 1:016x}", "name": name(rng), "kind": rng.randrange(6),
                "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000001000000000", "attributes": attributes(rng, 10) + priority(rng),
                "events": [{"name": "e", "timeUnixNano": "1700000000000000001", "attributes": attributes(rng, 4)} for _ in range(rng.randrange(3))],
                "links": [{"traceId": "ab" * 16, "spanId": "cd" * 8, "attributes": attributes(rng, 2)} for _ in range(rng.randrange(2))],
                "status": {"code": rng.randrange(3), "message": "m"}}

    n = iter(range(1000))
    return {"resourceSpans": [{"resource": {"attributes": attributes(rng, 5)}, "schemaUrl": "https://r",
                               "scopeSpans": [{"scope": {"name": "s", "version": "1", "attributes": attributes(rng, 3)},
                                               "spans": [span(next(n)) for _ in range(rng.randrange(1, 6))]} for _ in range(rng.randrange(1, 3))]}
                              for _ in range(rng.randrange(1, 3))]}


def maps_sorted(v):
    """Maps inside values by key: the Collector puts a map from its settings in a random order."""
    if isinstance(v, list):
        return [maps_sorted(x) for x in v]
    if not isinstance(v, dict):
        return v
    if "kvlistValue" in v:
        return {"kvlistValue": sorted(map(maps_sorted, v["kvlistValue"].get("values", [])), key=lambda kv: kv.get("key", ""))}
    return {k: maps_sorted(x) for k, x in v.items()}


def seen(path):
    """{(trace, span): every attribute list of it, in order}"""
    found = {}
    if not os.path.exists(path):
        return found
    with open(path) as f:
        for line in f:
            if not line.endswith("\n"):
                break
            for rs in json.loads(line).get("resourceSpans", []):
                for ss in rs.get("scopeSpans", []):
                    for s in ss.get("spans", []):
                        found[(s["traceId"], s["spanId"])] = {
                            "resource": rs.get("resource", {}).get("attributes", []), "scope": ss.get("scope", {}).get("attributes", []),
                            "span": s.get("attributes", []), "events": [e.get("attributes", []) for e in s.get("events", [])],
                            "links": [e.get("attributes", []) for e in s.get("links", [])],
                            "fields": [s.get(k, 0) for k in ("startTimeUnixNano", "endTimeUnixNano", "parentSpanId", "flags", "droppedAttributesCount",
                                                             "droppedEventsCount", "droppedLinksCount")],
                            "named": [(e.get("name"), e.get("timeUnixNano"), e.get("droppedAttributesCount", 0)) for e in s.get("events", [])],
                            "places": [ss.get("schemaUrl"), ss.get("scope", {}).get("version"), ss.get("scope", {}).get("droppedAttributesCount", 0),
                                       rs.get("resource", {}).get("droppedAttributesCount", 0)],
                            "rest": [s.get("name"), s.get("kind"), s.get("traceState"), s.get("status"), rs.get("schemaUrl"), ss.get("scope", {}).get("name")]}
    return found


def post(port, body):
    r = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", body, {"Content-Type": "application/json", "X-Tenant": "t1"})
    with urllib.request.urlopen(r, timeout=60) as answer:
        answer.read()


def settings(stage, who):
    _, both, alone = stage
    return both[:-1] + alone + "}" if who == "ours" else both


def configuration(folder, who, port, configs):
    text = f'receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}", include_metadata: true}}}}}}}}\nprocessors:\n'
    for i, config in enumerate(configs):
        for j, stage in enumerate(stages_of(config)):
            text += f"  {stage[0]}/{i}_{j}: {settings(stage, who)}\n"
    text += "exporters:\n" + "".join(f'  file/{i}: {{path: "{folder}/{who}{i}.json"}}\n' for i in range(len(configs)))
    text += "service:\n  telemetry: {metrics: {level: none}, logs: {level: info}}\n  pipelines:\n"
    for i, config in enumerate(configs):
        names = ", ".join(f"{stage[0]}/{i}_{j}" for j, stage in enumerate(stages_of(config)))
        text += f"    traces/{i}: {{receivers: [otlp], processors: [{names}], exporters: [file/{i}]}}\n"
    return text


def difference(kind, both, a, b):
    """Prints the first few; returns how many."""
    for k in sorted(set(a) ^ set(b))[:3]:
        print(f"{kind} {both}: span {k} left {'otelcol' if k in a else 'tailrace'} only: {json.dumps(a.get(k) or b.get(k))}")
    bad = [(k, part) for k in a if k in b for part in a[k] if maps_sorted(a[k][part]) != maps_sorted(b[k][part])]
    for k, part in bad[:3]:
        print(f"{kind} {both}: {part} of span {k}\n  otelcol:  {json.dumps(a[k][part])}\n  tailrace: {json.dumps(b[k][part])}")
    return len(set(a) ^ set(b)) + len(bad)


def compare(kind, configs, bodies):
    """All configurations of a kind; returns how many differences there were."""
    ports = peers.free_ports(2)
    folder = peers.temp_folder()
    d = folder.name
    running = []
    try:
        running.append(peers.start_otelcol(d, configuration(d, "real", ports[0], configs), ports[0]))
        running.append(peers.start_tailrace(d, configuration(d, "ours", ports[1], configs), args=("--workers", "1"))[0])
        for body in bodies:
            for port in ports:
                post(port, body)
    except (OSError, AssertionError):
        for p in running:
            print(f"{kind}: {p.name}: {p.log_text()[-3000:]}")
        raise
    finally:
        for p in reversed(running):
            p.stop()
    wrong = 0
    for i, (_, both, _) in enumerate(configs):
        wrong += difference(kind, both, seen(f"{d}/real{i}.json"), seen(f"{d}/ours{i}.json"))
        os.remove(f"{d}/real{i}.json")
        os.remove(f"{d}/ours{i}.json")
    folder.cleanup()
    return wrong


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    least = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ.get("INTEROP_SPANS", "2000"))
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    if not peers.peer("otelcol"):
        print("skipped: otelcol is not in PEERS")
        return 0
    rng = random.Random(seed)
    bodies, n_spans = [], 0
    while n_spans < least:
        doc = request(rng, len(bodies))
        spans = [s for rs in doc["resourceSpans"] for ss in rs["scopeSpans"] for s in ss["spans"]]
        for number, s in enumerate(spans):
            s["spanId"] = f"{number + 1:016x}" # unique in the request, for the comparison
        n_spans += len(spans)
        bodies.append(json.dumps(doc).encode())
    wrong, counts = 0, {}
    everything = CONFIGS + random_configs(rng, int(sys.argv[4]) if len(sys.argv) > 4 else 10)
    everything += chains(rng, everything, CHAINS)
    for kind in dict.fromkeys(c[0] for c in everything):
        configs = [c for c in everything if c[0] == kind and only in c[0] + " " + c[1]]
        if configs:
            counts[kind] = len(configs)
            wrong += compare(kind, configs, bodies)
    print(f"{counts}, {len(bodies)} requests, {n_spans} spans each: {wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
