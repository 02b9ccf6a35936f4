#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends known traces through the real OpenTelemetry SDK for Python and prints what was sent.

usage: python_client.py PROTOCOL ENDPOINT        PROTOCOL: grpc | http/protobuf
Prints one JSON object: {"kept": [span...], "dropped": [span...]}, spans as OTLP/JSON with hex ids.
"""
import json
import secrets
import sys

from google.protobuf.json_format import MessageToDict
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation import set_span_in_context


class Tee(SpanExporter):
    """Keeps what it passes on, so that the test knows the bytes that left."""

    def __init__(self, inner):
        self.inner, self.spans = inner, []

    def export(self, spans):
        self.spans.extend(spans)
        result = self.inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            sys.exit("export failed")
        return result

    def shutdown(self):
        self.inner.shutdown()


def exporter(protocol, endpoint):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        return OTLPSpanExporter(endpoint=endpoint, insecure=True)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    return OTLPSpanExporter(endpoint=f"http://{endpoint}/v1/traces")


ATTRIBUTES = {
    "str": "plain", "empty": "", "unicode": "Grüße, 世界", "yes": True, "no": False, "int": 42, "negative": -7,
    "big": 2**62, "double": 0.25, "strs": ["a", "b"], "ints": [1, 2, 3], "bools": [True, False], "doubles": [1.5, -2.5],
}


def one_trace(tracer, error, secret):
    state = TraceState([("vendor", "x1"), ("other", "y")])
    remote = SpanContext(secrets.randbits(128) | 1, 0x1112131415161718, True, TraceFlags(1), state)
    ctx = set_span_in_context(trace.NonRecordingSpan(remote))
    other = SpanContext(0x0af7651916cd43dd8448eb211c80319c, 0xb7ad6b7169203331, True, TraceFlags(1))
    with tracer.start_as_current_span("GET /checkout", ctx, SpanKind.SERVER, attributes=ATTRIBUTES,
                                      links=[Link(other, {"why": "retry", "n": 1})]) as root:
        root.add_event("cache miss", {"key": "cart:7", "size": 12})
        with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT, attributes={"db.system.name": "postgresql"}) as child:
            if secret:
                child.set_attribute("note", "paid with 4111111111111111 today")
                child.set_attribute("db.password", "hunter2")
            if error:
                child.record_exception(ValueError("no stock"))
                child.set_status(Status(StatusCode.ERROR, "no stock"))
        with tracer.start_as_current_span("publish", kind=SpanKind.PRODUCER):
            pass
        with tracer.start_as_current_span("consume", kind=SpanKind.CONSUMER):
            pass


def dump(spans):
    return MessageToDict(encode_spans(spans)) if spans else {}


def main():
    protocol, endpoint = sys.argv[1:3]
    tee = Tee(exporter(protocol, endpoint))
    provider = TracerProvider(resource=Resource.create({"service.name": f"python-{protocol}".replace("/", "-"), "service.version": "1.2.3",
                                                        "host.cpus": 4, "tags": ["x", "y"]}))
    provider.add_span_processor(SimpleSpanProcessor(tee))
    tracer = provider.get_tracer("interop.lib", "0.9", schema_url="https://opentelemetry.io/schemas/1.30.0", attributes={"scope.attr": "s"})
    one_trace(tracer, True, True)
    kept = list(tee.spans)
    tee.spans.clear()
    one_trace(tracer, False, False)
    provider.shutdown()
    json.dump({"kept": dump(kept), "dropped": dump(tee.spans), "ids": "base64"}, sys.stdout)


main()
