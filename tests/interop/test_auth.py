#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Credentials beside a real Collector: as its clients' server, as its server's client, and the same requests to both."""
import base64
import http.client
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import peers  # noqa: E402
from pki import Pki  # noqa: E402
from test_collector import SPANS, lines  # noqa: E402

SECRET = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
SERVER = {"basicauth": "{htpasswd: {inline: 'joe:%s'}}" % SECRET, "bearertokenauth": "{tokens: [other, secret]}"}
CLIENT = {"basicauth": "{client_auth: {username: joe, password: %s}}", "bearertokenauth": "{token: %s}"}

# user: hash, the right password
USERS = {
    "bcrypt_a": ("$2a$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "secret"),
    "bcrypt_y": (SECRET, "secret"),
    "apr1": ("$apr1$r31.....$G/cElGhD0cboYkZN5h5Ne/", "secret"),
    "apr1_short_salt": ("$apr1$ab$jiiV6N7hIIuIoJbc1hxOE/", "secret"),
    "sha": ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret"),
    "ssha": ("{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0", "secret"),
    "plain": ("pass:word", "pass:word"),
}


def basic(user, password):
    return "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()


class Auth(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        for name in ("otelcol", "telemetrygen"):
            if not peers.peer(name):
                self.skipTest(f"{name} is not in PEERS")
        self.folder = peers.temp_folder()
        self.addCleanup(self.folder.cleanup)
        pki = Pki(self.folder.name)
        pki.authority("ca")
        pki.leaf("server", "ca")
        self.tls = f"tls: {{cert_file: {pki.path('server.pem')}, key_file: {pki.path('server.key')}}}"
        self.ca = f"tls: {{ca_file: {pki.path('ca.pem')}}}"

    def chain(self, kind, extension, password, tailrace_first):
        """telemetrygen -> one (exporter with credentials) -> the other (receiver that asks for them, file)."""
        folder = self.folder.name
        out = f"{folder}/out.json"
        grpc, http_port, entry = peers.free_ports(3)
        protocol = "grpc" if kind == "otlp_grpc" else "http"
        server = f"""
receivers: {{otlp: {{protocols: {{{protocol}: {{endpoint: "127.0.0.1:{grpc}", {self.tls}, auth: {{authenticator: {extension}}}}}}}}}}}
exporters: {{file: {{path: "{out}", flush_interval: 50ms}}}}
extensions: {{{extension}: {SERVER[extension]}}}
service: {{extensions: [{extension}], telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}}}
"""
        endpoint = f"localhost:{grpc}" if kind == "otlp_grpc" else f"https://localhost:{grpc}"
        client = f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{entry}"}}}}}}}}
exporters: {{{kind}: {{endpoint: "{endpoint}", {self.ca}, auth: {{authenticator: {extension}}}, sending_queue: {{enabled: false}}}}}}
extensions: {{{extension}: {CLIENT[extension] % password}}}
service: {{extensions: [{extension}], telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [{kind}]}}}}}}
"""
        os.mkdir(f"{folder}/a")
        os.mkdir(f"{folder}/b")
        if tailrace_first:
            self.addCleanup(peers.start_otelcol(f"{folder}/a", server, grpc).stop)
            self.addCleanup(peers.start_tailrace(f"{folder}/b", client)[0].stop)
        else:
            self.addCleanup(peers.start_tailrace(f"{folder}/a", server)[0].stop)
            self.addCleanup(peers.start_otelcol(f"{folder}/b", client, entry).stop)
        generated = subprocess.run([peers.peer("telemetrygen"), "traces", "--otlp-insecure", "--otlp-endpoint", f"127.0.0.1:{entry}",
                                    "--traces", "40", "--rate", "0", "--child-spans", "5"], capture_output=True, text=True, timeout=120)
        return generated, out

    def test_right(self):
        for tailrace_first in (True, False):
            for kind in ("otlp_grpc", "otlp_http"):
                for extension in SERVER:
                    with self.subTest(kind=kind, extension=extension, tailrace_first=tailrace_first):
                        self.setUp()
                        generated, out = self.chain(kind, extension, "secret", tailrace_first)
                        self.assertEqual(generated.returncode, 0, generated.stderr)
                        peers.wait_for("all spans", lambda: len(lines(out)) == SPANS)
                        self.doCleanups()

    def test_wrong(self):
        for tailrace_first in (True, False):
            for kind in ("otlp_grpc", "otlp_http"):
                with self.subTest(kind=kind, tailrace_first=tailrace_first):
                    self.setUp()
                    generated, out = self.chain(kind, "basicauth", "wrong", tailrace_first)
                    self.assertIn("Unauthenticated", generated.stderr + generated.stdout)
                    self.assertEqual(len(lines(out)), 0)
                    self.doCleanups()

    def ask(self, port, authorization):
        """(status, the text of the Status)"""
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Content-Type": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        c.request("POST", "/v1/traces", "{}", headers)
        r = c.getresponse()
        body = r.read()
        c.close()
        return r.status, json.loads(body).get("message") if r.status != 200 else None

    def both(self, extension, settings, asked):
        answers = []
        for who in ("otelcol", "tailrace"):
            port = peers.free_ports(1)[0]
            text = f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}", auth: {{authenticator: {extension}}}}}}}}}}}
exporters: {{debug: }}
extensions: {{{extension}: {settings}}}
service: {{extensions: [{extension}], telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}
"""
            where = f"{self.folder.name}/{who}-{port}"
            os.mkdir(where)
            daemon = peers.start_otelcol(where, text, port) if who == "otelcol" else peers.start_tailrace(where, text)[0]
            try:
                peers.wait_for("the port", lambda: self.ask(port, None)[0] == 401)
                answers.append([self.ask(port, a) for a in asked])
            finally:
                daemon.stop()
        self.assertEqual(dict(zip(map(str, asked), answers[1])), dict(zip(map(str, asked), answers[0])))
        return answers[1]

    def test_kinds_of_hashes(self):
        settings = '{htpasswd: {inline: "%s"}}' % "\\n".join("%s:%s" % (user, hash_) for user, (hash_, _) in USERS.items())
        asked = [basic(user, password) for user, (_, password) in USERS.items()]
        asked += [basic(user, "wrong") for user in USERS] + [basic(user, "") for user in USERS]
        got = self.both("basicauth", settings.replace("$", "$$"), asked)
        self.assertEqual([status for status, _ in got], [200] * len(USERS) + [401] * 2 * len(USERS))

    def test_texts_of_refusals(self):
        self.both("basicauth", "{htpasswd: {inline: 'joe:pw'}}",
                  [None, "", "Basic", "Basic ", "Bearer x", "basic " + basic("joe", "pw")[6:], "Basic !!", "Basic YWJj", basic("joe", "pw"),
                   basic("joe", "no"), basic("eve", "pw")])
        self.both("bearertokenauth", "{tokens: [a, b]}", [None, "", "Bearer a", "Bearer b", "Bearer c", "bearer a", "a", "Bearer  a"])
        self.both("bearertokenauth", "{token: a, scheme: ''}", [None, "a", "b", "Bearer a"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
