#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real backends that go away under load: stopped and started again, frozen (SIGSTOP) and let go.

tailrace sends on what it acknowledged. In the end the backend's set of span ids is the acknowledged set, neither
more nor less; spans that came twice (an answer was lost on the way) are printed.
Tempo keeps what it has over a restart; Jaeger's memory store does not, so it is only frozen. The Collector
passes on to a sink and answers when the sink has, so that it has nothing of its own to lose.
"""
import collections
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402

TENANT = "team-a"
LOAD_S = 10
SPANS = 10
CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
processors: {{batch: {{timeout: 50ms}}}}
exporters:
  {exporter}
service:
  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {metrics}}}}}}}}}]}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [batch], exporters: [{id}]}}}}
"""
PATIENT = "timeout: 2s, retry_on_failure: {initial_interval: 200ms, max_interval: 1s, max_elapsed_time: 0s}"


def restart(p):
    """The same program on the same ports."""
    return peers.Program(p.name, p.proc.args, os.path.dirname(p.log_path))


class Load(threading.Thread):
    """Requests of one trace each over one connection at a time; what was acknowledged, as {trace id: span ids}."""

    def __init__(self, at):
        super().__init__(daemon=True)
        self.at, self.acknowledged, self.unknown, self.refused, self.stopping = at, {}, {}, 0, False

    def run(self):
        while not self.stopping:
            trace, spans = os.urandom(16).hex(), [os.urandom(8).hex() for _ in range(SPANS)]
            now = time.time_ns()
            doc = {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "faults"}}]},
                                      "scopeSpans": [{"spans": [
                                          {"traceId": trace, "spanId": s, "name": "op", "kind": 1, "startTimeUnixNano": str(now),
                                           "endTimeUnixNano": str(now + 1000000)} for s in spans]}]}]}
            request = urllib.request.Request(f"http://{self.at}/v1/traces", json.dumps(doc).encode(),
                                             {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=30):
                    self.acknowledged[trace] = set(spans)
            except urllib.error.HTTPError as e:
                self.refused += 1
                if e.code not in (429, 503):
                    raise
            time.sleep(0.02)


class Sink(http.server.ThreadingHTTPServer):
    """Takes OTLP/JSON and counts how often each span came."""
    daemon_threads = True

    def __init__(self):
        self.seen, self.lock = collections.Counter(), threading.Lock()
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # who sent it has gone
                keys = list(peers.canonical(json.loads(body)))
                with sink.lock:
                    sink.seen.update(keys)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args):
                pass
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Faults(unittest.TestCase):
    def setUp(self):
        self.folder = peers.temp_folder()
        self.addCleanup(self.folder.cleanup)

    def need(self, name):
        if not peers.peer(name):
            self.skipTest(f"{name} is not in PEERS")

    def program(self, p):
        self.addCleanup(p.stop)
        return p

    def under_load(self, exporter, faults):
        """Runs the faults while two clients send. All that was acknowledged, once tailrace holds nothing any more."""
        metrics = peers.free_ports(1)[0]
        tailrace, at = peers.start_tailrace(
            self.folder.name, CONFIG.format(exporter=exporter, id=exporter.split(":")[0], metrics=metrics), args=["--workers", "2"])
        self.program(tailrace)
        loads = [Load(at["http"]) for _ in range(2)]
        for load in loads:
            load.start()
        began = time.monotonic()
        faults()
        time.sleep(max(0, LOAD_S - (time.monotonic() - began)))  # load goes on for a while behind the last fault
        for load in loads:
            load.stopping = True
        for load in loads:
            load.join(60)

        def page():
            return peers.get(f"http://127.0.0.1:{metrics}/metrics").decode()
        peers.wait_for("an empty queue", lambda: peers.metric(page(), "tailrace_pipeline_held_spans") == 0, 90)
        text = page()
        self.assertGreater(peers.metric(text, "otelcol_exporter_sent_spans"), 0)
        dropped = peers.metric(text, "tailrace_pipeline_dropped_spans") - peers.metric(text, "tailrace_pipeline_dropped_spans", reason="returned")
        self.assertEqual(dropped, 0)
        acknowledged = {}
        for load in loads:
            acknowledged.update(load.acknowledged)
        self.assertGreater(len(acknowledged), 50)
        return acknowledged

    def freeze(self, p, seconds):
        p.proc.send_signal(signal.SIGSTOP)
        time.sleep(seconds)  # how long it stands still
        p.proc.send_signal(signal.SIGCONT)

    def test_collector_stopped_restarted_frozen(self):
        self.need("otelcol")
        sink = Sink()
        self.addCleanup(sink.server_close)
        self.addCleanup(sink.shutdown)
        grpc = peers.free_ports(1)[0]
        yaml = f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}}}}}}}
exporters: {{otlp_http: {{endpoint: "http://127.0.0.1:{sink.server_address[1]}", encoding: json, compression: none, sending_queue: {{enabled: false}}}}}}
service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}}}}}
"""
        running = [peers.start_otelcol(self.folder.name, yaml, grpc)]
        self.addCleanup(lambda: running[0].stop())

        def faults():
            time.sleep(1)
            self.freeze(running[0], 3)
            time.sleep(1)
            running[0].stop()
            time.sleep(1)
            running[0] = restart(running[0])
            peers.wait_for("otelcol again", lambda: socket.create_connection(("127.0.0.1", grpc), 1).close() is None, 30)
        acknowledged = self.under_load(f'otlp_grpc: {{endpoint: "127.0.0.1:{grpc}", tls: {{insecure: true}}, {PATIENT}}}', faults)
        want = {(t, s) for t, spans in acknowledged.items() for s in spans}
        with sink.lock:
            twice = sum(n - 1 for n in sink.seen.values())
            got = set(sink.seen)
        print(f"collector: {len(want)} spans acknowledged, {len(got & want)} arrived, {twice} of them again")
        self.assertEqual(got, want)

    def compare(self, name, acknowledged, read):
        """Every acknowledged trace has all its spans, and no others, in the backend."""
        late, twice = dict(acknowledged), 0

        def all_there():
            for trace in list(late):
                if read(trace) == late[trace]:
                    del late[trace]
            return not late
        peers.wait_for(f"{len(late)} traces in {name}", all_there, 90)
        print(f"{name}: {sum(map(len, acknowledged.values()))} spans acknowledged, all arrived")

    def test_jaeger_frozen(self):
        self.need("jaeger")
        jaeger, grpc, _, url = peers.start_jaeger(self.folder.name)
        self.program(jaeger)

        def faults():
            for _ in range(2):
                time.sleep(1)
                self.freeze(jaeger, 3)

        def read(trace):
            try:
                doc = json.loads(peers.get(f"{url}/api/v3/traces/{trace}?raw_traces=true"))
            except OSError:
                return set()
            return {s for _, s in peers.canonical(doc["result"])}
        acknowledged = self.under_load(f'otlp_grpc: {{endpoint: "127.0.0.1:{grpc}", tls: {{insecure: true}}, {PATIENT}}}', faults)
        self.compare("jaeger", acknowledged, read)

    def test_tempo_frozen_stopped_restarted(self):
        self.need("tempo")
        tempo, _, port, url = peers.start_tempo(self.folder.name)
        running = [tempo]
        self.addCleanup(lambda: running[0].stop())

        def faults():
            time.sleep(1)
            self.freeze(running[0], 3)
            time.sleep(1)
            running[0].stop()
            running[0] = restart(running[0])
            peers.wait_for("tempo again", lambda: b"ready" in peers.get(f"{url}/ready"), 90)

        def read(trace):
            try:
                doc = json.loads(peers.get(f"{url}/api/v2/traces/{trace}", {"X-Scope-OrgID": TENANT}))
            except OSError:
                return set()
            return {s for _, s in peers.canonical(doc.get("trace", {}), "base64")}
        acknowledged = self.under_load(f'otlp_http: {{endpoint: "http://127.0.0.1:{port}", headers: {{X-Scope-OrgID: {TENANT}}}, {PATIENT}}}', faults)
        self.compare("tempo", acknowledged, read)


if __name__ == "__main__":
    unittest.main()
