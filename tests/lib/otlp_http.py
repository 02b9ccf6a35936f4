# SPDX-License-Identifier: Apache-2.0
"""OTLP/HTTP for end-to-end tests, stdlib only: a client that posts JSON, a backend that counts.

The backend answers what its `answer` function says, so that tests can refuse, hang or fail."""
import collections
import gzip
import http.client
import http.server
import socket
import json
import threading
import time


def request_json(first_trace, n_spans, service="shop", **span):
    """A request of n spans, each a trace of its own: ids first_trace, first_trace + 1, ..."""
    spans = [dict({"traceId": "%032x" % (0xabc << 100 | first_trace + i), "spanId": "%016x" % (first_trace + i + 1),
                   "name": "op", "kind": 2, "startTimeUnixNano": "1700000000000000000",
                   "endTimeUnixNano": "1700000000100000000"}, **span) for i in range(n_spans)]
    return {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
                               "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]}]}


class Client:
    """One kept-alive connection to an OTLP/HTTP receiver."""

    def __init__(self, port):
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(self, first_trace, n_spans, **kw):
        """The HTTP status."""
        body = json.dumps(request_json(first_trace, n_spans, **kw))
        self.conn.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
        r = self.conn.getresponse()
        r.read()
        return r.status

    def close(self):
        self.conn.close()


def send(port, first_trace, n_spans, **kw):
    """One request over a connection of its own."""
    client = Client(port)
    try:
        return client.send(first_trace, n_spans, **kw)
    finally:
        client.close()


class Load(threading.Thread):
    """Sends requests over one connection until told to stop. Every answer must be 200; but for 503 and 429, which say that the
    queue behind a slow backend is full (429: for this connection): that request is sent again, as a client should."""

    def __init__(self, port, k, n_spans=10, keep=True):
        super().__init__()
        self.client, self.n_spans, self.keep = Client(port), n_spans, keep
        self.first = 1 + (k << 40)
        self.acknowledged, self.failures, self.refused, self.stopping = [], [], 0, False

    def run(self):
        while not self.stopping:
            try:
                status = self.client.send(self.first, self.n_spans)
                if not self.keep:
                    self.client.close()  # the next request opens it again
            except (OSError, http.client.HTTPException) as e:
                status = repr(e)
            if status in (429, 503):
                self.refused += 1
                time.sleep(0.05)  # as the answer asks; nothing is waited for
                continue
            if status != 200:
                self.failures.append(status)
                return
            self.acknowledged.extend("%032x" % (0xabc << 100 | self.first + i) for i in range(self.n_spans))
            self.first += self.n_spans

    def stop(self):
        self.stopping = True
        self.join()
        self.client.close()


def fields(message):
    """(number, value) of each field of a protobuf message; value bytes or int."""
    at = 0

    def varint():
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
        tag = varint()
        wire = tag & 7
        if wire == 0:
            yield tag >> 3, varint()
        else:
            size = {1: 8, 5: 4}.get(wire)
            if size is None:
                size = varint()
            yield tag >> 3, message[at:at + size]
            at += size


def span_ids(request):
    """(trace id, span id) of all spans of an ExportTraceServiceRequest, in hex."""
    ids = []
    for n, resource_spans in fields(request):
        for m, scope_spans in fields(resource_spans) if n == 1 else ():
            for k, span in fields(scope_spans) if m == 2 else ():
                if k == 2:
                    got = dict(f for f in fields(span) if f[0] in (1, 2))
                    ids.append((got[1].hex(), got[2].hex()))
    return ids


class Backend:
    """Collects the span ids of what it answered with 200."""

    def __init__(self, answer=lambda request_number: 200, host="127.0.0.1"):
        self.ids, self.requests = [], 0
        self.bodies = collections.deque(maxlen=1000)  # the last ones
        self.headers = collections.deque(maxlen=1000)  # of all requests, names in lower case
        self.lock = threading.Lock()
        self.released = threading.Event()  # set when the test ends, for handlers that hang
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                with backend.lock:
                    backend.requests += 1
                    number = backend.requests
                    backend.headers.append({name.lower(): value for name, value in self.headers.items()})
                status = answer(number)
                if status == 200:
                    with backend.lock:
                        backend.bodies.append(body)
                        backend.ids += span_ids(body)
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/x-protobuf")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self.server = Server((host, 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://%s:%d" % ("[%s]" % host if ":" in host else host, self.server.server_port)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def count(self):
        with self.lock:
            return len(self.ids)

    def distinct(self):
        with self.lock:
            return set(self.ids)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
