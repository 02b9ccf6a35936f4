#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""redaction's db_sanitizer beside the real Collector's: random statements of every database it knows, as attributes and as span
names, must come out of both the same. The statements are well-formed: where a quote is never closed or lines of Redis are empty
tailrace is stricter by design.

usage: PEERS=DIR TAILRACE=build/tailrace statements_diff.py [seed] [statements]"""
import json
import os
import random
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402

CONFIG = """
receivers: {otlp: {protocols: {http: {endpoint: 'localhost:%d', max_request_body_size: 100000000}}}}
processors:
  redaction/attributes:
    allow_all_keys: true
    db_sanitizer:
      sanitize_span_name: false
      sql: {enabled: true, attributes: [q]}
      redis: {enabled: true, attributes: [q]}
      valkey: {enabled: true, attributes: [q]}
      memcached: {enabled: true, attributes: [q]}
      mongo: {enabled: true, attributes: [q]}
      opensearch: {enabled: true, attributes: [q]}
      es: {enabled: true, attributes: [q]}
  redaction/names:
    allow_all_keys: true
    db_sanitizer: {sql: {enabled: true}, redis: {enabled: true}, valkey: {enabled: true}, memcached: {enabled: true}, mongo: {enabled: true}, opensearch: {enabled: true}, es: {enabled: true}}
exporters: {file/attributes: {path: %s/attributes.json}, file/names: {path: %s/names.json}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces/attributes: {receivers: [otlp], processors: [redaction/attributes], exporters: [file/attributes]}
    traces/names: {receivers: [otlp], processors: [redaction/names], exporters: [file/names]}
"""
SQL = """SELECT FROM WHERE AND OR IN INSERT INTO VALUES UPDATE SET DELETE JOIN ON LIKE BETWEEN LIMIT users t1 u.id u2.a_1 a.* (1,2,3) ('a','b')
 'x' 'it''s' 'a\\'b' `c2` 5 -3 +4 1.5 .5 1e-5 0x1F 017 078 0091 08.5 \u20ac078 \u00fc078 \u20acTRUE \u00e9NULL \u20ac 1\u20ac a\u20acb1 TRUE false NULL null , ( ) = <> >= != + - * / % || ? $1 @p1 @@v :n1 f1(5) count(*) max(a1)
 /*c1*/ ; {d1} [e1] $$a$$ $t$a$t$ x'1F' N'b' a=1 a=@p1 a='b' a>=5 a-1 2-1 t2.c1::int4 data->>'k' '2024-01-01' interval date AS CAST(5 AS int)""".split()
REDIS = "SET GET MSET HSET HMSET ZADD AUTH LPUSH RPUSH APPEND CONFIG BITFIELD set NX CH k1 v1 \"a\\\"b\" 5 f EVAL SADD GEOADD x LINSERT ZREM INCR del SETEX".split()
SYSTEMS = {"sql": ["postgresql", "sqlite", "mariadb", "other_sql"], "redis": ["redis", "Valkey"], "memcached": ["memcached"],
           "json": ["mongodb", "elasticsearch", "opensearch"]}


def value(rng, depth):
    kind = rng.random()
    if depth == 0 or kind < 0.4:
        return rng.choice(["1", '"x"', "true", "null", "-2.5e3", '"a\\"b\\u00e9"', '""'])
    if kind < 0.7:
        return "{" + ", ".join(f'"k{i}" : {value(rng, depth - 1)}' for i in range(rng.randrange(4))) + "}"
    return "[ " + ",".join(value(rng, depth - 1) for _ in range(rng.randrange(4))) + "]"


def statement(rng, kind):
    """Now and then with white space around it."""
    text = plain_statement(rng, kind)
    spaces = [" ", "\n", "\t", "\v", "\f", "\u0085", "\u00a0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"]
    return text if rng.random() < 0.7 else rng.choice(spaces) + text + "".join(rng.choices(spaces, k=rng.randrange(3)))


def plain_statement(rng, kind):
    n = rng.randrange(1, 14)
    if kind == "sql":
        text = " ".join(rng.choice(SQL) for _ in range(n))
        return rng.choice([text, text, f"-- say 'x' 5\n{text}", f"  {text}\n"])
    if kind == "redis":
        return rng.choice(["\n", "\r\n"]).join(" ".join(rng.choice(REDIS) for _ in range(rng.randrange(1, 9))) for _ in range(1 + n // 10))
    if kind == "memcached":
        return rng.choice(["set k 0 0 5\r\nvalue\r\n", "get k1 k2", " incr k 5\r\n", "gets a\nb"])
    return value(rng, 4)


def spans(rng, n):
    made = []
    for i in range(n):
        kind = rng.choice(list(SYSTEMS))
        text = statement(rng, kind)
        attributes = {rng.choice(["db.system", "db.system.name"]): rng.choice(SYSTEMS[kind]), "q": text, "r": text}
        made.append({"traceId": "%032x" % (i + 1), "spanId": "%016x" % (i + 1), "name": text, "kind": rng.randrange(1, 6),
                     "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()]})
    return made


def post(port, made):
    body = json.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": made}]}]}).encode()
    request = urllib.request.Request(f"http://localhost:{port}/v1/traces", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def seen(path):
    """Per span id: name and attributes."""
    found = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            for rs in json.loads(line)["resourceSpans"]:
                for ss in rs["scopeSpans"]:
                    for s in ss["spans"]:
                        found[s["spanId"]] = (s["name"], {a["key"]: a["value"].get("stringValue", "") for a in s["attributes"]})
    return found


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 10 * int(os.environ.get("INTEROP_SPANS", "2000"))
    if not peers.peer("otelcol"):
        print("skipped: otelcol is not in PEERS")
        return 0
    ports, folder = peers.free_ports(2), peers.temp_folder()
    made, running, wrong = spans(random.Random(seed), n), [], 0
    folders = [os.path.join(folder.name, name) for name in ("real", "ours")]
    try:
        for d in folders:
            os.mkdir(d)
        running.append(peers.start_otelcol(folders[0], CONFIG % (ports[0], folders[0], folders[0]), ports[0]))
        running.append(peers.start_tailrace(folders[1], CONFIG % (ports[1], folders[1], folders[1]), args=("--workers", "1"))[0])
        for at in range(0, n, 500):
            for port in ports:
                post(port, made[at:at + 500])
    finally:
        for p in reversed(running):
            p.stop()
    for what in ("attributes", "names"):
        real, ours = (seen(os.path.join(d, what + ".json")) for d in folders)
        for s in made:
            a, b = real.get(s["spanId"]), ours.get(s["spanId"])
            if a is None or a != b:
                wrong += 1
                if wrong <= 10:
                    print(f"{what} of {json.dumps(s)}\n  otelcol:  {json.dumps(a)}\n  tailrace: {json.dumps(b)}")
    folder.cleanup()
    print(f"{n} statements, as attributes and as names: {wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
