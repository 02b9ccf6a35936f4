#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random statements and conditions of OTTL beside the real Collector's. A seeded generator over the grammar makes cases: an
expression that is set as an attribute, a condition (and its negation, so that false and failed differ), an editor, each in one of the
contexts. Every case has spans of its own, found by an attribute of their resource; what both make of them is compared whole. What one
refuses at start and the other does not is a difference, too; for that as many statements more have a slip in them.

usage: PEERS=DIR TAILRACE=build/tailrace ottl_diff.py [seed] [cases]   (ONLY=regexp of statements)"""
import json
import os
import random
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402
from filter_diff import KEYS, STRINGS, attributes, post, span  # noqa: E402

VARIANTS = 4  # resources for each case

# ---- what statements are made of ----

# Name, result, parameters: s string, S anything as a string, i int, I anything as an int, d D double, B anything as a bool, y bytes, m map,
# l list, t time, u duration, a anything, V a list in brackets, W one of strings, "..." one of these literals; ? and what follows may be left out.
FUNCTIONS = [line.split(None, 2) for line in r'''
ToLowerCase s s
ToUpperCase s s
ToSnakeCase s s
ToCamelCase s s
ConvertCase s s "lower|upper|snake|camel|Lower|title"
Base64Encode s s ? "base64|base64-raw|base64-url|base64-raw-url|x"
Decode s a "base64|base64-raw|utf-8|us-ascii|iso-8859-1|utf-16le|windows-1252|ISO-8859-1"
SHA256 s s
SHA1 s s
SHA512 s s
MD5 s s
FNV i s
XXH3 s s
XXH128 s s
Murmur3Hash s s
Murmur3Hash128 s s
Sort l l ? "asc|desc|up"
Keys l m
Values l m
ParseKeyValue m s ? "=|:|,|" "& |;| "
ToKeyValueString s m "=|:" " |, " "BOOL true"
ExtractPatterns m s "(?P<w>[a-z]+)|^(?P<a>.)(?P<b>.*)$|(?P<n>\\d+)(?P<o>x)?|(a)"
IsInCIDR b s "LIST 10.0.0.0/8|0.0.0.0/0|::/0|192.168.0.0/16"
IsMatch b S "^x|1|[a-c]+|^$|true|GET|0|:|(?i)^op|\\d{2,}|.*|\\bx\\b"
HasPrefix b s s
HasSuffix b s s
TrimPrefix s s s
TrimSuffix s s s
Trim s s ? "a| |abc|"
Substring s s i i ? "BOOL true|false"
Split l s s
Concat s V s
Hex s y
ParseInt i s "INT 2|8|10|16|36|0|1|99"
IsValidLuhn b S
Duration u "1s|1h2m3.5s|-5ms|1us|1.5h|0|bad|100ns"
Hours d u
Minutes d u
Seconds d u
Milliseconds i u
Microseconds i u
Nanoseconds i u
Time t s "%Y-%m-%d|%Y-%m-%dT%H:%M:%SZ|%d %b %Y|%H:%M|%s" ? "UTC|America/New_York|Europe/Berlin"
FormatTime s t "%Y-%m-%d|%H:%M:%S.%L|%a, %d %b %Y %T %z|%j|%e/%g/%y|%s|%%|%D %R %r|x"
Unix t i ? i
UnixNano i t
UnixMicro i t
UnixMilli i t
UnixSeconds i t
TruncateTime t t u
Year i t
Month i t
Day i t
Hour i t
Minute i t
Second i t
Nanosecond i t
Weekday i t
IsString b a
IsInt b a
IsDouble b a
IsBool b a
IsMap b a
IsList b a
IsEmpty b a
Int i I
Double d D
Bool b B
String s S
Log d D
Len i a
Coalesce a V
ContainsValue b l a
Index i a a
TraceID x "11111111111111110000000000000007|abc|00000000000000000000000000000000"
SpanID x "0000000000000003|xyz"
ParseJSON a s
URL m s
ParseCSV m s "a,b|a b|a" ? ",| "
Format s "%v|%s|%d|%5.2f|%-6q|%x|%t|%05d|%+d|%c|%U|%e|%g|%08.3f|%10s| %v %v|%T" V
ExtractGrokPatterns m s "%{WORD:w}|%{NUMBER:n}|%{WORD:a} %{GREEDYDATA:b}|%{IP:ip}" ? "BOOL true|false"
SliceToMap m l "LIST a|b" "LIST a|c"
ParseSeverity s a "MAP"
'''.strip().split("\n")]
BY_RESULT = {}
for _name, _result, _ in [(f + ["", ""])[:3] for f in FUNCTIONS]:
    BY_RESULT.setdefault(_result, []).append(_name)
PARAMETERS = {f[0]: f[2] if len(f) > 2 else "" for f in FUNCTIONS}

# Paths by context and type; what begins with a dot is behind the prefix of the context.
PATHS = {
    "resource": {"s": [".schema_url"], "i": [".dropped_attributes_count"], "m": [".attributes", ".cache"]},
    "scope": {"s": [".name", ".version", ".schema_url"], "i": [".dropped_attributes_count"], "m": [".attributes", ".cache"]},
    "span": {"s": [".name", ".kind.string", ".kind.deprecated_string", ".trace_id.string", ".span_id.string", ".parent_span_id.string", ".trace_state",
                   '.trace_state["a"]', '.trace_state["ot"]', ".status.message"],
             "i": [".kind", ".status.code", ".start_time_unix_nano", ".end_time_unix_nano", ".dropped_attributes_count", ".dropped_events_count",
                   ".dropped_links_count", ".flags"],
             "t": [".start_time", ".end_time"], "x": [".trace_id", ".span_id", ".parent_span_id", ".status", ".events", ".links"], "m": [".attributes", ".cache"]},
    "spanevent": {"s": [".name"], "i": [".time_unix_nano", ".dropped_attributes_count"], "t": [".time"], "m": [".attributes", ".cache"], "x": [".event_index"]},
}
SEEN = {"resource": ["resource"], "scope": ["scope", "resource"], "span": ["span", "scope", "resource"], "spanevent": ["spanevent", "span", "scope", "resource"]}
INNER = {"s": ['["s"]', '["http.route"]', '["a"]', '["m"]["b"]["c"]', '["l"][0]'], "i": ['["n"]', '["a"]', '["m"]["a"]', '["l"][1]'], "d": ['["b"]', '["z"]'],
         "m": ['["m"]', '["m"]["b"]'], "l": ['["l"]'], "a": ['["a"]', '["b"]', '["z"]', '["nope"]', '["m"]["x"]', '["l"][5]', '["e"]', "[name]", '["l"][-1]']}
TEXTS = ["", "x", "abc", "200", "a b c", "k=v x=y", "Some Name", "JSONData", "-", " ", ",", "a", "e", "true", "1.5", "10.0.0.7", "{\\\"a\\\":[1,{\\\"b\\\":null}]}", "[1,\\\"x\\\"]",
         "https://u:p@h.example:8080/a/b.html?q=1#f", "2025-03-04", "2025-03-04T05:06:07Z", "13:45", "\u00fc\u00df\u20ac", "\\u00e9", "\\n", "\\\"q\\\"", "%{x}", "$1", "aGk=", "0x10", "+5", "1e3",
         "a=1&b=2", "4111111111111111", "\\xff", "04 Mar 2025"]
INTS = ["0", "1", "2", "3", "5", "7", "-1", "200", "1700000000", "9223372036854775807", "-9223372036854775807"]
DOUBLES = ["0.0", "1.0", "1.5", "-2.25", ".5", "1e3", "1.5e-7", "3.", "200.0", "1e21"]
REGEXPS = ["a", "^.", ".$", "[0-9]+", "(.)(.)", "(?P<w>[a-z]+)", "x*", "\\\\s+", "^(GET) /(.*)$", "\u00fc", "(?i)ABC", "|"]
REPLACEMENTS = ["", "x", "$1", "$$1", "${w}-$2", "<$0>", "$10", "${1}0", "\\\\1", "$", "\u20ac"]
GLOBS = ["*", "a*", "*b?", "[a-c]*", "{abc,x}", "GET *", "[!x]*", "?", "a\\\\*"]
KEY_TEXTS = [k for k in KEYS if k != "z"] + ["nope", "", "c", "x"]


class Maker:
    """Statements of one case."""

    def __init__(self, rng, context):
        self.rng, self.context, self.depth, self.plain = rng, context, 0, False

    def path(self, kind, own=None):
        where = own or self.rng.choice([self.context] + SEEN[self.context])
        known = PATHS[where]
        if self.rng.random() < 0.6 and kind in INNER:
            base = self.rng.choice([".attributes", ".attributes", ".attributes", ".cache"] if where == self.context else [".attributes"])
            key = self.rng.choice(INNER[kind] if self.rng.random() < 0.85 else INNER["a"])
            text = base + (key if key != "[name]" or "s" in known else '["a"]').replace("[name]", "[" + where + known.get("s", [""])[0] + "]")
        else:
            kinds = [kind] if kind in known else ["m"] if kind in ("a", "l", "d") else [self.rng.choice(list(known))]
            text = self.rng.choice([p for p in known[kinds[0]] if p != ".cache" or where == self.context])
        return (where if where != self.context or self.rng.random() < 0.3 else "") + text if where != self.context else (where + text if self.rng.random() < 0.3 else text[1:])

    def literal(self, kind):
        r = self.rng
        if kind in "sS":
            return '"' + r.choice(TEXTS) + '"'
        if kind in "iI":
            return r.choice(INTS)
        if kind in "dD":
            return r.choice(DOUBLES)
        if kind in "bB":
            return r.choice(["true", "false"])
        if kind == "y":
            return r.choice(["0x00", "0x0102ff", "0x", '"ab"', "7", "0xabcdef0123456789"])
        if kind == "m":
            return "{" + ", ".join(f'"{k}": {self.value("a")}' for k in r.sample(["a", "b", "c"], r.randrange(3))) + "}"
        if kind == "l":
            return self.items("a")
        if kind == "t":
            return f"Unix({r.choice(INTS[:9])})"
        if kind == "u":
            return f'Duration("{r.choice(["1s", "1h2m3.5s", "-5ms", "100ns", "0"])}")'
        return r.choice(["nil", "true", '"x"', "7", "1.5", "0x0102", "SPAN_KIND_SERVER", "STATUS_CODE_ERROR", "[]", "{}"])

    def items(self, kind):
        if self.plain:  # compared: of maps and lists in brackets the real one compares addresses
            return "[" + ", ".join(self.literal(self.rng.choice("sidb")) for _ in range(self.rng.randrange(4))) + "]"
        return "[" + ", ".join(self.value(kind) for _ in range(self.rng.randrange(4))) + "]"

    def value(self, kind):
        r = self.rng
        if r.random() < 0.05:
            kind = r.choice("sidbmltua")
        self.depth += 1
        try:
            p = r.random()
            if self.depth > 4 or p < 0.25:
                return self.literal(kind)
            if kind in "SIDBya" and p < 0.5:
                return self.path(r.choice("sidmlta"))
            if kind == "b" or (kind in "tu" and p < 0.6) or p < 0.55:
                return self.path(kind) if kind in "sitmldx" else self.sum(kind) if kind == "u" else self.call(kind)
            if kind in "id" and p < 0.7:
                return self.sum(kind)
            return self.call(kind)
        finally:
            self.depth -= 1

    def sum(self, kind):
        r = self.rng
        if kind == "u":
            return r.choice([f"{self.path('t')} - {self.path('t')}", self.literal("u"), f"{self.literal('u')} + {self.literal('u')}"]) if "t" in PATHS[self.context] else self.literal("u")
        a, b = self.operand(kind), self.operand(kind)
        return r.choice([f"{a} {r.choice('+-*/')} {b}", f"({a} {r.choice('+-')} {b}) * {self.operand(kind)}", f"-{a}" if a[0] not in "-+" else a])

    def operand(self, kind):
        return self.rng.choice([self.literal(kind), self.path(kind), self.path("i")])

    def call(self, kind):
        r = self.rng
        names = BY_RESULT.get({"S": "s", "I": "i", "D": "d", "B": "b", "y": "s"}.get(kind, kind)) or [f[0] for f in FUNCTIONS]
        if r.random() < 0.08 or kind == "a":
            names = [f[0] for f in FUNCTIONS]
        name = r.choice(names)
        args, optional, spaced = [], False, re.findall(r'"[^"]*"|\S+', PARAMETERS[name])
        for p in spaced:
            if p == "?":
                optional = True
            elif optional and r.random() < 0.5:
                break
            else:
                args.append(self.argument(p))
        return f"{name}({', '.join(args)})" + (r.choice(['["a"]', "[0]", '["x"]["y"]']) if r.random() < 0.06 else "")

    def argument(self, p):
        r = self.rng
        if p[0] != '"':
            return self.items("a") if p == "V" else self.items("S") if p == "W" else self.value(p)
        text = p[1:-1]
        if text == "MAP":
            return '{"error": ["err", {"range": {"min": 3, "max": 4}}], "info": [1, {"equals": ["x"]}]}'
        if text.startswith("LIST "):
            return "[" + ", ".join(f'"{x}"' for x in r.sample(text[5:].split("|"), r.randrange(1, 3))) + "]"
        if text.startswith(("INT ", "BOOL ")):
            return r.choice(text.split(" ", 1)[1].split("|"))
        return '"' + r.choice(text.split("|") if text != "|" else ["|"]) + '"'

    def condition(self, depth=0):
        r = self.rng
        kind = r.randrange(10)
        if depth < 3 and kind < 3:
            word = r.choice([" and ", " or "])
            return word.join(("not " if r.random() < 0.2 else "") + "(" + self.condition(depth + 1) + ")" for _ in range(r.randrange(2, 4)))
        if kind == 3:
            return self.call("b")
        if kind == 4 and self.context == "span":
            return "IsRootSpan()"
        if kind == 5:
            return r.choice(["true", "false", f"{self.path('a')} != nil", f"{self.path('a')} == nil"])
        of = r.choice("siidbmlttux")
        self.plain = True
        a = self.value(of) if of != "x" else self.path("x")
        b = self.value(of if r.random() < 0.8 else "a")
        self.plain = False
        return f"{a} {r.choice(['==', '!=', '<', '<=', '>', '>='])} {b}"

    def target(self, kind):
        return self.path(kind, own=self.rng.choice([self.context] * 4 + SEEN[self.context]))

    def replacement(self):
        r = self.rng
        text = f', "{r.choice(REPLACEMENTS)}"'
        if r.random() < 0.3:
            text += ", " + r.choice(["SHA256", "SHA1", "MD5", "ToUpperCase", "XXH3"])
            if r.random() < 0.5:
                text += ', "' + r.choice(["<%s>", "%s", "a%sb", "%s-%s", "no"]) + '"'
        return text

    def editor(self):
        r = self.rng
        kind = r.choice(["set"] * 6 + ["delete_key", "delete_matching_keys", "keep_keys", "keep_matching_keys", "limit", "truncate_all", "merge_maps", "stringify_all", "append",
                                       "delete_index", "flatten", "replace_pattern", "replace_pattern", "replace_match", "replace_all_patterns", "replace_all_matches"])
        m = self.target("m")
        few = r.choice(["0", "1", "2", "3", "5", "100"])
        keys = "[" + ", ".join(f'"{k}"' for k in r.sample(KEY_TEXTS, r.randrange(4))) + "]"
        if kind == "set":
            of = r.choice("sidmla")
            return f"set({self.target(of if r.random() < 0.7 else r.choice('sitx'))}, {self.value(of if r.random() < 0.8 else 'a')})"
        return {
            "delete_key": f'delete_key({m}, "{r.choice(KEY_TEXTS)}")' if r.random() < 0.8 else f"delete_key({m}, {self.value('s')})",
            "delete_matching_keys": f'delete_matching_keys({m}, "{r.choice(REGEXPS)}")',
            "keep_keys": f"keep_keys({m}, {keys})",
            "keep_matching_keys": f'keep_matching_keys({m}, "{r.choice(REGEXPS)}")',
            "limit": f"limit({m}, {few}, {keys})",
            "truncate_all": f"truncate_all({m}, {few}" + r.choice(["", ", true", ", false", ', true, ".."', ', false, "\u20ac"']) + ")",
            "merge_maps": f'merge_maps({m}, {self.value("m")}, "{r.choice(["insert", "update", "upsert", "UPSERT"])}")',
            "stringify_all": f"stringify_all({m})",
            "append": f"append({self.target('l')}, " + r.choice([self.value("a"), f"values={self.items('a')}", f"value={self.value('s')}"]) + ")",
            "delete_index": f"delete_index({self.target('l')}, {r.choice(INTS[:7])}" + r.choice(["", f", {r.choice(INTS[:7])}"]) + ")",
            "flatten": f"flatten({m}" + r.choice(["", ', "p"', ', "", 1', ", depth=2", ", resolve_conflicts=true"]) + ")",
            "replace_pattern": f'replace_pattern({self.target("s")}, "{r.choice(REGEXPS)}"{self.replacement()})',
            "replace_match": f'replace_match({self.target("s")}, "{r.choice(GLOBS)}"{self.replacement()})',
            "replace_all_patterns": f'replace_all_patterns({m}, "{r.choice(["key", "value"])}", "{r.choice(REGEXPS)}"{self.replacement()})',
            "replace_all_matches": f'replace_all_matches({m}, "{r.choice(GLOBS)}"{self.replacement()})',
        }[kind]


def known(text, context):
    """What ends the real process, or prints what differs from run to run, or is a known difference (docs/migrating.md)."""
    text = re.sub(r"(?<![\w.])(attributes|cache)\b", context + r".\1", text)
    return (re.search(r"\[(92233\d+|17000\d+)\]|UUID|(Keys|Values)\([A-Z]|Now\(|%p", text) or  # writing to item 9223372036854775807
            re.search(r'Format\("[^"]*%[^"]*", \[[^"]*(attributes|cache|events|links|status|[{]|Keys|Values)', text) or  # addresses
            re.match(r"\w+\(([\w.]*(?:attributes|cache))\b.*\1(?!\[)", text))  # a map into itself


def case(rng, number):
    """(context, [statements])"""
    context = rng.choice(["span"] * 7 + ["spanevent", "spanevent", "scope", "resource"])
    here = f'resource.attributes["case"] == {number}'
    while True:
        m = Maker(rng, context)
        kind = rng.random()
        if kind < 0.4:
            texts = [f'set({context}.attributes["r"], {m.value(rng.choice("siidbmltuaaa"))}) where {here}']
        elif kind < 0.7:
            c = m.condition()
            texts = [f'set({context}.attributes["yes"], true) where {here} and ({c})', f'set({context}.attributes["no"], true) where {here} and not ({c})']
        else:
            texts = [f"{m.editor()} where {here}" + (f" and ({m.condition()})" if rng.random() < 0.2 else "")]
            if rng.random() < 0.3:
                texts.insert(0, f"{m.editor()} where {here}")
        if not any(known(t, context) for t in texts):
            return context, texts


# ---- running them ----

def yaml_of(text):
    return "'" + text.replace("'", "''").replace("$", "$$") + "'"


def configuration(folder, who, port, cases):
    groups = "".join(f"      - {{context: {context}, statements: [{', '.join(yaml_of(t) for t in texts)}]}}\n" for _, (context, texts) in cases)
    return f"""receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
processors:
  transform:
    error_mode: silent
    trace_statements:
{groups}exporters: {{file: {{path: "{folder}/{who}.json"}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: info}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [transform], exporters: [file]}}}}
"""


def refused(program, folder, cases):
    """{number: why}: a processor for each, which both look at before they say no; tailrace tells of 200 errors."""
    if len(cases) > 100:
        return {k: v for at in range(0, len(cases), 100) for k, v in refused(program, folder, cases[at:at + 100]).items()}
    text = "receivers: {otlp: {protocols: {http: }}}\nprocessors:\n" + "".join(
        f"  transform/{i}: {{trace_statements: [{{context: {context}, statements: [{', '.join(yaml_of(t) for t in texts)}]}}]}}\n" for i, (context, texts) in cases)
    text += f"exporters: {{file: {{path: {folder}/check.json}}}}\nservice: {{pipelines: {{traces: {{receivers: [otlp], processors: [{', '.join(f'transform/{i}' for i, _ in cases)}], exporters: [file]}}}}}}\n"
    path = peers.write(folder, "check.yaml", text)
    done = subprocess.run([program, "validate", "--config", path], capture_output=True, text=True)
    said = re.sub(r".*: warning: .*", "", done.stdout + done.stderr)
    return {int(m.group(1)): m.group(2)[:600] for m in re.finditer(r"processors(?:::|\.)transform/(\d+)[.:](.*)", said)}


# ---- slips ----

TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|0x[0-9a-fA-F]*|\d+\.\d*|\w+|==|!=|<=|>=|\S')
STRAY = ["(", ")", "[", "]", "{", "}", ",", ".", "==", "=", "<", "+", "-", "*", "/", "not", "and", "or", "where", "nil", "true", '"x"', "1", "1.5", "0x01", ":", "name", "SPAN_KIND_SERVER",
         "IsRootSpan()", "Len", "span", "attributes", "99999999999999999999", "0x1", "1e5", ".5", "5.", '"\\d"', '"', "'x'", "  ", "\n", "a_b", "Ab_c"]


def slip(rng, text):
    """The text with some token of it lost, doubled, exchanged or new."""
    tokens = TOKEN.findall(text)
    for _ in range(rng.choice([1, 1, 1, 2])):
        at = rng.randrange(len(tokens))
        kind = rng.randrange(5)
        if kind == 0:
            del tokens[at]
        elif kind == 1:
            tokens.insert(at, tokens[at])
        elif kind == 2:
            tokens.insert(at, rng.choice(STRAY))
        elif kind == 3:
            tokens[at] = rng.choice(STRAY)
        else:
            other = rng.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
        tokens = tokens or ["x"]
    joined = tokens[0]
    for a, b in zip(tokens, tokens[1:]):
        joined += (" " if re.match(r"\w", b) and re.search(r"\w$", a) else rng.choice(["", " "])) + b
    return joined


def compare_slips(rng, folder, programs, n):
    cases = []
    while len(cases) < n:
        context, texts = case(rng, len(cases))
        text = rng.choice(texts)
        short = text.split(" where ")[0] if rng.random() < 0.5 else text
        if len(short) < 400:
            cases.append((len(cases), (context, [slip(rng, short)])))
    theirs, ours = (refused(p, folder, cases) for p in programs)
    wrong = [one for one in cases if (one[0] in theirs) != (one[0] in ours)]
    for i, (context, texts) in wrong:
        print(f"{context}: {texts[0]}\n  refused by {'otelcol' if i in theirs else 'tailrace'}: {theirs.get(i, ours.get(i))}")
    print(f"{n} slips, {len(theirs)} refused: {len(wrong)} differences")
    return len(wrong)


def resource(rng, number, variant):
    rest = [a for a in attributes(rng, 4) if a["key"] not in ("case", "variant")]
    return {"resource": {"attributes": [{"key": "case", "value": {"intValue": str(number)}}, {"key": "variant", "value": {"intValue": str(variant)}}, *rest],
                         "droppedAttributesCount": rng.randrange(2)}, "schemaUrl": rng.choice(["", "https://r"]),
            "scopeSpans": [{"scope": {"name": rng.choice(["s", "", "lib"]), "version": rng.choice(["1", ""]), "attributes": attributes(rng, 3)},
                            "spans": [span(rng, number + 1, variant * 10 + k + 1) for k in range(rng.randrange(1, 3))]}]}


def in_order(v):
    """Maps by key: those that functions make come in a random order."""
    if isinstance(v, list):
        return [in_order(x) for x in v]
    if not isinstance(v, dict):
        return v
    v = {k: in_order(x) for k, x in v.items()}
    for name in ("attributes", "values"):
        if isinstance(v.get(name), list) and all(isinstance(x, dict) and "key" in x for x in v[name]):
            v[name].sort(key=lambda kv: (kv["key"], json.dumps(kv, sort_keys=True)))
    return v


def differing(x, y, at=""):
    """The places where they differ, as lines."""
    if isinstance(x, list) and isinstance(y, list) and len(x) == len(y):
        return [line for k, (v, w) in enumerate(zip(x, y)) for line in differing(v, w, f"{at}[{k}]")]
    if isinstance(x, dict) and isinstance(y, dict):
        return [line for k in sorted(x.keys() | y.keys()) for line in differing(x.get(k), y.get(k), f"{at}.{k}")]
    return [] if x == y else [f"  {at}", f"    otelcol  {json.dumps(x)[:700]}", f"    tailrace {json.dumps(y)[:700]}"]


def results(start, folder, who, cases, documents):
    """[resource as it left], in the order sent; both keep it."""
    port = peers.free_ports(1)[0]
    program = start(folder, configuration(folder, who, port, cases), port)
    try:
        answers = [post(port, d) for d in documents]
    except OSError:
        print(program.log_text()[-5000:])
        raise
    finally:
        program.stop()
    assert set(answers) == {200}, answers
    with open(f"{folder}/{who}.json", errors="replace") as f:
        return [in_order(r) for line in f for r in json.loads(line).get("resourceSpans", [])]


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    if not peers.peer("otelcol"):
        print("skipped: otelcol is not in PEERS")
        return 0
    rng = random.Random(seed)
    only = os.environ.get("ONLY", "")
    cases = [(i, c) for i, c in ((i, case(rng, i)) for i in range(n)) if any(re.search(only, t) for t in c[1])]
    tailrace, otelcol = os.path.abspath(peers.TAILRACE), peers.peer("otelcol")
    with peers.temp_folder() as folder:
        wrong = compare_slips(random.Random(seed), folder, (otelcol, tailrace), n)
        theirs, ours = (refused(p, folder, cases) for p in (otelcol, tailrace))
        for i, (context, texts) in cases:
            if (i in theirs) != (i in ours):
                wrong += 1
                print(f"{context}: {texts}\n  refused by {'otelcol' if i in theirs else 'tailrace'}: {theirs.get(i, ours.get(i))}")
        both = [one for one in cases if one[0] not in theirs and one[0] not in ours]
        sent = [resource(rng, i, v) for i, _ in both for v in range(VARIANTS)]
        documents = [json.dumps({"resourceSpans": sent[k:k + 50]}).encode() for k in range(0, len(sent), 50)]
        a = results(lambda d, text, port: peers.start_otelcol(d, text, port), folder, "real", both, documents)
        b = results(lambda d, text, port: peers.start_tailrace(d, text, args=("--workers", "1"))[0], folder, "ours", both, documents)
    assert len(a) == len(b) == len(sent), (len(a), len(b), len(sent))
    told = set()
    for k, (x, y) in enumerate(zip(a, b)):
        number = both[k // VARIANTS][0]
        if x != y and number not in told:
            told.add(number)
            wrong += 1
            print(f"{dict(both)[number]}\n  of {json.dumps(in_order(sent[k]), sort_keys=True)}", *differing(x, y)[:9], sep="\n")
    print(f"seed {seed}: {len(cases)} cases, {len(both)} accepted by both, {len(sent)} resources: {wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
