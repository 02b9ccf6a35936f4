#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tailrace and its peers through the same loads and prints medians.

usage: run.py BUILD_DIR [ROW_PATTERN]      environment: PEERS=DIR (otelcol, df_engine, rotel), RUNS=3

The collector under test is pinned to one CPU, load and sink to the other. The figure is the CPU time of
the collector's process over the spans it acknowledged. Runs alternate between the programs, so that
a change in the machine's speed meets all of them. Every run checks that no span was lost.
"""
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build"
PATTERN = sys.argv[2] if len(sys.argv) > 2 else ""
PEERS = os.environ.get("PEERS", "")
RUNS = int(os.environ.get("RUNS", "3"))
LOAD = f"{BUILD}/obj/bench/load"
CPUS = sorted(os.sched_getaffinity(0))
SUT_CPU, LOAD_CPU = CPUS[0], CPUS[-1]

TAIL = """  tail_sampling:
    decision_wait: 2s
    num_traces: 2000000
    expected_new_traces_per_sec: 20000
    policies:
      - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
      - {name: slow, type: latency, latency: {threshold_ms: 5000}}
      - {name: tenth, type: probabilistic, probabilistic: {sampling_percentage: 10}}
"""
# What a production gateway has: drops, attributes of spans and resources, limits, a composite.
TWELVE = """  tail_sampling:
    decision_wait: 2s
    num_traces: 2000000
    expected_new_traces_per_sec: 20000
    policies:
      - {name: health, type: drop, drop: {drop_sub_policy: [{name: paths, type: string_attribute, string_attribute: {key: url.path, values: ["^/(healthz|readyz)$"], enabled_regex_matching: true}}]}}
      - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
      - {name: slow, type: latency, latency: {threshold_ms: 5000}}
      - {name: server_errors, type: numeric_attribute, numeric_attribute: {key: http.response.status_code, min_value: 500, max_value: 599}}
      - {name: customers, type: string_attribute, string_attribute: {key: enduser.id, values: [u-0001, u-0002, u-00ff]}}
      - {name: forced, type: boolean_attribute, boolean_attribute: {key: sampling.force, value: true}}
      - {name: large, type: span_count, span_count: {min_spans: 1000}}
      - {name: canary, type: trace_state, trace_state: {key: canary, values: ["1"]}}
      - {name: slow_checkout, type: and, and: {and_sub_policy: [
          {name: route, type: string_attribute, string_attribute: {key: http.route, values: [/checkout]}},
          {name: slow, type: latency, latency: {threshold_ms: 1000}}]}}
      - {name: not_production, type: not, not: {not_sub_policy: {name: production, type: string_attribute, string_attribute: {key: deployment.environment.name, values: [production]}}}}
      - {name: shares, type: composite, composite: {max_total_spans_per_second: 1000,
          composite_sub_policy: [{name: databases, type: string_attribute, string_attribute: {key: db.system.name, values: [postgresql]}}, {name: rest, type: always_sample}],
          rate_allocation: [{policy: databases, percent: 50}, {policy: rest, percent: 25}]}}
      - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 5}}
"""
OTTL = """  tail_sampling:
    decision_wait: 2s
    num_traces: 2000000
    expected_new_traces_per_sec: 20000
    policies:
      - name: conditions
        type: ottl_condition
        ottl_condition:
          error_mode: ignore
          span:
            - attributes["http.response.status_code"] >= 500 and attributes["http.route"] == "/checkout"
            - IsMatch(attributes["enduser.id"], "^u-00[0-9a-f]0$")
            - end_time_unix_nano - start_time_unix_nano > 5000000000
"""
ATTRIBUTES = """  attributes:
    actions:
      - {key: enduser.id, action: hash}
      - {key: thread.id, action: delete}
      - {key: env, value: bench, action: upsert}
"""
CHAIN = TAIL + ATTRIBUTES + """  memory_limiter: {check_interval: 1s, limit_mib: 6000}
  redaction:
    allow_all_keys: true
    blocked_key_patterns: ["(?i)password", "(?i)token"]
    blocked_values: ["4[0-9]{12}(?:[0-9]{3})?", "[a-z]+@[a-z]+[.]com"]
"""
# The patterns people use for cards, numbers, tokens and keys; the load holds nothing that they find.
PATTERNS = [
    r'\b4\d{3}(?:[ -]?\d{4}){2}[ -]?\d(?:\d{3})?\b',
    r'\b\d{3}-\d{2}-\d{4}\b',
    r'\b(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)(?:[ -]?\d{4}){3}\b',
    r'\b3[47]\d{2}[ -]?\d{6}[ -]?\d{5}\b',
    r'\b6(?:011|4[4-9]\d|5\d{2})(?:[ -]?\d{4}){3}\b',
    r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
    r'\+[1-9]\d{6,14}\b',
    r'\beyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*',
    r'(?i)\b(?:bearer|basic|digest|negotiate)[ \t]+[A-Za-z0-9._~+/=-]{8,}',
    r'\b(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}\b',
    r'\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b',
    r'\bxox[abeoprs]-[A-Za-z0-9-]{10,}',
    r'\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}\b',
    r'\bAIza[A-Za-z0-9_-]{35}',
    r'-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----',
    r'(?i)\b[a-z][a-z0-9+.-]{1,15}://[^/?#\s:@]*:[^/?#\s@]+@',
    r"""(?i)\b(?:password|passwd|pwd|secret|api[_-]?key)["']?[ \t]*[=:][ \t]*["']?[^\s"'&;,]+""",
    r'\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b',
    r'\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b',
    r'(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b',
]


def redaction(patterns):
    listed = "".join(f"      - '{p}'\n" for p in (q.replace("'", "''").replace("$", "$$") for q in patterns))
    return f"""  redaction:
    allow_all_keys: true
    blocked_key_patterns: ["(?i)password", "(?i)token"]
    blocked_values:
{listed}"""


FILTER = """  filter:
    traces: {span: ['attributes["http.route"] == "/healthz"']}
"""

TRANSFORM = """  transform:
    trace_statements:
      - context: span
        statements:
          - 'set(attributes["env"], "bench") where attributes["http.response.status_code"] == 404'
          - 'delete_key(attributes, "thread.id")'
          - 'replace_pattern(attributes["url.path"], "things", "stuff")'
"""
TRANSFORM_NONE = """  transform:
    trace_statements:
      - context: span
        statements:
          - 'set(attributes["env"], "bench") where attributes["http.response.status_code"] == 500'
          - 'delete_key(attributes, "password")'
          - 'replace_pattern(attributes["url.path"], "token=[^&]*", "token=****")'
"""


def processor_rows():
    def row(name, processors, names):
        return (name, processors, names + ["batch"], "none", ["--requests", "3000"], ["tailrace", "otelcol"], True)

    return [
        row("redaction, 2 + 2 patterns, and attributes", redaction(PATTERNS[:2]) + ATTRIBUTES, ["redaction", "attributes"]),
        row("transform (3 statements), redaction, attributes", redaction(PATTERNS[:2]) + TRANSFORM + ATTRIBUTES, ["transform", "redaction", "attributes"]),
        row("redaction, 2 value patterns", redaction(PATTERNS[:2]), ["redaction"]),
        row("redaction, 20 value patterns", redaction(PATTERNS), ["redaction"]),
        row("attributes", ATTRIBUTES, ["attributes"]),
        row("filter, 1 condition", FILTER, ["filter"]),
        row("3 transform statements, each span is changed", TRANSFORM, ["transform"]),
        row("3 transform statements, none applies", TRANSFORM_NONE, ["transform"]),
    ]


# Rows whose program under test speaks something else than plain gRPC: a tailrace before it and one behind it, on the
# load's CPU, translate. Only the program under test is measured.
TRANSPORTS = {"TLS in, TLS out": "tls", "TLS in, TLS out, gzip": "tls", "HTTP/protobuf in and out": "http"}


def transport_rows():
    load = ["--requests", "3000", "--inflight", "32"]
    return [(name, "", ["batch"], "gzip" if "gzip" in name else "none", load, ["tailrace", "otelcol"], True) for name in TRANSPORTS]


def certificate(folder):
    """One key and one certificate for everybody."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout",
                    f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)


def receiver_of(kind, port, folder):
    if kind == "http":
        return f'http: {{endpoint: "127.0.0.1:{port}"}}'
    tls = f", tls: {{cert_file: {folder}/cert.pem, key_file: {folder}/key.pem}}" if kind == "tls" else ""
    return f'grpc: {{endpoint: "127.0.0.1:{port}", max_recv_msg_size_mib: 16{tls}}}'


def exporter_of(kind, port, compression, folder):
    if kind == "http":
        return f'otlphttp: {{endpoint: "http://127.0.0.1:{port}", compression: {compression}, timeout: 60s'
    tls = f"ca_file: {folder}/cert.pem" if kind == "tls" else "insecure: true"
    return f'otlp: {{endpoint: "127.0.0.1:{port}", compression: {compression}, timeout: 60s, tls: {{{tls}}}'


def hop(kind_in, kind_out, ports, names, compression, folder, queue=""):
    """One program's configuration, with receiver and exporter of the given kinds."""
    exporter = exporter_of(kind_out, ports[1], compression, folder)
    return f"""receivers:
  otlp: {{protocols: {{{receiver_of(kind_in, ports[0], folder)}}}}}
processors: {{batch: }}
exporters:
  {exporter}{queue}}}
service:
  telemetry: {{logs: {{level: warn}}, metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [{", ".join(names)}], exporters: [{exporter.split(":")[0]}]}}}}
"""


def translators(kind, ports, compression, folder):
    """Before the program under test (ports[0] to ports[2]) and behind it (ports[3] to ports[1])."""
    queue = ", sending_queue: {queue_size: 100000, num_consumers: 32}"
    for name, text in (("before", hop("grpc", kind, (ports[0], ports[2]), [], compression, folder, queue)),
                       ("behind", hop(kind, "grpc", (ports[3], ports[1]), [], "none", folder, queue))):
        with open(f"{folder}/{name}.yaml", "w") as f:
            f.write(text)
        yield subprocess.Popen(["taskset", "-c", str(LOAD_CPU), os.path.abspath(program("tailrace")), "--config", f"{folder}/{name}.yaml",
                                "--workers", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)


def config(ports, processors, names, compression="none"):
    return f"""receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{ports[0]}", max_recv_msg_size_mib: 16}}}}}}
processors:
  batch:
{processors}exporters:
  otlp: {{endpoint: "127.0.0.1:{ports[1]}", compression: {compression}, tls: {{insecure: true}}}}
service:
  telemetry: {{logs: {{level: warn}}, metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [{", ".join(names)}], exporters: [otlp]}}}}
"""


def rotel(ports, compression):
    return ["rotel", "start", "--otlp-grpc-endpoint", f"127.0.0.1:{ports[0]}", "--otlp-http-endpoint", f"127.0.0.1:{ports[2]}",
            "--otlp-exporter-endpoint", f"http://127.0.0.1:{ports[1]}", "--otlp-exporter-protocol", "grpc",
            "--otlp-exporter-compression", compression]


def df_engine(ports, compression):
    extra = "" if compression == "none" else f"\n              compression: {compression}"
    return f"""version: otel_dataflow/v1
policies:
  telemetry: {{pipeline_metrics: false, tokio_metrics: false, runtime_metrics: none}}
  resources: {{core_allocation: {{type: core_set, set: [{{start: {SUT_CPU}, end: {SUT_CPU}}}]}}}}
engine:
  http_admin: {{bind_address: "127.0.0.1:{ports[2]}"}}
  telemetry: {{logs: {{level: warn}}}}
groups:
  default:
    pipelines:
      main:
        nodes:
          receiver:
            type: receiver:otlp
            config: {{protocols: {{grpc: {{listening_addr: "127.0.0.1:{ports[0]}"}}}}}}
          batch:
            type: processor:batch
            config: {{otlp: {{min_size: 1048576, sizer: bytes}}, max_batch_duration: 200ms, format: preserve}}
          exporter:
            type: exporter:otlp_grpc
            config:
              grpc_endpoint: "http://127.0.0.1:{ports[1]}"{extra}
        connections:
          - {{from: receiver, to: batch}}
          - {{from: batch, to: exporter}}
"""


# name, processors yaml, chain, compression, load arguments, programs, keeps everything
# Program "storage" is tailrace with storage under tail_sampling. In rows of tail sampling every program gets the load
# once before it counts: memory and files that are used again cost less than fresh ones, and a gateway has them after
# seconds. The row that ends in "cold" shows what the first burst costs.
PERSISTENT = "persistent queue"
ROWS = [
    ("pass-through", "", ["batch"], "none", ["--requests", "3000"], ["tailrace", "otelcol", "df_engine", "rotel"], True),
    ("gzip in, gzip out", "", ["batch"], "gzip", ["--requests", "2000"], ["tailrace", "otelcol", "df_engine", "rotel"], True),
    ("zstd in, zstd out", "", ["batch"], "zstd", ["--requests", "2000"], ["tailrace", "otelcol", "df_engine", "rotel"], True),
    (PERSISTENT, "", [], "none", ["--requests", "2000"], ["tailrace", "otelcol"], True),
    ("10-span requests", "", ["batch"], "none", ["--requests", "60000", "--spans", "10", "--trace-spans", "5", "--inflight", "32"],
     ["tailrace", "otelcol", "df_engine"], True),
    ("tail sampling", TAIL, ["tail_sampling", "batch"], "none",
     ["--requests", "3000", "--fresh-ids", "--idle-ms", "4000"], ["tailrace", "otelcol"], False),
    ("tail sampling, cold", TAIL, ["tail_sampling", "batch"], "none",
     ["--requests", "3000", "--fresh-ids", "--idle-ms", "4000"], ["tailrace", "otelcol"], False),
    ("tail sampling, storage on", TAIL, ["tail_sampling", "batch"], "none",
     ["--requests", "1500", "--fresh-ids", "--idle-ms", "4000"], ["tailrace", "storage", "otelcol"], False),
    ("tail sampling, 12 policies", TWELVE, ["tail_sampling", "batch"], "none",
     ["--requests", "3000", "--fresh-ids", "--idle-ms", "4000"], ["tailrace", "otelcol"], False),
    ("tail sampling, ottl_condition", OTTL, ["tail_sampling", "batch"], "none",
     ["--requests", "3000", "--fresh-ids", "--idle-ms", "4000"], ["tailrace", "otelcol"], False),
    ("limiter, redaction, attributes, tail sampling", CHAIN,
     ["memory_limiter", "redaction", "attributes", "tail_sampling", "batch"], "none",
     ["--requests", "3000", "--fresh-ids", "--idle-ms", "4000"], ["tailrace", "otelcol"], False),
]


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def program(name):
    path = f"{BUILD}/tailrace" if name in ("tailrace", "storage") else os.path.join(PEERS, name)
    return path if os.access(path, os.X_OK) else None


def command(name, ports, processors, names, compression, folder, row_name=""):
    path = os.path.abspath(program(name))
    if name == "rotel":
        return [path] + rotel(ports, compression)[1:] + ["--pid-file", f"{folder}/rotel.pid"]
    text = df_engine(ports, compression) if name == "df_engine" else config(ports, processors, names, compression)
    if name == "storage":
        text = text.replace("  tail_sampling:\n", "  tail_sampling:\n    storage: file_storage\n", 1)
        text = text.replace("service:\n", "service:\n  extensions: [file_storage]\n", 1)
        text = f"extensions: {{file_storage: {{directory: {folder}}}}}\n" + text
    if row_name == PERSISTENT:
        text = text.replace("tls: {insecure: true}}", "tls: {insecure: true}, sending_queue: {storage: file_storage, queue_size: 10000}}", 1)
        text = text.replace("service:\n", "service:\n  extensions: [file_storage]\n", 1)
        text = f"extensions: {{file_storage: {{directory: {folder}}}}}\n" + text
    if TRANSPORTS.get(row_name):
        kind = TRANSPORTS[row_name]
        text = hop(kind, kind, (ports[2], ports[3]), names, compression, folder)
    file = f"{folder}/{name}.yaml"
    with open(file, "w") as f:
        f.write(text)
    if name == "df_engine":
        return [path, "-c", file]
    return [path, "--config", file] + (["--workers", "1"] if name in ("tailrace", "storage") else [])


def wait_port(port, proc):
    end = time.time() + 20
    while time.time() < end:
        if proc.poll() is not None:
            raise RuntimeError(f"ended with {proc.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("does not listen")


def start(name, ports, row, folder):
    log = open(f"{folder}/{name}.log", "w")
    return subprocess.Popen(["taskset", "-c", str(SUT_CPU)] + command(name, ports, row[1], row[2], row[3], folder, row[0]),
                            stdout=log, stderr=log, cwd=folder)


def warmed(row):
    return "tail_sampling" in row[2] and not row[0].endswith("cold")


def measure(name, row):
    ports = free_ports(4)
    kind = TRANSPORTS.get(row[0])
    with tempfile.TemporaryDirectory() as folder:
        if kind:
            certificate(folder)
        helpers = list(translators(kind, ports, row[3], folder)) if kind else []
        command_line = ["taskset", "-c", str(LOAD_CPU), LOAD, "--target", f"127.0.0.1:{ports[0]}", "--sink", str(ports[1]),
                        "--encoding", row[3], "--stdin"] + row[4] + (["--wait-all"] if row[6] else [])
        load = subprocess.Popen(command_line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        load.stdout.readline()
        sut = start(name, ports, row, folder)
        try:
            wait_port(ports[2] if kind else ports[0], sut)
            for h, port in zip(helpers, (ports[0], ports[3])):
                wait_port(port, h)
            time.sleep(0.5)
            load.stdin.write(f"{sut.pid}\n")
            load.stdin.flush()
            out = load.stdout.readline()
            load.wait()
            if warmed(row):
                again = subprocess.run(command_line + ["--seed", "2"], input=f"{sut.pid}\n", stdout=subprocess.PIPE, text=True, check=True)
                out = again.stdout.splitlines()[-1]
        finally:
            for h in helpers:
                h.kill()
            sut.terminate()
            try:
                sut.wait(20)
            except subprocess.TimeoutExpired:
                sut.kill()
        return {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", out)}


def row_table(row):
    names = [n for n in row[5] if program(n)]
    got = {n: [] for n in names}
    for _ in range(RUNS):
        for n in names:
            try:
                r = measure(n, row)
            except Exception as e:  # a peer that does not run costs its column only
                print(f"   {n}: {e}", file=sys.stderr)
                continue
            if r.get("deadline") or r.get("spans_ok") != r.get("spans") or (row[6] and r["sink_spans"] != r["spans_ok"]):
                print(f"   {n}: not every span arrived: {r}", file=sys.stderr)
            got[n].append(r)
    base = statistics.median(r["us_per_span"] for r in got[names[0]]) if got[names[0]] else 1
    for n in names:
        if not got[n]:
            continue
        us = [r["us_per_span"] for r in got[n]]
        med = statistics.median(us)
        rss = statistics.median(r["rss_peak_kib"] for r in got[n]) / 1024
        kept = got[n][0]["sink_spans"] / got[n][0]["spans_ok"]
        print(f"{row[0]:48} {n:10} {med:8.3f} us/span  (min {min(us):.3f}, max {max(us):.3f})"
              f"  {med / base:6.1f} x  peak RSS {rss:7.1f} MiB  kept {kept * 100:5.1f} %", flush=True)


def rss_kib(pid, key="VmRSS:"):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(key + r"\s+(\d+)", f.read()).group(1))


def held_once(name, trace_spans):
    """Idle memory (KiB), and bytes of growth per wire byte while traces of so many spans are held undecided."""
    row = ("held", TAIL.replace("decision_wait: 2s", "decision_wait: 60s"), ["tail_sampling", "batch"], "none", [], [], False)
    ports = free_ports(3)
    with tempfile.TemporaryDirectory() as folder:
        sut = start(name, ports, row, folder)
        try:
            wait_port(ports[0], sut)
            time.sleep(1)
            before = rss_kib(sut.pid)
            out = subprocess.run(["taskset", "-c", str(LOAD_CPU), LOAD, "--target", f"127.0.0.1:{ports[0]}", "--pid", str(sut.pid),
                                  "--requests", "1200", "--trace-spans", str(trace_spans), "--fresh-ids", "--idle-ms", "500"],
                                 capture_output=True, text=True).stdout
            wire = float(re.search(r"raw_bytes=(\d+)", out).group(1))
            return before, (rss_kib(sut.pid) - before) * 1024 / wire
        finally:
            sut.kill()
            sut.wait()


def idle_and_held():
    for name in [n for n in ("tailrace", "otelcol") if program(n)]:
        got = {spans: [held_once(name, spans) for _ in range(RUNS)] for spans in (16, 1)}
        print(f"{'idle RSS':48} {name:10} {statistics.median(idle for g in got.values() for idle, _ in g) / 1024:8.1f} MiB", flush=True)
        for spans, g in got.items():
            label = f"held undecided, {spans} span{'s' if spans > 1 else ''} a trace"
            print(f"{label:48} {name:10} {statistics.median(ratio for _, ratio in g):8.2f} bytes of RSS per wire byte", flush=True)


def main():
    if not program("tailrace"):
        sys.exit("build first: make")
    if not PEERS:
        print("PEERS is not set: tailrace alone (PEERS=DIR with otelcol, df_engine, rotel compares)")
    print(f"medians of {RUNS} runs; collector on CPU {SUT_CPU}, load and sink on CPU {LOAD_CPU}")
    for row in ROWS + transport_rows() + processor_rows():
        if PATTERN in row[0]:
            row_table(row)
    if PATTERN in "idle held":
        idle_and_held()
    if PATTERN in "size":
        for n in ("tailrace", "otelcol", "df_engine", "rotel"):
            if program(n):
                print(f"{'binary size':48} {n:10} {os.path.getsize(program(n)) / 1048576:8.1f} MiB")
    micro = [f"{BUILD}/obj/bench/{m}" for m in sorted(os.listdir(f"{BUILD}/obj/bench")) if re.fullmatch(r"micro_\w+", m)]
    for m in micro:
        if PATTERN in os.path.basename(m):
            subprocess.run(["taskset", "-c", str(SUT_CPU), m], check=False)


main()
