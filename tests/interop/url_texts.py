# SPDX-License-Identifier: Apache-2.0
"""Many texts at once through url_sanitizer of a real program: each text is an attribute of its own span, sent by OTLP/HTTP
and caught again behind the processor. For url_measure.py and url_diff.py."""
import http.server
import json
import threading
import urllib.request

import peers

REQUEST_BYTES = 8_000_000
REQUEST_TEXTS = 20_000


class Catcher(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        doc = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for rs in doc.get("resourceSpans", []):
            for ss in rs["scopeSpans"]:
                for s in ss["spans"]:
                    self.server.caught[int(s["spanId"], 16)] = (s["attributes"][0]["value"].get("stringValue", ""), s.get("name", ""))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


class Texts:
    """who: otelcol or tailrace. kind: of the spans."""

    def __init__(self, who, kind=3):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Catcher)
        self.server.caught = {}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port, self.kind = peers.free_ports(1)[0], kind
        self.folder = peers.temp_folder()
        yaml = f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{self.port}", max_request_body_size: 100000000}}}}}}}}
processors: {{redaction: {{allow_all_keys: true, url_sanitizer: {{enabled: true, attributes: [u]}}}}}}
exporters:
  otlp_http: {{endpoint: "http://127.0.0.1:{self.server.server_port}", encoding: json, compression: none, sending_queue: {{enabled: false}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: info}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [redaction], exporters: [otlp_http]}}}}
"""
        if who == "otelcol":
            self.program = peers.start_otelcol(self.folder.name, yaml, self.port)
        else:
            self.program = peers.start_tailrace(self.folder.name, yaml, args=("--workers", "1"))[0]

    def stop(self):
        self.program.stop()
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def _send(self, items):
        spans = [{"traceId": "ab" * 16, "spanId": f"{i + 1:016x}", "name": t if len(t) < 1000 else "n", "kind": self.kind,
                  "attributes": [{"key": "u", "value": {"stringValue": t}}]} for i, t in items]
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/traces", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()

    def both(self, texts):
        """What became of each as an attribute, and as the span's name."""
        self.server.caught.clear()
        batch, size = [], 0
        for item in enumerate(texts):
            batch.append(item)
            size += 2 * len(item[1]) + 150
            if size > REQUEST_BYTES or len(batch) >= REQUEST_TEXTS:
                self._send(batch)
                batch, size = [], 0
        if batch:
            self._send(batch)
        return [self.server.caught[i + 1] for i in range(len(texts))]

    def kept(self, texts):
        """Which of them stayed as they were."""
        return [a == t for (a, _), t in zip(self.both(texts), texts)]
