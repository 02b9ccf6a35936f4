#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Functions of OTTL beside the real Collector's: hundreds of expressions, each set as an attribute of the same span
by transform in both, results compared by type and value. The expressions are in functions.txt, one on a line;
those with a ! before them must be refused at start (the Collector is asked of each only where INTEROP_SPANS is 2000
or more, as by make interop-processors).

usage: PEERS=DIR TAILRACE=build/tailrace functions_diff.py [only these]"""
import json
import os
import re
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402

SPAN = {
    "traceId": "11111111111111110000000000000007", "spanId": "0000000000000003", "name": "GET /health", "kind": 2, "traceState": "a=1,b=2",
    "startTimeUnixNano": "1700000000000001000", "endTimeUnixNano": "1700000001500001000", "status": {"code": 2, "message": "bad"},
    "attributes": [{"key": k, "value": v} for k, v in (
        ("s", {"stringValue": "abc"}), ("i", {"intValue": "7"}), ("d", {"doubleValue": 1.5}), ("t", {"boolValue": True}), ("y", {"bytesValue": "AQI="}),
        ("m", {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}},
                                          {"key": "b", "value": {"kvlistValue": {"values": [{"key": "c", "value": {"stringValue": "x"}}]}}}]}}),
        ("l", {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}]}}), ("e", {}), ("n", {"stringValue": "200"}))]}


def configuration(folder, who, port, expressions):
    statements = "".join("          - '" + f'set(attributes["r{i}"], {e})'.replace("'", "''").replace("$", "$$") + "'\n" for i, e in expressions)
    return f"""receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}", include_metadata: true}}}}}}}}
processors:
  transform:
    error_mode: silent
    trace_statements:
      - context: span
        statements:
{statements}exporters: {{file: {{path: "{folder}/{who}.json"}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: info}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [transform], exporters: [file]}}}}
"""


def accepted(program, folder, expressions):
    """Those it starts with."""
    path = peers.write(folder, "check.yaml", configuration(folder, "check", 4318, expressions))
    if subprocess.run([*program, "validate", "--config", path], capture_output=True).returncode == 0:
        return expressions
    half = len(expressions) // 2
    return accepted(program, folder, expressions[:half]) + accepted(program, folder, expressions[half:]) if half else []


def results(start, folder, who, expressions):
    """{number: attribute}; those that failed are not there."""
    port = peers.free_ports(1)[0]
    program = start(folder, configuration(folder, who, port, expressions), port)
    try:
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).read()
    finally:
        program.stop()
    with open(f"{folder}/{who}.json", errors="replace") as f:
        attributes = json.loads(f.readline())["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
    return {int(a["key"][1:]): in_order(a.get("value", {})) for a in attributes if re.fullmatch(r"r\d+", a["key"])}


def in_order(v):
    """Maps by key: theirs come in a random order."""
    if isinstance(v, list):
        return [in_order(x) for x in v]
    if not isinstance(v, dict):
        return v
    if "kvlistValue" in v:
        return {"kvlistValue": sorted(([kv.get("key", ""), in_order(kv.get("value", {}))] for kv in v["kvlistValue"].get("values", [])), key=lambda kv: kv[0])}
    return {k: in_order(x) if k != "arrayValue" else {"values": in_order(x.get("values", []))} for k, x in v.items()}


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    if not peers.peer("otelcol"):
        print("skipped: otelcol is not in PEERS")
        return 0
    with open(os.path.join(os.path.dirname(__file__), "functions.txt")) as f:
        lines = [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#") and only in line]
    refused = [(i, line[2:]) for i, line in enumerate(lines) if line[0] == "!"]
    fine = [(i, line) for i, line in enumerate(lines) if line[0] != "!"]
    programs = {"tailrace": [os.path.abspath(peers.TAILRACE)]}
    if int(os.environ.get("INTEROP_SPANS", "2000")) >= 2000:
        programs["otelcol"] = [peers.peer("otelcol")]
    wrong = 0
    with peers.temp_folder() as folder:
        for name, program in programs.items():
            for one in refused:
                if accepted(program, folder, [one]):
                    wrong += 1
                    print(f"{one[1]}: {name} does not refuse it")
        theirs = set(accepted([peers.peer("otelcol")], folder, fine))
        ours = set(accepted([os.path.abspath(peers.TAILRACE)], folder, fine))
        for one in sorted(set(fine) - (theirs & ours)):
            wrong += 1
            print(f"{one[1]}: refused by {'both' if one not in theirs | ours else 'tailrace' if one in theirs else 'otelcol'}")
        both = sorted(theirs & ours)
        a = results(lambda d, text, port: peers.start_otelcol(d, text, port), folder, "real", both)
        b = results(lambda d, text, port: peers.start_tailrace(d, text, args=("--workers", "1"))[0], folder, "ours", both)
    for i, e in both:
        if a.get(i, "an error") != b.get(i, "an error"):
            wrong += 1
            print(f"{e}\n  otelcol:  {json.dumps(a.get(i, 'an error'))[:600]}\n  tailrace: {json.dumps(b.get(i, 'an error'))[:600]}")
    print(f"{len(lines)} expressions, {len(refused)} of them refused at start: {wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
