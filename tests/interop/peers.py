# SPDX-License-Identifier: Apache-2.0
"""Starts real programs for interop tests: tailrace, otelcol, jaeger, tempo, and stops them again."""
import base64
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

PEERS = os.environ.get("PEERS", "")
TAILRACE = os.environ.get("TAILRACE", "build/tailrace")


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def peer(name):
    path = os.path.join(PEERS, name)
    return path if PEERS and os.access(path, os.X_OK) else None


def get(url, headers=None, timeout=10):
    request = urllib.request.Request(url, headers=headers or {})
    with urllib.request.urlopen(request, timeout=timeout) as r:
        return r.read()


def wait_for(what, condition, timeout_s=60.0):
    """Returns condition()'s first true value; fails with `what` when it never comes."""
    end = time.monotonic() + timeout_s
    last = None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except (OSError, urllib.error.URLError, ValueError, KeyError) as e:
            last = e
        time.sleep(0.1)
    raise AssertionError(f"no {what} within {timeout_s} s" + (f" ({last})" if last else ""))


class Program:
    """A program with its log file; stops with SIGTERM."""

    def __init__(self, name, argv, folder, env=None):
        self.name = name
        self.log_path = os.path.join(folder, f"{name}.log")
        self.log = open(self.log_path, "w")
        self.proc = subprocess.Popen(argv, stdout=self.log, stderr=subprocess.STDOUT, cwd=folder, env=env)

    def log_text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def alive(self):
        if self.proc.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.proc.returncode}:\n{self.log_text()[-4000:]}")
        return True

    def stop(self, timeout_s=60):
        """Must end by itself; only the backends may take as long as they like: nobody waits for what they have."""
        backend = self.name in ("tempo", "jaeger")
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(5 if backend else timeout_s)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
                if not backend:
                    raise AssertionError(f"{self.name} did not stop on SIGTERM:\n{self.log_text()[-3000:]}")
        self.log.close()
        return self.proc.returncode


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def start_tailrace(folder, yaml, name="tailrace", args=()):
    """Starts tailrace and waits until it is ready. Returns (program, {"grpc": addr, "http": addr})."""
    path = write(folder, f"{name}.yaml", yaml)
    p = Program(name, [os.path.abspath(TAILRACE), "--config", path, *args], folder)
    wait_for("ready " + name, lambda: p.alive() and "Everything is ready" in p.log_text(), 20)
    return p, endpoints(p.log_text())


def endpoints(log):
    found = {}
    for kind, key in (("GRPC", "grpc"), ("HTTP", "http")):
        m = re.search(rf'Starting {kind} server.*?"endpoint":\s*"([^"]+)"', log)
        if m:
            found[key] = m.group(1)
    return found


def start_otelcol(folder, yaml, port, name="otelcol", args=()):
    path = write(folder, f"{name}.yaml", yaml)
    p = Program(name, [peer("otelcol"), "--config", path, *args], folder)
    wait_for(name, lambda: p.alive() and socket.create_connection(("127.0.0.1", port), 1).close() is None, 120)
    return p


def start_jaeger(folder):
    """Returns (program, otlp grpc port, otlp http port, query base URL)."""
    grpc, http, query, query_grpc, health = free_ports(5)
    path = write(folder, "jaeger.yaml", f"""
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines: {{traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}}}
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
extensions:
  healthcheckv2: {{use_v2: true, http: {{endpoint: "127.0.0.1:{health}"}}}}
  jaeger_storage: {{backends: {{mem: {{memory: {{max_traces: 100000}}}}}}}}
  jaeger_query: {{storage: {{traces: mem}}, enable_tracing: false, http: {{endpoint: "127.0.0.1:{query}"}}, grpc: {{endpoint: "127.0.0.1:{query_grpc}"}}}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: mem}}
""")
    p = Program("jaeger", [peer("jaeger"), "--config", path], folder)
    wait_for("jaeger", lambda: p.alive() and get(f"http://127.0.0.1:{health}/status"), 60)
    return p, grpc, http, f"http://127.0.0.1:{query}"


def start_tempo(folder):
    """Multi-tenant, so that X-Scope-OrgID matters. Returns (program, grpc port, http port, base URL)."""
    grpc, http, port, internal = free_ports(4)
    data = os.path.join(folder, "tempo")
    path = write(folder, "tempo.yaml", f"""
server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_address: 127.0.0.1, grpc_listen_port: {internal}, log_level: warn}}
multitenancy_enabled: true
usage_report: {{reporting_enabled: false}}
distributor:
  receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
storage:
  trace: {{backend: local, blocklist_poll: 2s, wal: {{path: {data}/wal}}, local: {{path: {data}/blocks}}}}
live_store:
  wal: {{path: {data}/live}}
  shutdown_marker_dir: {data}/marker
  max_trace_idle: 1s
  max_trace_live: 2s
  flush_check_period: 1s
  max_block_duration: 1s
backend_scheduler: {{local_work_path: {data}/work}}
query_frontend: {{query_end_cutoff: 1s}}
""")
    p = Program("tempo", [peer("tempo"), f"-config.file={path}"], folder)
    wait_for("tempo", lambda: p.alive() and b"ready" in get(f"http://127.0.0.1:{port}/ready"), 90)
    return p, grpc, http, f"http://127.0.0.1:{port}"


# ---- spans in one canonical form, whoever wrote them ----

KINDS = {"SPAN_KIND_UNSPECIFIED": 0, "SPAN_KIND_INTERNAL": 1, "SPAN_KIND_SERVER": 2, "SPAN_KIND_CLIENT": 3,
         "SPAN_KIND_PRODUCER": 4, "SPAN_KIND_CONSUMER": 5}
CODES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


def hex_id(text, ids):
    if not text:
        return ""
    return base64.b64decode(text).hex() if ids == "base64" else text.lower()


def any_value(v):
    if not v:
        return None
    key, value = next(iter(v.items()))
    if key == "intValue":
        return ("int", int(value))
    if key == "doubleValue":
        return ("double", float(value))
    if key == "arrayValue":
        return ("array", [any_value(x) for x in value.get("values", [])])
    if key == "kvlistValue":
        return ("map", attributes(value.get("values", [])))
    return (key[:-5], value)


def attributes(items):
    return {a["key"]: any_value(a.get("value", {})) for a in items or []}


def canonical(doc, ids="hex"):
    """OTLP/JSON -> {(trace id, span id): everything a user can see of the span}."""
    spans = {}
    for rs in doc.get("resourceSpans", doc.get("batches", [])):
        for ss in rs.get("scopeSpans", []):
            scope = ss.get("scope", {})
            for s in ss.get("spans", []):
                status = s.get("status", {})
                key = (hex_id(s["traceId"], ids), hex_id(s["spanId"], ids))
                spans[key] = {
                    "parent": hex_id(s.get("parentSpanId", ""), ids), "name": s.get("name", ""),
                    "kind": KINDS.get(s.get("kind", 0), s.get("kind", 0)),
                    "start": int(s.get("startTimeUnixNano", 0)), "end": int(s.get("endTimeUnixNano", 0)),
                    "state": s.get("traceState", ""), "attributes": attributes(s.get("attributes")),
                    "status": (CODES.get(status.get("code", 0), status.get("code", 0)), status.get("message", "")),
                    "events": [(int(e.get("timeUnixNano", 0)), e.get("name", ""), attributes(e.get("attributes"))) for e in s.get("events", [])],
                    "links": [(hex_id(k["traceId"], ids), hex_id(k["spanId"], ids), k.get("traceState", ""), attributes(k.get("attributes")))
                              for k in s.get("links", [])],
                    "scope": (scope.get("name", ""), scope.get("version", ""), attributes(scope.get("attributes"))),
                    "resource": attributes(rs.get("resource", {}).get("attributes")),
                }
    return spans


def metric(page, name, **labels):
    """Sum of the series of a family whose labels include the given ones."""
    total = 0.0
    for line in page.splitlines():
        m = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
        if m and m.group(1) == name:
            have = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m.group(2) or ""))
            if all(have.get(k) == v for k, v in labels.items()):
                total += float(m.group(3))
    return total


def temp_folder():
    return tempfile.TemporaryDirectory(prefix="tailrace-interop-")
