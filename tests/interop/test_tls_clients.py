#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS with clients that are not ours: gRPC for Python, for Node.js, and for Go (telemetrygen). Each meets good and bad
certificates on both sides; what may pass passes, nothing else does, and a rotated certificate is the one they see."""
import importlib.util
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import peers  # noqa: E402
from pki import Pki  # noqa: E402
from tailrace import Daemon, wait_for  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
NODE = os.path.join(os.environ.get("INTEROP_NODE", ""), "node_modules")
RECEIVER = "  otlp/%s: {protocols: {grpc: {endpoint: '127.0.0.1:0', tls: {cert_file: %s, key_file: %s%s}}}}\n"
# receiver, the client's authority and certificate, whether that may pass
CASES = [("good", "ca", None, True), ("good", "other", None, False), ("expired", "ca", None, False), ("wrongname", "ca", None, False),
         ("mutual", "ca", "client", True), ("mutual", "ca", None, False), ("mutual", "ca", "stranger", False),
         ("mutual", "ca", "expired", False)]


def field(number, body):
    return bytes([number << 3 | 2, len(body)]) + body


def request():
    """One span in its envelopes."""
    return field(1, field(2, field(2, field(1, os.urandom(16)) + field(2, os.urandom(8)) + field(5, b"GET /"))))


def python(port, folder, ca, leaf):
    own = [f"{folder}/{leaf}.pem", f"{folder}/{leaf}.key"] if leaf else []
    return [sys.executable, f"{HERE}/clients/grpc_tls.py", str(port), f"{folder}/body", f"{folder}/{ca}.pem", *own]


def node(port, folder, ca, leaf):
    return ["node", f"{HERE}/clients/grpc_tls.js"] + python(port, folder, ca, leaf)[2:]


def go(port, folder, ca, leaf):
    own = ["--mtls", "--client-cert", f"{folder}/{leaf}.pem", "--client-key", f"{folder}/{leaf}.key"] if leaf else []
    return [peers.peer("telemetrygen"), "traces", "--otlp-endpoint", f"localhost:{port}", "--ca-cert", f"{folder}/{ca}.pem", "--traces", "1",
            "--timeout", "5s", *own]


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = peers.temp_folder()
        f = cls.folder.name
        cls.pki = pki = Pki(f)
        for name in ("ca", "other"):
            pki.authority(name)
        pki.leaf("good", "ca")
        pki.leaf("wrongname", "ca", names="DNS:elsewhere.example")
        pki.leaf("expired", "ca", days=-1)
        pki.leaf("mutual", "ca")
        pki.leaf("next", "ca")
        pki.leaf("client", "ca", names="DNS:client")
        pki.leaf("stranger", "other", names="DNS:client")
        with open(f"{f}/body", "wb") as out:
            out.write(request())
        extra = {"mutual": f", client_ca_file: {f}/ca.pem", "good": ", reload_interval: 10ms"}
        names = ("good", "expired", "wrongname", "mutual")
        config = "receivers:\n" + "".join(RECEIVER % (n, pki.path(n + ".pem"), pki.path(n + ".key"), extra.get(n, "")) for n in names)
        cls.d = Daemon(config + "exporters: {nop: }\nservice: {pipelines: {traces: {receivers: [%s], exporters: [nop]}}}\n"
                       % ", ".join("otlp/" + n for n in names)).wait_ready()
        cls.ports = {n: cls.d.port("Starting GRPC server", **{"otelcol.component.id": "otlp/" + n}) for n in names}

    @classmethod
    def tearDownClass(cls):
        code = cls.d.stop()
        cls.d.__exit__()
        cls.folder.cleanup()
        assert code == 0, code

    def accepted(self, name):
        return self.d.metrics().get('otelcol_receiver_accepted_spans{receiver="otlp/%s",transport="grpc"}' % name, 0)

    def passes(self, client, name, ca, leaf):
        before = self.accepted(name)
        env = dict(os.environ, NODE_PATH=NODE)
        r = subprocess.run(client(self.ports[name], self.folder.name, ca, leaf), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           env=env, timeout=120, check=False)
        return self.accepted(name) > before, r.stdout.decode("utf-8", "replace")[-2000:]

    def meets_all(self, client):
        for name, ca, leaf, expected in CASES:
            with self.subTest(receiver=name, ca=ca, leaf=leaf):
                passed, text = self.passes(client, name, ca, leaf)
                self.assertEqual(passed, expected, text)
        self.rotates(client)

    def rotates(self, client):
        """The server's certificate comes from another authority, and then from the first again."""
        f = self.folder.name
        self.pki.leaf("rotated", "other")
        for source, ca, gone in (("rotated", "other", "ca"), ("next", "ca", "other")):
            for end in (".pem", ".key"):
                shutil.copy(f"{f}/{source}{end}", f"{f}/good{end}")
            wait_for(lambda: self.passes(client, "good", ca, None)[0], "the rotated certificate to be seen")
            self.assertFalse(self.passes(client, "good", gone, None)[0])

    def test_python(self):
        if not importlib.util.find_spec("grpc"):
            self.skipTest("no gRPC for Python")
        self.meets_all(python)

    def test_node(self):
        if not shutil.which("node") or not os.path.isdir(NODE + "/@grpc/grpc-js"):
            self.skipTest("no gRPC for Node.js")
        self.meets_all(node)

    def test_go(self):
        if not peers.peer("telemetrygen"):
            self.skipTest("telemetrygen is not in PEERS")
        self.meets_all(go)


if __name__ == "__main__":
    unittest.main()
