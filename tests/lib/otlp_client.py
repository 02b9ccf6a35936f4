# SPDX-License-Identifier: Apache-2.0
"""OTLP clients for tests: requests made by hand, gRPC over python3-h2, plain HTTP/1.1 sockets.

Made for misbehaving on purpose: every step of a call can be taken alone.
"""
import base64
import os
import socket
import struct
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
DEADLINE_S = float(os.environ.get("TAILRACE_TEST_DEADLINE", "60"))


# ---- protobuf by hand ----

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def key_value(key, value):
    return field(1, key.encode()) + field(2, field(1, value.encode()))


def span(trace_id=None, span_id=None, name=b"GET /", extra=b""):
    trace_id = os.urandom(16) if trace_id is None else trace_id
    span_id = os.urandom(8) if span_id is None else span_id
    times = struct.pack("<BQBQ", 0x39, 1700000000000000000, 0x41, 1700000000001000000)
    return field(1, trace_id) + field(2, span_id) + field(5, name) + b"\x30\x02" + times + extra


def request(spans=1, size=0, service="cart"):
    """An ExportTraceServiceRequest. spans: a number, or encoded spans. size: bytes of ballast per span."""
    if isinstance(spans, int):
        ballast = field(9, key_value("ballast", "x" * size)) if size else b""
        spans = [span(extra=ballast) for _ in range(spans)]
    scope = field(1, field(1, b"lib")) + b"".join(field(2, s) for s in spans)
    resource = field(1, field(1, key_value("service.name", service)))
    return field(1, resource + field(2, scope))


def parse(message):
    """Fields of a message as {number: [value or bytes, ...]}."""
    out, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(message):
        tag = number()
        if tag & 7 == 0:
            value = number()
        elif tag & 7 == 2:
            n = number()
            value = message[at:at + n]
            assert len(value) == n, "truncated"
            at += n
        else:
            raise AssertionError("unexpected wire type in %r" % message)
        out.setdefault(tag >> 3, []).append(value)
    return out


def parse_status(message):
    """(code, text, seconds of RetryInfo or None) of a google.rpc.Status."""
    f = parse(message)
    retry = None
    for any_ in f.get(3, []):
        a = parse(any_)
        if a[1][0] == b"type.googleapis.com/google.rpc.RetryInfo":
            duration = parse(parse(a[2][0])[1][0])
            retry = duration.get(1, [0])[0] + duration.get(2, [0])[0] / 1e9
    return f.get(1, [0])[0], f.get(2, [b""])[0].decode(), retry


def unbase64(text):
    return base64.b64decode(text + "=" * (-len(text) % 4))


def frame(message, flag=0):
    return struct.pack(">BI", flag, len(message)) + message


def connect(port, source=None, tls=None, name="localhost", host="127.0.0.1"):
    sock = socket.create_connection((host, port), DEADLINE_S, source)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(sock, server_hostname=name) if tls else sock


# ---- gRPC ----

class Reply:
    """What came back on one stream."""

    def __init__(self):
        self.headers, self.trailers, self.data = None, {}, b""
        self.ended, self.reset = False, None

    @property
    def fields(self):
        return dict(self.headers or {}, **self.trailers)

    @property
    def code(self):
        return int(self.fields["grpc-status"]) if "grpc-status" in self.fields else None

    @property
    def text(self):
        raw = self.fields.get("grpc-message", "")
        return bytes(raw, "ascii").decode("ascii").replace("%0A", "\n").replace("%25", "%")

    def details(self):
        return parse_status(unbase64(self.fields["grpc-status-details-bin"]))

    @property
    def message(self):
        assert self.data[:1] == b"\0" and struct.unpack(">I", self.data[1:5])[0] == len(self.data) - 5, self.data
        return self.data[5:]


class PatientConnection(h2.connection.H2Connection):
    """Goes on with its streams after a GOAWAY, as real clients do and python3-h2 does not."""

    def _receive_goaway_frame(self, received):
        result = super()._receive_goaway_frame(received)
        self.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        return result


class GrpcClient:
    def __init__(self, port, source=None, tls=None, name="localhost", host="127.0.0.1"):
        """tls: an ssl.SSLContext; name: whom to expect behind it."""
        self.sock = connect(port, source, tls, name, host)
        self.h2 = PatientConnection(config=h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False))
        self.h2.initiate_connection()
        self.replies = {}
        self.goaway = None
        self.closed = False
        self.acked = self.pinged = 0
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def headers(self, extra=(), path=EXPORT, method="POST", content_type="application/grpc", end=False):
        """Opens a stream; returns its id."""
        sid = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")]
        if content_type:
            head.append(("content-type", content_type))
        head += [("te", "trailers")] + list(extra)
        self.h2.send_headers(sid, head, end_stream=end)
        self.replies[sid] = Reply()
        self.flush()
        return sid

    def data(self, sid, data, end=True):
        """Sends all of it, waiting for windows; stops when the stream was answered or reset."""
        view = memoryview(data)
        while len(view):
            if self.replies[sid].ended or self.replies[sid].reset is not None or self.closed:
                return
            window = min(self.h2.local_flow_control_window(sid), self.h2.max_outbound_frame_size, len(view))
            if window <= 0:
                self.pump()
                continue
            self.h2.send_data(sid, bytes(view[:window]), end_stream=end and window == len(view))
            view = view[window:]
            self.flush()
        if end and not len(data):
            self.h2.end_stream(sid)
            self.flush()

    def pump(self, timeout=DEADLINE_S):
        """One read. False at the end of the connection or when nothing came in time."""
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            return False
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        for e in self.h2.receive_data(data):
            self._event(e)
        self.flush()
        return True

    def _event(self, e):
        reply = self.replies.get(getattr(e, "stream_id", None))
        if isinstance(e, h2.events.ResponseReceived):
            reply.headers = dict(e.headers)
        elif isinstance(e, h2.events.TrailersReceived):
            reply.trailers = dict(e.headers)
        elif isinstance(e, h2.events.DataReceived):
            reply.data += e.data
            if e.flow_controlled_length:
                self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
        elif isinstance(e, h2.events.StreamEnded):
            reply.ended = True
        elif isinstance(e, h2.events.StreamReset) and reply:
            reply.reset = e.error_code
        elif isinstance(e, h2.events.ConnectionTerminated):
            self.goaway = e
        elif isinstance(e, h2.events.PingAckReceived):
            self.acked += 1
        elif isinstance(e, h2.events.PingReceived):
            self.pinged += 1

    def wait(self, sid, timeout=DEADLINE_S):
        """Until the stream has its answer (or is reset)."""
        end = time.monotonic() + timeout
        reply = self.replies[sid]
        while not reply.ended and reply.reset is None:
            left = end - time.monotonic()
            if left <= 0 or not self.pump(left):
                raise AssertionError("no answer on stream %d (closed: %s, goaway: %s)" % (sid, self.closed, self.goaway))
        return reply

    def wait_closed(self, timeout=DEADLINE_S):
        end = time.monotonic() + timeout
        while not self.closed:
            if time.monotonic() > end:
                raise AssertionError("still open")
            self.pump(max(0.01, end - time.monotonic()))

    def export(self, message, flag=0, extra=(), **kw):
        """A whole call."""
        sid = self.headers(extra, **kw)
        self.data(sid, frame(message, flag))
        return self.wait(sid)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


# ---- HTTP/1.1 ----

class HttpReply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


class HttpClient:
    """A socket with a parser of answers."""

    def __init__(self, port, tls=None, name="localhost", host="127.0.0.1"):
        self.sock = connect(port, None, tls, name, host)
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def reply(self, head=False):
        """The next answer; None when the connection ends instead."""
        while b"\r\n\r\n" not in self.buffer:
            try:
                if not self._more():
                    return None
            except ConnectionError:
                return None
        top, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = top.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        n = 0 if head else int(headers.get("content-length", 0))
        while len(self.buffer) < n and self._more():
            pass
        body, self.buffer = self.buffer[:n], self.buffer[n:]
        return HttpReply(status, headers, body)

    def at_end(self):
        """True when the server has closed."""
        try:
            return not self.buffer and self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def request(self, method="POST", path="/v1/traces", body=b"", headers=None, content_type="application/x-protobuf"):
        head = {"Host": "localhost", "Content-Length": str(len(body))}
        if content_type:
            head["Content-Type"] = content_type
        head.update(headers or {})
        text = "%s %s HTTP/1.1\r\n%s\r\n" % (method, path, "".join("%s: %s\r\n" % i for i in head.items()))
        self.send(text.encode() + body)
        return self.reply(method == "HEAD")

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
