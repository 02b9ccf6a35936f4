# SPDX-License-Identifier: Apache-2.0
"""transform in the daemon: statements in both styles, beside a pipeline that leaves the same spans as they are; failing statements
by error mode, and what the sender is told; what statements and conditions know of the request."""
import base64
import json
import os
import tempfile
import unittest
import urllib.error
import urllib.request

import otlp_client
from tailrace import Daemon, wait_for

CONFIG = """
receivers:
  otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}
  otlp/strict: {protocols: {http: {endpoint: '127.0.0.1:0'}}}
processors:
  transform:
    trace_statements:
      - context: resource
        statements: ['set(attributes["env"], "prod") where attributes["env"] == nil']
      - context: spanevent
        conditions: ['name == "exception"']
        statements: ['set(span.status.code, STATUS_CODE_ERROR)', 'delete_key(attributes, "stack")']
      - context: span
        statements:
          - 'replace_pattern(name, "/[0-9]+", "/{id}")'
          - 'replace_pattern(attributes["user"], "^.+$$", "$$0", SHA256, "user(%%s)")'
          - 'set(attributes["env"], resource.attributes["env"])'
  transform/flat:
    trace_statements: ['set(span.attributes["class"], "slow") where span.end_time - span.start_time > Duration("1s")', 'delete_key(span.attributes, "env")']
  transform/failing:
    trace_statements: ['set(span.name, 5) where span.name == "bad"', 'set(span.attributes["tried"], true)']
  transform/strict:
    error_mode: propagate
    trace_statements: ['set(span.name, 5) where span.name == "bad"']
exporters:
  file/changed: {path: '%(folder)s/changed.json', flush_interval: 10ms}
  file/plain: {path: '%(folder)s/plain.json', flush_interval: 10ms}
  nop:
service:
  pipelines:
    traces/changed: {receivers: [otlp], processors: [transform, transform/flat, transform/failing], exporters: [file/changed]}
    traces/plain: {receivers: [otlp], exporters: [file/plain]}
    traces/strict: {receivers: [otlp/strict], processors: [transform/strict], exporters: [nop]}
"""
SHA_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


def span(number, name, attributes=(), took_ms=5, **more):
    return {"traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": name, "attributes": list(attributes),
            "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": str(1700000000000000000 + took_ms * 1000000), **more}


def request(*spans):
    return {"resourceSpans": [{"resource": {"attributes": [text("service.name", "shop")]}, "scopeSpans": [{"spans": list(spans)}]}]}


def post(port, document):
    r = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", json.dumps(document).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(r, timeout=30) as answer:
        return answer.status


def attributes(of):
    return {a["key"]: next(iter(a["value"].values())) for a in of.get("attributes", [])}


def spans_in(path):
    """{number: (span, resource attributes)}"""
    found = {}
    if not os.path.exists(path):
        return found
    with open(path, encoding="utf-8") as f:
        for line in f:
            if not line.endswith("\n"):
                break
            for rs in json.loads(line)["resourceSpans"]:
                for ss in rs["scopeSpans"]:
                    for s in ss["spans"]:
                        found[int(s["spanId"], 16)] = (s, attributes(rs["resource"]))
    return found


class Transform(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.daemon = Daemon(CONFIG % {"folder": self.folder}, ["--workers", "1"])
        self.addCleanup(self.daemon.__exit__)
        self.daemon.wait_ready()

    def port(self, receiver):
        return self.daemon.port("Starting HTTP server", **{"otelcol.component.id": receiver})

    def outputs(self, n):
        changed, plain = (os.path.join(self.folder, name) for name in ("changed.json", "plain.json"))
        wait_for(lambda: len(spans_in(changed)) == n and len(spans_in(plain)) == n, f"{n} spans in both files")
        return spans_in(changed), spans_in(plain)

    def test_statements_change_their_pipeline_only(self):
        exception = {"name": "exception", "timeUnixNano": "1700000000000000001", "attributes": [text("type", "E"), text("stack", "...")]}
        sent = [span(1, "GET /carts/42", [text("user", "abc")], took_ms=2000), span(2, "GET /", events=[exception]), span(3, "quiet", [text("k", "v")])]
        self.assertEqual(post(self.port("otlp"), request(*sent)), 200)
        changed, plain = self.outputs(3)
        self.assertEqual(changed[1][0]["name"], "GET /carts/{id}")
        self.assertEqual(attributes(changed[1][0]), {"user": f"user({SHA_OF_ABC})", "class": "slow", "tried": True})
        self.assertEqual(changed[2][0]["status"]["code"], 2)
        self.assertEqual(attributes(changed[2][0]["events"][0]), {"type": "E"})
        self.assertEqual(attributes(changed[3][0]), {"k": "v", "tried": True})
        self.assertEqual(changed[3][1], {"service.name": "shop", "env": "prod"})
        for number, before in enumerate(sent, 1):
            after, resource = plain[number]
            self.assertEqual(resource, {"service.name": "shop"})
            self.assertEqual((after["name"], attributes(after), after.get("status", {}).get("code", 0)), (before["name"], attributes(before), 0))
        self.assertEqual(attributes(plain[2][0]["events"][0]), {"type": "E", "stack": "..."})
        self.daemon.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces/changed"}', 3)
        self.daemon.wait_metric('otelcol_processor_outgoing_items{otel_signal="traces",processor="transform/flat"}', 3)

    def test_a_statement_that_fails_is_logged_and_the_next_one_runs(self):
        post(self.port("otlp"), request(span(1, "bad"), span(2, "good")))
        changed, _ = self.outputs(2)
        self.assertEqual([changed[i][0]["name"] for i in (1, 2)], ["bad", "good"])
        self.assertEqual(attributes(changed[1][0]), {"tried": True})
        self.daemon.wait_log("failed to execute statement", error="expects string but got int64",
                             statement='set(span.name, 5) where span.name == "bad"')
        self.daemon.wait_metric('tailrace_transform_errors{processor="transform/failing"}', 1)

    def test_propagate_refuses_the_batch(self):
        port = self.port("otlp/strict")
        self.assertEqual(post(port, request(span(1, "good"))), 200)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            post(port, request(span(2, "good"), span(3, "bad")))
        self.assertEqual(refused.exception.code, 503)
        self.assertIn("failed to execute statement", json.loads(refused.exception.read())["message"])
        self.daemon.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces/strict"}', 1)
        self.daemon.wait_metric('tailrace_pipeline_held_spans{pipeline="traces/strict"}', 0)
        self.assertEqual(self.daemon.stop(), 0)
        ledger = self.daemon.find("Span ledger", pipeline="traces/strict")
        self.assertEqual((ledger["accepted"], ledger["exported"]), (3, 1))


REQUEST_CONFIG = """
extensions: {basicauth: {htpasswd: {inline: 'joe:secret'}}}
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0', include_metadata: true, auth: {authenticator: basicauth}}
      http: {endpoint: '127.0.0.1:0', include_metadata: true, auth: {authenticator: basicauth}}
processors:
  filter: {trace_conditions: ['otelcol.client.metadata["x-tenant"][0] == "unwanted" and span.kind == 0']}
  transform:
    error_mode: silent
    trace_statements:
      - 'set(span.attributes["addr"], otelcol.client.addr)'
      - 'set(span.attributes["tenants"], Len(otelcol.client.metadata["X-Tenant"]))'
      - 'set(span.attributes["second"], otelcol.client.metadata["x-tenant"][1])'
      - 'set(span.attributes["grpc"], otelcol.grpc.metadata["x-tenant"][0])'
      - 'set(span.attributes["who"], otelcol.client.auth.attributes["username"])'
      - 'set(span.attributes["none"], true) where otelcol.client.addr == nil and otelcol.client.metadata == {}'
  transform/strict: {error_mode: ignore, trace_statements: [{context: span, statements: ['delete_key(otelcol.client.metadata, "x-tenant")']}]}
  batch: {timeout: 10ms}
exporters:
  file/first: {path: '%(folder)s/first.json', flush_interval: 10ms}
  file/merged: {path: '%(folder)s/merged.json', flush_interval: 10ms}
service:
  extensions: [basicauth]
  pipelines:
    traces/first: {receivers: [otlp], processors: [filter, transform/strict, transform, batch], exporters: [file/first]}
    traces/merged: {receivers: [otlp], processors: [batch, filter, transform], exporters: [file/merged]}
"""
LOGIN = ("authorization", "Basic " + base64.b64encode(b"joe:secret").decode())


class Requests(unittest.TestCase):
    """otelcol.*: who sent it and with which headers, as far as that is known where the processor stands."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.daemon = Daemon(REQUEST_CONFIG % {"folder": self.folder}, ["--workers", "1"])
        self.addCleanup(self.daemon.__exit__)
        self.daemon.wait_ready()

    def found(self, name, n):
        path = os.path.join(self.folder, name)
        wait_for(lambda: len(spans_in(path)) == n, f"{n} spans in {name}")
        return {k: attributes(s) for k, (s, _) in spans_in(path).items()}

    def send_grpc(self, number, *tenants):
        one = otlp_client.span(number.to_bytes(16, "big"), number.to_bytes(8, "big"))
        with otlp_client.GrpcClient(self.daemon.port("Starting GRPC server")) as c:
            address = "127.0.0.1:%d" % c.sock.getsockname()[1]
            self.assertEqual(c.export(otlp_client.request([one]), extra=[LOGIN, *(("x-tenant", t) for t in tenants)]).code, 0)
        return address

    def send_http(self, document, **headers):
        r = urllib.request.Request(f"http://127.0.0.1:{self.daemon.port('Starting HTTP server')}/v1/traces", json.dumps(document).encode(),
                                   {"Content-Type": "application/json", **dict([LOGIN]), **headers})
        with urllib.request.urlopen(r, timeout=30) as answer:
            return answer.status

    def test_paths_of_the_request(self):
        address = self.send_grpc(1, "a", "b")
        self.assertEqual(self.send_http(request(span(2, "GET /", kind=2)), **{"X-Tenant": "c"}), 200)
        self.assertEqual(self.send_http(request(span(3, "dropped"), span(4, "kept", kind=2)), **{"X-Tenant": "unwanted"}), 200)
        first, merged = self.found("first.json", 3), self.found("merged.json", 4)
        self.assertEqual(first[1], {"addr": address, "tenants": "2", "second": "b", "grpc": "a", "who": "joe"})
        self.assertEqual(first[2], {"addr": "127.0.0.1", "tenants": "1", "who": "joe"})
        self.assertEqual(first[4], {"addr": "127.0.0.1", "tenants": "1", "who": "joe"})
        self.assertEqual(merged, {k: {"none": True} for k in (1, 2, 3, 4)})
        self.daemon.wait_log("failed to execute statement", error='"otelcol.client.metadata" is read-only and cannot be modified')


if __name__ == "__main__":
    unittest.main()
