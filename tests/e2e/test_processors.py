# SPDX-License-Identifier: Apache-2.0
"""memory_limiter, batch, redaction, attributes and resource in the daemon: what goes in as JSON comes out of the file
exporter edited, counted, and balanced in the ledger."""
import json
import os
import tempfile
import unittest
import urllib.error
import urllib.request

from otlp_client import GrpcClient
from otlp_client import request as grpc_request
from tailrace import Daemon, wait_for

CONFIG = """
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0', include_metadata: true}}}}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: %(limit)d}
  redaction:
    allow_all_keys: true
    blocked_values: ['4[0-9]{12}(?:[0-9]{3})?']
    blocked_key_patterns: ['(?i)password']
    summary: info
  attributes:
    include: {match_type: strict, services: [shop]}
    actions:
      - {key: env, action: insert, value: prod}
      - {key: user, action: hash}
      - {key: tenant, action: insert, from_context: metadata.x-tenant}
  resource: {attributes: [{key: region, action: upsert, value: eu}]}
  batch: {send_batch_size: %(size)d, send_batch_max_size: %(max)d, timeout: %(timeout)s}
exporters: {file: {path: '%(out)s', flush_interval: 10ms}, nop: }
service: {pipelines: {traces: {receivers: [otlp], processors: [memory_limiter, redaction, attributes, resource, batch], exporters: [%(exporter)s]}}}
"""


def config(folder, limit=100, size=8192, maximum=0, timeout="20ms", exporter="file"):
    return CONFIG % {"limit": limit, "size": size, "max": maximum, "timeout": timeout, "exporter": exporter,
                     "out": os.path.join(folder, "out.json")}


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


def span(number, attributes):
    return {"traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": "op", "attributes": attributes}


def request(service, spans):
    return {"resourceSpans": [{"resource": {"attributes": [text("service.name", service)]}, "scopeSpans": [{"spans": spans}]}]}


def post(port, document):
    r = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", json.dumps(document).encode(),
                               {"Content-Type": "application/json", "X-Tenant": "t1"})
    with urllib.request.urlopen(r, timeout=30) as answer:
        return answer.status


def batches(folder):
    """Per line of the file: {span id: (attributes, resource attributes)}."""
    found = []
    path = os.path.join(folder, "out.json")
    if not os.path.exists(path):
        return found
    with open(path, encoding="utf-8") as f:
        for line in f:
            if not line.endswith("\n"):
                break
            spans = {}
            for rs in json.loads(line)["resourceSpans"]:
                resource = {a["key"]: a["value"] for a in rs["resource"]["attributes"]}
                for ss in rs["scopeSpans"]:
                    for s in ss["spans"]:
                        spans[int(s["spanId"], 16)] = ({a["key"]: next(iter(a["value"].values())) for a in s.get("attributes", [])}, resource)
            found.append(spans)
    return found


class Processors(unittest.TestCase):
    def start(self, **kw):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        daemon = Daemon(config(folder.name, **kw), ["--workers", "1"])
        self.addCleanup(daemon.__exit__)
        daemon.wait_ready()
        return daemon, daemon.port("Starting HTTP server"), folder.name

    def test_the_chain_edits_what_it_should(self):
        d, port, folder = self.start()
        self.assertIsNotNone(d.find("Memory limiter configured"))
        self.assertEqual(post(port, request("shop", [
            span(1, [text("card", "pay 4111111111111111 now"), text("user", "abc")]), span(2, [text("Password", "x")]), span(3, [text("k", "v")])])), 200)
        post(port, request("bank", [span(4, [text("user", "abc")])]))
        wait_for(lambda: sum(map(len, batches(folder))) == 4, "4 spans in the file")
        out = {k: v for b in batches(folder) for k, v in b.items()}
        self.assertEqual(out[1][0], {"card": "pay **** now", "user": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                     "redaction.masked.count": "1", "env": "prod", "tenant": "t1"})
        self.assertEqual(out[2][0], {"Password": "****", "redaction.masked.count": "1", "env": "prod", "tenant": "t1"})
        self.assertEqual(out[3][0], {"k": "v", "env": "prod", "tenant": "t1"})
        self.assertEqual(out[4][0], {"user": "abc"})
        self.assertEqual(out[1][1]["region"], {"stringValue": "eu"})
        d.wait_metric('tailrace_redaction_masked_values{level="span",processor="redaction"}', 2)
        d.wait_metric('otelcol_processor_memory_limiter_accepted_spans{processor="memory_limiter"}', 4)
        d.wait_metric('otelcol_processor_incoming_items{otel_signal="traces",processor="attributes"}', 4)
        d.wait_metric('otelcol_processor_outgoing_items{otel_signal="traces",processor="resource"}', 4)
        d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 4)

    def test_the_client_s_address_needs_no_metadata(self):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.json")
            with Daemon(f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}, grpc: {{endpoint: '127.0.0.1:0'}}}}}}}}
processors: {{attributes: {{actions: [{{key: peer, action: insert, from_context: client.address}}, {{key: tenant, action: insert, from_context: x-tenant}}]}}}}
exporters: {{file: {{path: '{out}', flush_interval: 10ms}}}}
service: {{pipelines: {{traces: {{receivers: [otlp], processors: [attributes], exporters: [file]}}}}}}
""", ["--workers", "1"]) as d:
                d.wait_ready()
                port = d.port("Starting HTTP server")
                for number in (1, 2):
                    self.assertEqual(post(port, request("shop", [span(number, [])])), 200)
                with GrpcClient(d.port("Starting GRPC server")) as client:
                    self.assertEqual(client.export(grpc_request()).code, 0)
                self.assertEqual(d.stop(), 0)
            got = [attributes for b in batches(folder) for attributes, _ in b.values()]
            self.assertEqual(got, [{"peer": "127.0.0.1"}] * 3)

    def test_batches_by_size_cut_to_the_maximum(self):
        d, port, folder = self.start(size=5, maximum=5, timeout="1h")
        post(port, request("shop", [span(i, []) for i in range(1, 13)]))
        wait_for(lambda: len(batches(folder)) == 2, "two full batches")
        self.assertEqual([sorted(b) for b in batches(folder)], [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
        d.wait_metric('otelcol_processor_batch_batch_size_trigger_send{processor="batch"}', 2)
        d.wait_metric('tailrace_pipeline_held_spans{pipeline="traces"}', 2)
        self.assertEqual(d.stop(), 0)
        self.assertEqual([sorted(b) for b in batches(folder)][2:], [[11, 12]]) # the drain sends the rest

    def test_over_the_limit_the_client_keeps_its_data(self):
        d, port, _ = self.start(limit=1, timeout="1h", exporter="nop")
        sent, refused = 0, None
        for i in range(1, 200):
            try:
                post(port, request("shop", [span(1000 * i + k, [text("filler", "x" * 1000)]) for k in range(20)]))
                sent += 20
            except urllib.error.HTTPError as e:
                refused = e
                break
        self.assertIsNotNone(refused, "never refused")
        self.assertEqual(refused.code, 503)
        self.assertGreater(sent, 0)
        d.wait_metric('tailrace_pipeline_held_spans{pipeline="traces"}', sent)
        self.assertEqual(d.stop(), 0)
        self.assertEqual(d.find("Span ledger", pipeline="traces")["exported"], sent, d.log())


if __name__ == "__main__":
    unittest.main()
