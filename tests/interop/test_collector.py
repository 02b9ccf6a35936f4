#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Collector as client (its exporters into tailrace) and as backend (tailrace's exporters into it), with every
compression both sides know; nothing lost, nothing changed."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402

SPANS = 40 * 6


def lines(path):
    if not os.path.exists(path):
        return {}
    spans = {}
    with open(path) as f:
        for line in f:
            if line.strip():
                spans.update(peers.canonical(json.loads(line)))
    return spans


def otelcol_client(grpc_in, exporters):
    return f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc_in}"}}}}}}}}
exporters: {exporters}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [out, file]}}}}
"""


class Collector(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        for name in ("otelcol", "telemetrygen"):
            if not peers.peer(name):
                self.skipTest(f"{name} is not in PEERS")
        self.folder = peers.temp_folder()
        self.addCleanup(self.folder.cleanup)

    def generate(self, port):
        out = subprocess.run([peers.peer("telemetrygen"), "traces", "--otlp-insecure", "--otlp-endpoint", f"127.0.0.1:{port}", "--traces", "40", "--rate", "0",
                              "--child-spans", "5", "--status-code", "Ok", "--telemetry-attributes", 'k="v"'],
                             capture_output=True, text=True, timeout=60)
        self.assertEqual(out.returncode, 0, out.stderr)

    def client(self, kind, compression):
        """telemetrygen -> otelcol (file + exporter) -> tailrace (file)."""
        folder = self.folder.name
        mine, theirs = f"{folder}/mine.json", f"{folder}/theirs.json"
        tailrace, at = peers.start_tailrace(folder, f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:0"}}, http: {{endpoint: "127.0.0.1:0"}}}}}}}}
exporters: {{file: {{path: "{mine}", flush_interval: 50ms}}}}
service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}}}
""")
        self.addCleanup(tailrace.stop)
        port = peers.free_ports(1)[0]
        endpoint = at["grpc"] if kind == "otlp_grpc" else "http://" + at["http"]
        yaml = otelcol_client(port, f'{{{kind}/out: {{endpoint: "{endpoint}", compression: {compression}, tls: {{insecure: true}}}}, '
                                    f'file: {{path: "{theirs}", flush_interval: 50ms}}}}').replace("[out, file]", f"[{kind}/out, file]")
        otelcol = peers.start_otelcol(folder, yaml, port)
        self.addCleanup(otelcol.stop)
        self.generate(port)
        peers.wait_for("all spans", lambda: len(lines(theirs)) == SPANS and len(lines(mine)) == SPANS)
        self.assertEqual(lines(mine), lines(theirs))

    def backend(self, kind, compression):
        """telemetrygen -> tailrace (file + exporter) -> otelcol (file)."""
        folder = self.folder.name
        mine, theirs = f"{folder}/mine.json", f"{folder}/theirs.json"
        grpc, http = peers.free_ports(2)
        otelcol = peers.start_otelcol(folder, f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
exporters: {{file: {{path: "{theirs}", flush_interval: 50ms}}}}
service: {{telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}}}
""", grpc)
        self.addCleanup(otelcol.stop)
        endpoint = f"127.0.0.1:{grpc}" if kind == "otlp_grpc" else f"http://127.0.0.1:{http}"
        tailrace, at = peers.start_tailrace(folder, f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:0"}}}}}}}}
exporters:
  {kind}: {{endpoint: "{endpoint}", compression: {compression}, tls: {{insecure: true}}}}
  file: {{path: "{mine}", flush_interval: 50ms}}
service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [{kind}, file]}}}}}}
""")
        self.addCleanup(tailrace.stop)
        self.generate(at["grpc"].rsplit(":", 1)[1])
        peers.wait_for("all spans", lambda: len(lines(theirs)) == SPANS and len(lines(mine)) == SPANS)
        self.assertEqual(lines(mine), lines(theirs))


def add(direction, kind, compression):
    def test(self):
        getattr(self, direction)(kind, compression)
    setattr(Collector, f"test_{direction}_{kind}_{compression.replace('-', '_')}", test)


for c in ("none", "gzip", "zstd", "snappy"):
    add("client", "otlp_grpc", c)
    add("backend", "otlp_grpc", c)
for c in ("none", "gzip", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed", "lz4"):
    add("client", "otlp_http", c)
for c in ("none", "gzip", "zstd"):
    add("backend", "otlp_http", c)

if __name__ == "__main__":
    unittest.main(verbosity=2)
