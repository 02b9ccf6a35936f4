# SPDX-License-Identifier: Apache-2.0
"""The otlp receiver's answers: every status of the OTLP tables, encodings, limits, CORS, keepalive."""
import gzip
import json
import socket
import struct
import tempfile
import unittest
import zlib

from otlp_client import GrpcClient, HttpClient, EXPORT, field, frame, parse, parse_status, request, span, unbase64
from tailrace import Daemon, wait_for

CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0', include_metadata: true%s}
      http:
        endpoint: 127.0.0.1:0
        include_metadata: true
        response_headers: {X-Place: here}
        cors: {allowed_origins: ['https://*.example.com'], allowed_headers: [X-Mine], max_age: 60}
        max_request_body_size: 1000000
exporters: {nop: }
service: {pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}
"""
SNAPPY_ID = b"\xff\x06\x00\x00sNaPpY"


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def snappy_literal(data):
    """The block format with literals only."""
    out, n = b"", len(data)
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            break
    for i in range(0, len(data), 60):
        piece = data[i:i + 60]
        out += bytes([(len(piece) - 1) << 2]) + piece
    return out


def snappy_framed(data):
    crc = crc32c(data)
    masked = ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff
    body = struct.pack("<I", masked) + snappy_literal(data)
    return SNAPPY_ID + b"\x00" + struct.pack("<I", len(body))[:3] + body


class Base(unittest.TestCase):
    extra = ""

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(CONFIG % cls.extra).wait_ready()
        cls.grpc = cls.d.port("Starting GRPC server")
        cls.http = cls.d.port("Starting HTTP server")

    @classmethod
    def tearDownClass(cls):
        try:
            code = cls.d.stop()
            assert code == 0, (code, cls.d.log())
        finally:
            cls.d.__exit__()

    def accepted(self, transport):
        return self.d.metrics().get('otelcol_receiver_accepted_spans{receiver="otlp",transport="%s"}' % transport, 0)


class Grpc(Base):
    def test_good_requests(self):
        before = self.accepted("grpc")
        with GrpcClient(self.grpc) as c:
            for n in (1, 2, 512):
                r = c.export(request(n))
                self.assertEqual((r.code, r.headers["content-type"], r.message), (0, "application/grpc", b""))
            r = c.export(request(3), content_type="application/grpc+proto")
            self.assertEqual(r.code, 0)
        self.assertEqual(self.accepted("grpc") - before, 518)
        self.d.ledger()

    def test_nothing_in_it(self):
        before = self.accepted("grpc")
        with GrpcClient(self.grpc) as c:
            self.assertEqual(c.export(b"").code, 0)
            self.assertEqual(c.export(field(1, b"")).code, 0)
        self.assertEqual(self.accepted("grpc"), before)

    def test_encodings(self):
        message = request(5)
        cases = {"gzip": gzip.compress(message), "deflate": zlib.compress(message), "snappy": snappy_framed(message)}
        with GrpcClient(self.grpc) as c:
            for name, body in cases.items():
                r = c.export(body, 1, [("grpc-encoding", name)])
                self.assertEqual(r.code, 0, (name, r.text))
                r = c.export(message, 0, [("grpc-encoding", name)])
                self.assertEqual(r.code, 0, name)
            r = c.export(cases["gzip"] + gzip.compress(message), 1, [("grpc-encoding", "gzip")])
            self.assertEqual(r.code, 0)

    def test_refused(self):
        message = request(1)
        big = b"\0\0\0\0\x42"
        cases = [
            (dict(message=message, flag=1), 13, "grpc: compressed flag set with identity or empty encoding"),
            (dict(message=message, flag=2), 13, "grpc: received unexpected payload format 2"),
            (dict(message=message, flag=1, extra=[("grpc-encoding", "gzip")]), 3, "gzip: invalid header"),
            (dict(message=message, extra=[("grpc-encoding", "br")]), 12, 'Decompressor is not installed for grpc-encoding "br"'),
            (dict(message=b"\x0a\x7fx"), 3, ""),
            (dict(message=message, path=EXPORT[:-1]), 12, "unknown method Expor for service opentelemetry.proto.collector.trace.v1.TraceService"),
            (dict(message=message, path="/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"), 12,
             "unknown service opentelemetry.proto.collector.metrics.v1.MetricsService"),
            (dict(message=message, path="/grpc.health.v1.Health/Check"), 12, "unknown service grpc.health.v1.Health"),
            (dict(message=message, path="/x"), 12, 'malformed method name: "/x"'),
            (dict(message=message, extra=[("grpc-timeout", "0S")]), 4, "deadline exceeded"),
            (dict(message=gzip.compress(big * 2000000), flag=1, extra=[("grpc-encoding", "gzip")]), 8, "larger than max 4194304"),
        ]
        with GrpcClient(self.grpc) as c:
            for call, code, text in cases:
                r = c.export(**call)
                self.assertEqual(r.code, code, (call, r.fields))
                self.assertIn(text, r.text)
                self.assertEqual(r.headers[":status"], "200")
            r = c.export(message, extra=[("grpc-encoding", "br")])
            self.assertIn("gzip", r.fields["grpc-accept-encoding"])
            self.assertEqual(c.export(message).code, 0, "the connection goes on")

    def test_http_errors(self):
        with GrpcClient(self.grpc) as c:
            for call, status in ((dict(content_type="text/html"), "415"), (dict(content_type=None), "415"),
                                 (dict(content_type="application/grpcx"), "415"), (dict(method="PUT"), "405"),
                                 (dict(extra=[("grpc-timeout", "1x")]), "400")):
                r = c.export(request(1), **call)
                self.assertEqual(r.headers[":status"], status, call)

    def test_too_large_is_answered_on_the_prefix(self):
        with GrpcClient(self.grpc) as c:
            sid = c.headers()
            c.data(sid, struct.pack(">BI", 0, 4194305), end=False)
            r = c.wait(sid)
            self.assertEqual((r.code, r.text), (8, "grpc: received message larger than max (4194305 vs. 4194304)"))
            self.assertNotIn("grpc-status-details-bin", r.fields)
            self.assertEqual(c.export(request(1)).code, 0)

    def test_largest_message(self):
        message = request(1, 4194304 - 200)
        with GrpcClient(self.grpc) as c:
            self.assertEqual(c.export(message).code, 0)

    def test_byte_by_byte(self):
        with GrpcClient(self.grpc) as c:
            sid = c.headers()
            whole = frame(request(1))
            for i in range(len(whole)):
                c.data(sid, whole[i:i + 1], end=False)
            c.data(sid, b"", end=True)
            self.assertEqual(c.wait(sid).code, 0)

    def test_streams_that_end_early(self):
        with GrpcClient(self.grpc) as c:
            for body, text in ((None, "EOF"), (b"", "EOF"), (b"\0\0\0", "unexpected EOF"), (frame(request(1))[:-1], "unexpected EOF")):
                sid = c.headers(end=body is None)
                if body is not None:
                    c.data(sid, body)
                r = c.wait(sid)
                self.assertEqual((r.code, r.text), (2, text))

    def test_bytes_behind_the_message_are_ignored(self):
        with GrpcClient(self.grpc) as c:
            sid = c.headers()
            c.data(sid, frame(request(1)) + b"more")
            self.assertEqual(c.wait(sid).code, 0)

    def test_partial_success(self):
        good, zero_trace, zero_span = span(), span(trace_id=b"\0" * 16), span(span_id=b"")
        before = self.accepted("grpc")
        with GrpcClient(self.grpc) as c:
            r = c.export(request([good, zero_trace, zero_span, good, zero_span]))
            self.assertEqual(r.code, 0)
            partial = parse(parse(r.message)[1][0])
            self.assertEqual(partial[1], [3])
            self.assertIn(b"1 with an empty or zero trace id, 2 with", partial[2][0])
            r = c.export(request([zero_trace]))
            self.assertEqual(parse(parse(r.message)[1][0])[1], [1])
            self.assertEqual(c.export(request([span(trace_id=b"\1" * 15)])).code, 3)
        self.assertEqual(self.accepted("grpc") - before, 2)
        self.d.ledger()

    def test_http1_client_gets_words(self):
        with HttpClient(self.grpc) as c:
            c.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            r = c.reply()
            self.assertEqual(r.status, 400)
            self.assertIn(b"gRPC", c.buffer + c.sock.recv(1000))

    def test_many_calls_on_one_connection(self):
        with GrpcClient(self.grpc) as c:
            sids = [c.headers() for _ in range(100)]
            for sid in reversed(sids):
                c.data(sid, frame(request(2)))
            for sid in sids:
                self.assertEqual(c.wait(sid).code, 0)


class SmallLimits(Base):
    extra = ", max_recv_msg_size_mib: 1, max_concurrent_streams: 3, keepalive: {server_parameters: {max_connection_idle: 400ms}}"

    def test_limits(self):
        with GrpcClient(self.grpc) as c:
            self.assertEqual(c.export(request(1, 1048000)).code, 0)
            self.assertEqual(c.export(request(1, 1048577)).code, 8)
            self.assertEqual(c.h2.remote_settings.max_concurrent_streams, 3)

    def test_idle_connections_are_told_to_go(self):
        with GrpcClient(self.grpc) as c:
            self.assertEqual(c.export(request(1)).code, 0)
            c.wait_closed()
            self.assertEqual(c.goaway.error_code, 0)


class Pings(Base):
    extra = ", keepalive: {server_parameters: {time: 300ms, timeout: 300ms}}"

    def test_a_silent_client_is_dropped(self):
        with socket.create_connection(("127.0.0.1", self.grpc)) as s:
            s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            s.settimeout(60)
            while s.recv(65536):
                pass

    def test_a_live_client_stays(self):
        with GrpcClient(self.grpc) as c:
            wait_for(lambda: c.pump(0.2) and c.pinged >= 3, "three pings")
            self.assertEqual(c.export(request(1)).code, 0)


class TooManyPings(Base):
    def test_too_many_pings(self):
        with GrpcClient(self.grpc) as c:
            for _ in range(4):
                c.h2.ping(b"12345678")
                c.flush()
            c.wait_closed()
            self.assertEqual((c.goaway.error_code, c.goaway.additional_data), (11, b"too_many_pings"))

    def test_pings_between_calls_are_fine(self):
        with GrpcClient(self.grpc) as c:
            for i in range(10):
                c.h2.ping(b"12345678")
                self.assertEqual(c.export(request(1)).code, 0)
            wait_for(lambda: c.acked == 10 or not c.pump(1), "acks")
            self.assertIsNone(c.goaway)


class Http(Base):
    def test_good_requests(self):
        before = self.accepted("http")
        with HttpClient(self.http) as c:
            r = c.request(body=request(3))
            self.assertEqual((r.status, r.headers["content-type"], r.body), (200, "application/x-protobuf", b"\x0a\x00"))
            self.assertEqual(r.headers["x-place"], "here")
            r = c.request(body=request(3), content_type="Application/X-Protobuf; charset=utf-8")
            self.assertEqual(r.status, 200)
            r = c.request(body=b"")
            self.assertEqual(r.status, 200)
        self.assertEqual(self.accepted("http") - before, 6)

    def test_json(self):
        one = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "01" * 16, "spanId": "02" * 8, "name": "a"}]}]}]}
        with HttpClient(self.http) as c:
            r = c.request(body=json.dumps(one).encode(), content_type="application/json; charset=utf-8")
            self.assertEqual((r.status, r.headers["content-type"], json.loads(r.body)), (200, "application/json", {"partialSuccess": {}}))
            one["resourceSpans"][0]["scopeSpans"][0]["spans"].append({"traceId": "00" * 16, "spanId": "02" * 8})
            r = c.request(body=gzip.compress(json.dumps(one).encode()), content_type="application/json", headers={"Content-Encoding": "gzip"})
            self.assertEqual(json.loads(r.body)["partialSuccess"]["rejectedSpans"], "1")
            for bad in (b"", b"[]", b"{", b"1234"):
                r = c.request(body=bad, content_type="application/json")
                self.assertEqual((r.status, json.loads(r.body)["code"]), (400, 3), bad)
            for good in (b"{}", b"null"):
                self.assertEqual(c.request(body=good, content_type="application/json").status, 200, good)

    def test_encodings(self):
        message = request(4)
        cases = {"gzip": gzip.compress(message), "GZIP": gzip.compress(message), "deflate": zlib.compress(message),
                 "zlib": zlib.compress(message), "snappy": snappy_literal(message), "x-snappy-framed": snappy_framed(message),
                 "identity": message}
        with HttpClient(self.http) as c:
            for name, body in list(cases.items()) + [("snappy", snappy_framed(message))]:
                r = c.request(body=body, headers={"Content-Encoding": name})
                self.assertEqual(r.status, 200, (name, r.body))
            for name, body, text in (("br", message, "unsupported Content-Encoding: br"), ("gzip", message, "gzip: invalid header"),
                                     ("deflate", message, "zlib: invalid header"), ("zstd", message, "magic number mismatch")):
                r = c.request(body=body, headers={"Content-Encoding": name})
                code, said, _ = parse_status(r.body)
                self.assertEqual((r.status, code), (400, 3))
                self.assertIn(text, said)

    def test_refused(self):
        with HttpClient(self.http) as c:
            r = c.request(path="/v1/metrics")
            self.assertEqual((r.status, parse_status(r.body)[:2]), (404, (12, "only traces are supported here")))
            r = c.request(path="/v1/traces/", content_type="application/json")
            self.assertEqual((r.status, json.loads(r.body)["message"]), (404, "404 page not found"))
            r = c.request(method="GET")
            self.assertEqual((r.status, r.headers["allow"]), (405, "POST"))
            self.assertEqual(c.request(path="/v1/traces?x=y", body=request(1)).status, 200)
            for content_type in ("text/plain", None, "application/protobuf"):
                r = c.request(body=request(1), content_type=content_type)
                self.assertEqual((r.status, r.headers["content-type"], json.loads(r.body)["code"]), (415, "application/json", 3))
            r = c.request(body=b"\x0a\x7fx")
            self.assertEqual((r.status, parse_status(r.body)[0]), (400, 3))

    def test_too_large(self):
        with HttpClient(self.http) as c:
            c.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000001\r\n\r\n")
            r = c.reply()
            self.assertEqual((r.status, json.loads(r.body)["message"], r.headers["connection"]), (413, "request body too large", "close"))
            self.assertTrue(c.at_end())
        with HttpClient(self.http) as c:
            c.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(11):
                    c.send(b"186a0\r\n" + b"x" * 100000 + b"\r\n")
            except ConnectionError:
                pass
            self.assertEqual(c.reply().status, 413)
        with HttpClient(self.http) as c:
            r = c.request(body=gzip.compress(b"\0" * 1000001), headers={"Content-Encoding": "gzip"})
            self.assertEqual(r.status, 413)
            self.assertEqual(c.request(body=request(1)).status, 200)

    def test_chunked_and_expect(self):
        message = request(20)
        with HttpClient(self.http) as c:
            c.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(0, len(message), 100):
                piece = message[i:i + 100]
                c.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            c.send(b"0\r\n\r\n")
            self.assertEqual(c.reply().status, 200)
            c.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
                   b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(message))
            self.assertEqual(c.reply().status, 100)
            c.send(message)
            self.assertEqual(c.reply().status, 200)

    def test_pipelined_and_old(self):
        one = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
        with HttpClient(self.http) as c:
            c.send(one * 20)
            for _ in range(20):
                self.assertEqual(c.reply().status, 200)
            c.send(one.replace(b"HTTP/1.1", b"HTTP/1.0"))
            self.assertEqual(c.reply().headers["connection"], "close")
            self.assertTrue(c.at_end())

    def test_smuggling_closes(self):
        for lengths in (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n"):
            with HttpClient(self.http) as c:
                c.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n" + lengths + b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertEqual(c.reply().status, 400)
                self.assertTrue(c.at_end())

    def test_half_closed_client_gets_its_answer(self):
        with HttpClient(self.http) as c:
            body = request(1)
            c.send(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            c.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(c.reply().status, 200)

    def test_h2c(self):
        with GrpcClient(self.http) as c:
            sid = c.headers(path="/v1/traces", content_type="application/x-protobuf")
            c.data(sid, request(1000))
            r = c.wait(sid)
            self.assertEqual((r.headers[":status"], r.headers["x-place"], r.data), ("200", "here", b"\x0a\x00"))
            sid = c.headers(path="/nowhere", content_type="application/json", end=True)
            r = c.wait(sid)
            self.assertEqual((r.headers[":status"], json.loads(r.data)["code"]), ("404", 12))

    def test_cors(self):
        preflight = {"Origin": "https://shop.example.com", "Access-Control-Request-Method": "POST",
                     "Access-Control-Request-Headers": "content-type, x-mine"}
        with HttpClient(self.http) as c:
            r = c.request(method="OPTIONS", headers=preflight, content_type=None)
            self.assertEqual(r.status, 204)
            self.assertEqual(r.headers["access-control-allow-origin"], "https://shop.example.com")
            self.assertEqual(r.headers["access-control-allow-methods"], "POST")
            self.assertEqual(r.headers["access-control-max-age"], "60")
            r = c.request(method="OPTIONS", headers=dict(preflight, Origin="https://evil.org"), content_type=None)
            self.assertEqual((r.status, r.headers.get("access-control-allow-origin")), (204, None))
            r = c.request(body=request(1), headers={"Origin": "https://shop.example.com"})
            self.assertEqual((r.status, r.headers["vary"], r.headers["access-control-allow-credentials"]), (200, "Origin", "true"))
            r = c.request(body=request(1), headers={"Origin": "https://evil.org"})
            self.assertEqual((r.status, r.headers.get("access-control-allow-origin")), (200, None))


class PipelineErrors(unittest.TestCase):
    def test_the_exporters_answer_reaches_the_client(self):
        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))  # nobody listens
            config = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
exporters:
  otlp_grpc:
    endpoint: 127.0.0.1:%d
    tls: {insecure: true}
    timeout: 1s
    sending_queue: {enabled: false}
    retry_on_failure: {enabled: false}
service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_grpc]}}}
""" % dead.getsockname()[1]
            with Daemon(config, ["--workers", "1"]) as d:
                d.wait_ready()
                with GrpcClient(d.port("Starting GRPC server")) as c, HttpClient(d.port("Starting HTTP server")) as h:
                    r = c.export(request(3))
                    self.assertEqual(r.code, 14, r.fields)
                    a = h.request(body=request(2))
                    self.assertEqual((a.status, parse_status(a.body)[0]), (503, 14))
                    # The deadline of the client passes first: it is told so.
                    r = c.export(request(1), extra=[("grpc-timeout", "1m")])
                    self.assertIn(r.code, (4, 14))
                page = d.metrics()
                refused = 'otelcol_receiver_refused_spans{receiver="otlp",transport="%s"}'
                self.assertGreaterEqual(page[refused % "grpc"], 3)
                self.assertEqual(page[refused % "http"], 2)
                self.assertEqual(d.stop(), 0)


class Sockets(unittest.TestCase):
    def test_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/otlp.sock"
            config = "receivers: {otlp: {protocols: {http: {transport: unix, endpoint: '%s'}}}}\nexporters: {nop: }\n" \
                     "service: {pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}\n" % path
            for _ in range(2):
                with Daemon(config, ["--workers", "2"]) as d:
                    d.wait_ready()
                    c = HttpClient.__new__(HttpClient)
                    c.buffer, c.sock = b"", socket.socket(socket.AF_UNIX)
                    c.sock.connect(path)
                    with c:
                        self.assertEqual(c.request(body=request(1)).status, 200)
                    self.assertEqual(d.stop(), 0)

    def test_port_in_use(self):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            config = "receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:%d'}}}}\nexporters: {nop: }\n" \
                     "service: {pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}\n" % port
            for workers in ("1", "3"):
                with Daemon(config, ["--workers", workers]) as d:
                    self.assertEqual(d.wait_exit(), 1)
                    self.assertIn("listen tcp 127.0.0.1:%d: bind: address already in use" % port, d.log())

    def test_all_workers_serve_one_port(self):
        config = "receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}}\nexporters: {nop: }\n" \
                 "service: {pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}\n"
        with Daemon(config, ["--workers", "3"]) as d:
            d.wait_ready()
            port = d.port("Starting GRPC server")
            for _ in range(60):
                with GrpcClient(port) as c:
                    self.assertEqual(c.export(request(2)).code, 0)
            d.wait_metric('otelcol_receiver_accepted_spans{receiver="otlp",transport="grpc"}', 120)
            self.assertEqual(len([line for line in d.lines if line.get("msg") == "Starting GRPC server"]), 1)
            self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    unittest.main()
