#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Collector's dialect of regular expressions beside ours: which expressions both take, and what redaction replaces with each in
texts where dialects differ (line ends, vertical tabs, folded letters, empty matches). A list of what is special, and expressions by
chance from its pieces.

usage: PEERS=DIR TAILRACE=build/tailrace regex_diff.py [seed] [by chance]"""
import json
import os
import random
import re
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402

SPECIAL = r"""
(?=a) (?!a) (?<=a) (?<!a) (?>a) (?|a|b) (?#c) (a)\1 \g{1} \k<n> (?P=n) a++ a*+ a** a{2}{3} a?? a+? (?(1)a|b) (?R) (*FAIL) (?x)a (?J)a (?n)a (?i)a (?m)^a (?s). (?U)a+
(?i-s)a (?-i)a (?^i)a (?i:a) (?) (?: (?i \C \E \Qa.b \Qa.b\E+ \Q\E a\Q*\Eb [\Qa\E] \G \K \N \R \X \Z \z \A \a \f \t \n \r \v \cA \e \h \H \k \o{7} \u0041 \y \1 \7 \8 \9
\0 \12 \123 \07 \x4 \x41 \x{41} \x{10FFFF} \x{110000} \x{} \x{1 [\b] \b \B [a-\d] [z-a] [a-] [-a] []a] []] [^]a] [a [[:alpha:]] [[:nope:]] [[:^digit:]] [:alpha:] [[=a=]] [[.a.]] [[:word:]] [[:space:]]
\pL \pN \PL \p{Greek} \p{^Greek} \P{^L} \p{Lu} \p{Any} \p{L&} \p{Script=Greek} \p{Letter} \p{lu} \p{greek} \pX \p{} \p [\pL] [^\pL] [\d\w] [^\s\w] \s \S \d \D \w \W [\s] [^\S]
(?i)k (?i)s (?i)[a-z] (?i)\w (?i)\W (?i)[[:alpha:]] (?i)\p{Lu} (?i)\p{Ll} (?i)[^k] (?i)ß (?i)\x{17F} (?i)É
. (?s).+ (?m)$ $ ^ (?m)^ (?m)^$ ^$ \A\z (?m)a$ (?ms)^.*$ a|b |a a| () (|a) (a|ab)(c|bcd)(d*) a* a*? (?U)a* (?U)a*? x* [0-9]? (a*)* (a*)+ (a+)* (a|b)*? (?:a|)+ b*a*
* +a ?a (*a) (+) a|* a|+b ^* ^+ $* \b+ \b* ()* ()+ (?:)* a{ a} { } ] {,3} a{,3} a{1 a{1,2 a{2,1} a{0} a{0,0} a{1,} a{1000} a{1001} (a{100}){10} (a{100}){11} (a{10}){100}{2} ((a{10}){10}){10} ((a{10}){10}){11} a{-1} a{1}? a{01} a{2}+
(?P<n>a) (?<n>a) (?P<n>a)(?P<n>b) (?<n>a)(?<n>b) (?P<1n>a) (?P<n-m>a) (?P<>a) (?P<né>a) (?P<n a (?'n'a) (?P>n) (?P<n>) (?<n>a)|(?<m>b) [(?<n>] \(?<n>a
) ( (a (a)) [ [] [^] \ a\ \_ \- \/ \" \# \  \@ \é \q \i \l \L \m \M \j \g \G \Y \I
""".split()
SPECIAL += ["(" * 999 + "a" + ")" * 999, "(" * 1001 + "a" + ")" * 1001, "(?:" * 1001 + "a" + ")" * 1001, "\\pL{200}", ".{1000}", "(?:.{0,30}@){8}", "[^a]{500}", "(?i)[a-z]{1,1000}",
            "a" * 5000, "|".join("w%d" % i for i in range(800)), "a b", " ", "a\tb", "\n", "(?i)straße", "é+", "[é-ü]", "[\u2028]"]
PIECES = r"""a b ab é k K ſ . .* .+ .? a* a+ a? a*? a+? a{2} a{1,2}? \d \D \w \W \s \S \b \B ^ $ \A \z (?i) (?s) (?m) (?U) (?-i) (?i:k) ( ( ) ) (?: ) (?P<n> (?<m> | | [ab] [^a] [a-z] [^\s] [[:alpha:]] [\d.]
[^\n] \n \t \v \x41 \x{e9} \pL \p{Lu} \PL \. \- \Qa.\E 1 2 - _ , : = / ** {2} {,2} \101 \0""".split()
TEXTS = ["", "a", "aa", "ab", "abcd", "aXbab", "baaac", "a\nb", "a\n", "\n", "a\n\nb", "\na", "a\r\nb", "\x0b", "a\x0bb", "\x0c", " \t", "k", "K", "\u212a", "\u017f", "s", "S\u017fs", "\u00e9\u00c9", "\u00df",
         "stra\u00dfe", "\u03b1\u0391 b", "\U0001f600a", "a.b", "1,2:3=4", "\u2028", "x-1_y", "A", "-", "(?<n>", "a" * 40, "..", "\u00fc", "a1b2", "ABC", "w7 w799", "\x00", "\x7f"]


def by_chance(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 8)))


def quoted(pattern):
    return "'" + pattern.replace("$", "$$").replace("'", "''") + "'" if "\n" not in pattern and "\t" not in pattern else json.dumps(pattern.replace("$", "$$"))


def ottl(pattern):
    text = pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("$", "$$")
    return json.dumps(f'IsMatch(name, "{text}")')


def taken(program, patterns, folder):
    """Which of them `validate` lets pass, as literals of OTTL."""
    config = "receivers: {otlp: {protocols: {http: {endpoint: 'localhost:0'}}}}\nexporters: {debug: {}}\nprocessors:\n"
    config += "".join(f"  filter/p{i}: {{error_mode: ignore, traces: {{span: [{ottl(p)}]}}}}\n" for i, p in enumerate(patterns))
    config += "service: {pipelines: {traces: {receivers: [otlp], processors: [" + ", ".join(f"filter/p{i}" for i in range(len(patterns))) + "], exporters: [debug]}}}\n"
    path = peers.write(folder, "patterns.yaml", config)
    out = subprocess.run([program, "validate", "--config", path], capture_output=True, text=True, timeout=120)
    bad = {int(n) for n in re.findall(r"filter/p(\d+)\b", out.stdout + out.stderr)}
    assert bad or out.returncode == 0, out.stdout + out.stderr
    return [i not in bad for i in range(len(patterns))]


def configuration(patterns, port, folder):
    text = f"receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\nprocessors:\n"
    text += "".join(f"  redaction/{i}: {{allow_all_keys: true, blocked_values: [{quoted(p)}]}}\n" for i, p in enumerate(patterns))
    text += "exporters:\n" + "".join(f"  file/{i}: {{path: '{folder}/{i}.json'}}\n" for i in range(len(patterns)))
    text += "service:\n  telemetry: {metrics: {level: none}, logs: {level: info}}\n  pipelines:\n"
    return text + "".join(f"    traces/{i}: {{receivers: [otlp], processors: [redaction/{i}], exporters: [file/{i}]}}\n" for i in range(len(patterns)))


def replaced(who, patterns, folder):
    """For each expression what becomes of each text."""
    port = peers.free_ports(1)[0]
    os.makedirs(os.path.join(folder, who))
    start = (lambda y: peers.start_otelcol(folder, y, port)) if who == "otelcol" else (lambda y: peers.start_tailrace(folder, y, args=("--workers", "1"))[0])
    program = start(configuration(patterns, port, os.path.join(folder, who)))
    try:
        span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "n", "attributes": [{"key": f"t{i}", "value": {"stringValue": t}} for i, t in enumerate(TEXTS)]}
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
    finally:
        program.stop()
    found = []
    for i in range(len(patterns)):
        with open(os.path.join(folder, who, f"{i}.json")) as f:
            span = json.load(f)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        found.append([a["value"].get("stringValue", "") for a in span["attributes"]])
    return found


def compare(patterns):
    wrong = 0
    with peers.temp_folder() as folder:
        theirs, ours = (taken(p, patterns, folder) for p in (peers.peer("otelcol"), os.path.abspath(peers.TAILRACE)))
        for p, a, b in zip(patterns, theirs, ours):
            if a != b:
                wrong += 1
                print(f"{p[:120]!r}: taken by {'otelcol' if a else 'tailrace'} alone")
        both = [p for p, a, b in zip(patterns, theirs, ours) if a and b]
        a, b = (replaced(who, both, folder) for who in ("otelcol", "tailrace"))
    for p, x, y in zip(both, a, b):
        for t, u, v in zip(TEXTS, x, y):
            if u != v:
                wrong += 1
                print(f"{p[:120]!r} on {t!r}: otelcol {u!r}, tailrace {v!r}")
    return wrong, len(both)


def main():
    if not peers.peer("otelcol"):
        print("skipped: otelcol is not in PEERS")
        return 0
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    patterns = list(dict.fromkeys(SPECIAL + [by_chance(rng) for _ in range(n)]))
    wrong = both = 0
    for at in range(0, len(patterns), 250):
        w, b = compare(patterns[at:at + 250])
        wrong, both = wrong + w, both + b
    print(f"{len(patterns)} expressions, {both} taken by both and tried on {len(TEXTS)} texts: {wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
