# SPDX-License-Identifier: Apache-2.0
"""What clients are told when a backend refuses and nothing is queued: row by row the table of statuses,
over gRPC and over HTTP, with the backend's hint when to come back."""
import base64
import socket
import threading
import unittest

import h2.config
import h2.connection
import h2.events

from otlp_client import GrpcClient, HttpClient, field, parse_status, request, varint
from tailrace import Daemon

RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"


def status_details(code, text, seconds):
    """grpc-status-details-bin with a RetryInfo."""
    info = field(1, b"\x08" + varint(seconds))
    status = b"\x08" + varint(code) + field(2, text) + field(3, field(1, RETRY_INFO) + field(2, info))
    return base64.b64encode(status).decode().rstrip("=")


class GrpcBackend:
    """Answers every call with `fields`, trailers only."""

    def __init__(self):
        self.fields = [("grpc-status", "0")]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        c.initiate_connection()
        with s:
            try:
                while True:
                    s.sendall(c.data_to_send())
                    data = s.recv(65536)
                    if not data:
                        return
                    for e in c.receive_data(data):
                        if isinstance(e, h2.events.DataReceived):
                            c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                        elif isinstance(e, h2.events.StreamEnded):
                            head = [(":status", "200"), ("content-type", "application/grpc")]
                            c.send_headers(e.stream_id, head + self.fields, end_stream=True)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class StatusTable(unittest.TestCase):
    # code of the backend -> the same over gRPC, and this over HTTP
    HTTP = {1: 503, 2: 500, 3: 400, 4: 503, 5: 500, 6: 500, 7: 403, 8: 429, 9: 500, 10: 503, 11: 503, 12: 404, 13: 500,
            14: 503, 15: 503, 16: 401}

    @classmethod
    def setUpClass(cls):
        cls.backend = GrpcBackend()
        cls.d = Daemon("""
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
exporters:
  otlp_grpc: {endpoint: '127.0.0.1:%d', tls: {insecure: true}, sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_grpc]}}}
""" % cls.backend.port).wait_ready()
        cls.grpc, cls.http = cls.d.port("Starting GRPC server"), cls.d.port("Starting HTTP server")

    @classmethod
    def tearDownClass(cls):
        code = cls.d.stop()
        cls.d.__exit__()
        cls.backend.close()
        assert code == 0, code

    def ask(self):
        """(gRPC code, RetryInfo seconds), (HTTP status, code in its body, RetryInfo seconds, Retry-After)"""
        with GrpcClient(self.grpc) as c:
            r = c.export(request(2))
            grpc = (r.code, r.details()[2] if "grpc-status-details-bin" in r.fields else None)
        with HttpClient(self.http) as h:
            a = h.request(body=request(2))
            code, _, seconds = parse_status(a.body) if a.status != 200 else (0, "", None)
            return grpc, (a.status, code, seconds, a.headers.get("retry-after"))

    def test_every_code(self):
        for code, status in self.HTTP.items():
            with self.subTest(code=code):
                self.backend.fields = [("grpc-status", str(code)), ("grpc-message", "as told")]
                grpc, http = self.ask()
                self.assertEqual((grpc[0], http[0], http[1]), (code, status, code))

    def test_the_hint_is_passed_on(self):
        for code, status in ((8, 429), (14, 503)):
            with self.subTest(code=code):
                self.backend.fields = [("grpc-status", str(code)), ("grpc-message", "busy"),
                                       ("grpc-status-details-bin", status_details(code, b"busy", 7))]
                self.assertEqual(self.ask(), ((code, 7), (status, code, 7, "7")))

    def test_what_may_be_retried_says_when(self):
        """Without a hint of the backend we give our own, except where a retry is useless."""
        self.backend.fields = [("grpc-status", "14"), ("grpc-message", "away")]
        grpc, http = self.ask()
        self.assertEqual((grpc, http), ((14, 1), (503, 14, 1, "1")))
        self.backend.fields = [("grpc-status", "3"), ("grpc-message", "bad")]
        grpc, http = self.ask()
        self.assertEqual((grpc, http), ((3, None), (400, 3, None, None)))


if __name__ == "__main__":
    unittest.main()
