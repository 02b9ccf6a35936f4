# SPDX-License-Identifier: Apache-2.0
"""Configurations by chance for processors_diff.py: every key of redaction, attributes, resource, span and probabilistic_sampler, in all
combinations that both programs take."""
import json

KEYS = ["a", "b", "n", "url", "token", "my.token", "x-key", "password", "Token", "z", "redaction.masked.keys", "redaction.masked.count", "service.name",
        "api_key", "http.method", "db.system", "new", "new.2"]
PATTERNS = ["4[0-9]{12}(?:[0-9]{3})?", "(?i)bearer", "\\b\\d{3}-\\d{2}-\\d{4}\\b", "a*", "^$", "x$", "(?m)^v", "\\d+", "\\*+", "ok|fine", "^ok", "[^ -~]+", "\\pL{3}",
            "(?i)[k]", ".", "(?s).+", "e", "true", "\\.", "[0-9]?", "^/users/", "\\Aop", "[[:space:]]", "(a|aa)(a|)", "\\bf", "-?[0-9.]+$", "1|7", "(?U)a+", "\\s", "\\W$"]
KEY_PATTERNS = ["token", "(?i)token|password", "key$", "^.$", "^x-", "redaction", "\\.", "a", "^(?:b|n)$", "(?i)^TOKEN$", "^nope$", "[kn]", "new"]
KINDS = ["SPAN_KIND_INTERNAL", "SPAN_KIND_CLIENT", "SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER", "SPAN_KIND_PRODUCER"]
VALUES = ["x", "", "ok", "4111111111111111", 5, 0, -7, 9223372036854775807, 1.5, -0.5, 1e21, True, False, [1, "t", {"k": 2.5}], {"j": [True], "k": "v"}, [], {}]
PLAIN = ["ok", "fine", "plain text", "", "op ok", "op fine", "op ", "op a", "a", "7", "x"]


def some(rng, of, most=3):
    return rng.sample(of, rng.randrange(1, most + 1))


def maybe(rng, settings, chance, key, make):
    if rng.random() < chance:
        settings[key] = make()


def redaction(rng):
    s = {}
    maybe(rng, s, 0.75, "allow_all_keys", lambda: rng.random() < 0.85)
    maybe(rng, s, 0.4 if s.get("allow_all_keys") else 0.9, "allowed_keys", lambda: some(rng, KEYS, 6))
    maybe(rng, s, 0.25, "ignored_keys", lambda: some(rng, KEYS))
    maybe(rng, s, 0.25, "ignored_key_patterns", lambda: some(rng, KEY_PATTERNS, 2))
    maybe(rng, s, 0.5, "blocked_key_patterns", lambda: some(rng, KEY_PATTERNS))
    maybe(rng, s, 0.7, "blocked_values", lambda: some(rng, PATTERNS, 5))
    maybe(rng, s, 0.25, "allowed_values", lambda: some(rng, PATTERNS, 2))
    maybe(rng, s, 0.4, "redact_all_types", lambda: rng.random() < 0.8)
    maybe(rng, s, 0.8, "summary", lambda: rng.choice(["debug", "debug", "info", "silent", "Debug", ""]))
    maybe(rng, s, 0.3, "hash_function", lambda: rng.choice(["md5", "sha1", "SHA3", "hmac-sha256", "hmac-sha512"]))
    if s.get("hash_function", "").startswith("hmac"):
        s["hmac_key"] = "k" * rng.choice([64, 65, 128, 129, 300])
    maybe(rng, s, 0.3, "url_sanitizer", lambda: url_sanitizer(rng))
    maybe(rng, s, 0.3, "db_sanitizer", lambda: db_sanitizer(rng))
    return s


def url_sanitizer(rng):
    s = {"enabled": rng.random() < 0.9}
    maybe(rng, s, 0.8, "attributes", lambda: some(rng, KEYS, 5))
    maybe(rng, s, 0.3, "sanitize_span_name", lambda: rng.choice([True, False, None]))
    return s


def db_sanitizer(rng):
    """Not SQL: what the Collector makes of it depends on the span before. statements_diff.py has that."""
    s = {}
    for name in some(rng, ["redis", "valkey", "memcached", "mongo", "opensearch", "es"], 4):
        s[name] = {"enabled": rng.random() < 0.9}
        maybe(rng, s[name], 0.7, "attributes", lambda: some(rng, KEYS, 5))
    maybe(rng, s, 0.3, "sanitize_span_name", lambda: rng.choice([True, False, None]))
    return s


def action(rng):
    kind = rng.choice(["insert", "update", "upsert", "delete", "hash", "extract", "convert"])
    a = {"action": rng.choice([kind, kind, kind.upper(), kind.title()])}
    if kind in ("insert", "update", "upsert"):
        a["key"] = rng.choice(KEYS)
        source = rng.randrange(4)
        if source == 0:
            a["value"] = rng.choice(VALUES)
        elif source == 1:
            a["from_attribute"] = rng.choice(KEYS)
        elif source == 2:
            a["from_context"] = rng.choice(["client.address", "metadata.x-tenant", "X-Tenant", "metadata.nope", "metadata.X-TENANT", "nope"])
        if source == 3 or rng.random() < 0.3:
            a["default_value"] = rng.choice(VALUES)
    elif kind in ("delete", "hash"):
        which = rng.randrange(3)
        if which != 1:
            a["key"] = rng.choice(KEYS)
        if which != 0:
            a["pattern"] = rng.choice(KEY_PATTERNS)
    elif kind == "extract":
        a["key"] = rng.choice(KEYS)
        a["pattern"] = rng.choice(["^(?P<a>.)(?P<n>\\d*)", "(?P<b>[a-z]+|)", "(?P<new>\\w+) (?P<token>\\w+)", "(?P<z>(?i)OK)|(?P<q>[0-9])", "(?<url>.*)$", "(?P<a>a)?(?P<b>.)",
                                   "(?s)(?P<new>.*)", "(?P<x1>nope)"])
    else:
        a["key"] = rng.choice(KEYS)
        a["converted_type"] = rng.choice(["int", "double", "string"])
    return a


def condition(rng):
    """Of include and exclude; something in it must be given."""
    regexp = rng.random() < 0.5
    c = {"match_type": "regexp" if regexp else "strict"}
    texts = PATTERNS if regexp else PLAIN
    maybe(rng, c, 0.3, "services", lambda: some(rng, texts))
    maybe(rng, c, 0.3, "span_names", lambda: some(rng, texts))
    maybe(rng, c, 0.3, "span_kinds", lambda: some(rng, ["ER$", "INTERNAL", "UNSP", "^$", "."] if regexp else KINDS))

    def attribute():
        a = {"key": rng.choice(KEYS)}
        if rng.random() < 0.6:
            a["value"] = rng.choice(PATTERNS) if regexp else rng.choice([v for v in VALUES if not isinstance(v, (list, dict))])
        return a

    maybe(rng, c, 0.4, "attributes", lambda: [attribute() for _ in range(rng.choice([1, 1, 2]))])
    maybe(rng, c, 0.2, "resources", lambda: [attribute() for _ in range(rng.choice([1, 1, 2]))])
    maybe(rng, c, 0.15, "libraries", lambda: [rng.choice([{"name": "s"}, {"name": "s", "version": "1"}, {"name": "s", "version": ""}, {"name": "", "version": "1"},
                                                         {"name": "t"}])])
    maybe(rng, c, 0.1, "regexp", lambda: {"cacheenabled": True, "cachemaxnumentries": rng.choice([0, 10])})
    if not set(c) - {"match_type", "regexp"}:
        c["span_names"] = some(rng, texts)
    return c


def selection(rng, s, chance):
    maybe(rng, s, chance, "include", lambda: condition(rng))
    maybe(rng, s, chance / 2, "exclude", lambda: condition(rng))
    return s


def attributes(rng):
    return selection(rng, {"actions": [action(rng) for _ in range(rng.randrange(1, 6))]}, 0.5)


def resource(rng):
    return {"attributes": [action(rng) for _ in range(rng.randrange(1, 6))]}


def span(rng):
    """Without nested groups and groups that take no part: they end the real program."""
    s, name = {}, {}
    maybe(rng, name, 0.6, "from_attributes", lambda: some(rng, KEYS, 3))
    maybe(rng, name, 0.5, "separator", lambda: rng.choice(["", "/", "->", " :: ", "$1"]))
    if rng.random() < 0.5:
        name["to_attributes"] = {"rules": some(rng, ["^/users/(?P<user>[^/?]*)", "(?P<n>\\d+)", "(?P<word>\\pL\\pL+)", "(.)", "(?P<z>o?)", "(?P<a>\\w+)[ /]+(?P<b>\\w+)",
                                                     "(?P<end>$)", "(?P<token>[^ -~])", "/(?P<last>[^/]*)$", "(?s)^(?P<all>.*)$", "(?i)(?P<verb>GET|SET|select)", "(?<new>op)"], 3)}
        maybe(rng, name["to_attributes"], 0.4, "break_after_match", lambda: rng.random() < 0.7)
        maybe(rng, name["to_attributes"], 0.4, "keep_original_name", lambda: rng.random() < 0.7)
    if "from_attributes" in name or "to_attributes" in name:
        s["name"] = name
    if not s or rng.random() < 0.4:
        code = rng.choice(["Ok", "Unset", "Error"])
        s["status"] = {"code": code}
        if code == "Error":
            maybe(rng, s["status"], 0.6, "description", lambda: rng.choice(["", "because", "d"]))
    return selection(rng, s, 0.4)


def probabilistic_sampler(rng):
    s = {}
    maybe(rng, s, 0.95, "sampling_percentage", lambda: rng.choice([0, 0.001, 0.01, 0.1, 1, 5, 10, 12.5, 25, 33.333333, 50, 51, 66.6, 75, 90, 99.9, 100, 101, 1000,
                                                                   round(rng.random() * 100, 3)]))
    maybe(rng, s, 0.8, "mode", lambda: rng.choice(["hash_seed", "proportional", "equalizing", "proportional", "equalizing", ""]))
    maybe(rng, s, 0.4, "hash_seed", lambda: rng.choice([0, 1, 22, 2**32 - 1, rng.getrandbits(32)]))
    maybe(rng, s, 0.5, "fail_closed", lambda: rng.random() < 0.4)
    maybe(rng, s, 0.5, "sampling_precision", lambda: rng.randrange(1, 15))
    maybe(rng, s, 0.1, "attribute_source", lambda: "traceID")
    maybe(rng, s, 0.1, "sampling_priority", lambda: "n")
    return s


def random_configs(rng, n):
    """n of each kind, as processors_diff.py has them."""
    return [(make.__name__, json.dumps(make(rng)), "") for make in (redaction, attributes, resource, span, probabilistic_sampler) for _ in range(n)]
