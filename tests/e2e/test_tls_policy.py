# SPDX-License-Identifier: Apache-2.0
"""What a receiver's TLS agrees to, asked by a program that is not ours (openssl s_client): versions, ciphers, groups,
and what it must never do. Each answer is compared with the whole list, so anything more is a failure too.
"""
import os
import re
import subprocess
import tempfile
import unittest

from pki import Pki
from tailrace import Daemon

VERSIONS = {"1.0": "-tls1", "1.1": "-tls1_1", "1.2": "-tls1_2", "1.3": "-tls1_3"}
ECDSA = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
         "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA"}
GROUPS = {"X25519": "X25519", "P256": "P-256", "P384": "P-384", "P521": "P-521"}
TRIED_GROUPS = list(GROUPS.values()) + ["X448", "ffdhe2048"]
CONFIG = """
receivers: {%s}
exporters: {nop: }
service: {pipelines: {traces: {receivers: [%s], exporters: [nop]}}}
"""
RECEIVER = """
  otlp/%(name)s:
    protocols: {grpc: {endpoint: '127.0.0.1:0', tls: {cert_file: %(dir)s/server.pem, key_file: %(dir)s/server.key%(extra)s}}}"""


def setUpModule():
    global DIR
    DIR = tempfile.TemporaryDirectory()
    pki = Pki(DIR.name)
    pki.authority("ca")
    pki.leaf("server", "ca")


def tearDownModule():
    DIR.cleanup()


class Policy(unittest.TestCase):
    def start(self, rules):
        """One receiver for each of {name: keys of its tls section}."""
        parts = [RECEIVER % {"name": n, "dir": DIR.name, "extra": ", " + keys if keys else ""} for n, keys in rules.items()]
        config = CONFIG % ("".join(parts) + "\n", ", ".join("otlp/" + n for n in rules))
        config = config.replace("receivers: {\n", "receivers:\n").replace("\n}", "\n")
        self.d = Daemon(config, ["--workers", "1"]).wait_ready()
        self.addCleanup(self.d.__exit__)
        return {n: self.d.port("Starting GRPC server", **{"otelcol.component.id": "otlp/" + n}) for n in rules}

    def ask(self, port, *args, say=b""):
        """(whether a handshake was made, all that s_client said)."""
        command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-CAfile", DIR.name + "/ca.pem", *args]
        r = subprocess.run(command, input=say, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        text = r.stdout.decode("utf-8", "replace")
        self.assertNotIn("Unknown option", text)
        return re.search(r"Cipher is (?!\(NONE\))\S+", text) is not None, text

    def test_versions(self):
        rules = {"usual": "", "newest": "min_version: '1.3'", "older": "max_version: '1.2'",
                 "old": "min_version: '1.0', max_version: '1.1'", "all": "min_version: '1.0'", "one": "min_version: '1.2', max_version: '1.2'"}
        takes = {"usual": {"1.2", "1.3"}, "newest": {"1.3"}, "older": {"1.2"}, "old": {"1.0", "1.1"}, "all": set(VERSIONS), "one": {"1.2"}}
        for name, port in self.start(rules).items():
            taken = {v for v, option in VERSIONS.items() if self.ask(port, option, "-cipher", "ALL:@SECLEVEL=0")[0]}
            self.assertEqual(taken, takes[name], name)
        self.assertEqual(self.d.stop(), 0)

    def test_ciphers(self):
        """Every cipher that the client's OpenSSL knows, one by one."""
        known = subprocess.run(["openssl", "ciphers", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"], stdout=subprocess.PIPE,
                               check=True, timeout=60).stdout.decode().strip().split(":")
        known = {c for c in known if not c.startswith("TLS_")}
        self.assertGreater(len(known), 40)
        chosen = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
        ports = self.start({"usual": "", "one": "cipher_suites: [%s]" % chosen})
        for name, expected in (("usual", ECDSA), ("one", {"ECDHE-ECDSA-AES256-GCM-SHA384"})):
            # all but the good ones at once: nothing in common
            made, text = self.ask(ports[name], "-tls1_2", "-cipher", ":".join(sorted(known - expected)) + ":@SECLEVEL=0")
            self.assertFalse(made, text)
            for cipher in expected:
                made, text = self.ask(ports[name], "-tls1_2", "-cipher", cipher + ":@SECLEVEL=0")
                self.assertTrue(made, text)
                self.assertIn("Cipher is " + cipher, text)
        made, text = self.ask(ports["one"], "-tls1_3")  # those of 1.3 are not to be chosen
        self.assertTrue(made, text)
        # the server's order counts
        made, text = self.ask(ports["usual"], "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assertIn("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256", text)
        self.assertEqual(self.d.stop(), 0)

    def test_groups(self):
        rules = {"two": "curve_preferences: [P384, X25519]", "one": "curve_preferences: [P521]"}
        takes = {"two": {"P-384", "X25519"}, "one": {"P-521"}}
        for name, port in self.start(rules).items():
            for version, besides in (("-tls1_2", ":P-256"), ("-tls1_3", "")):  # up to 1.2 a client must know the certificate's
                taken = {g for g in TRIED_GROUPS if self.ask(port, version, "-groups", g + besides)[0]}
                self.assertEqual(taken, takes[name], (name, version))
        self.assertEqual(self.d.stop(), 0)

    def test_what_it_must_never_do(self):
        port = self.start({"usual": ""})["usual"]
        made, text = self.ask(port, "-tls1_2", "-legacy_renegotiation", say=b"R\n")
        self.assertTrue(made, text)
        self.assertIn("Secure Renegotiation IS supported", text)
        self.assertIn("RENEGOTIATING", text)
        self.assertRegex(text, "no renegotiation|handshake failure|alert")  # asked for, and refused
        for version in ("-tls1_2", "-tls1_3"):
            made, text = self.ask(port, version, "-comp")
            self.assertTrue(made, text)
            self.assertIn("Compression: NONE", text)
        made, text = self.ask(port, "-tls1_2", "-fallback_scsv")  # a downgrade that somebody forced
        self.assertFalse(made, text)
        self.assertIn("inappropriate fallback", text)
        made, text = self.ask(port, "-tls1_3")
        self.assertNotRegex(text, r"Max Early Data: [1-9]")  # what could be played again
        for cipher in ("aNULL", "eNULL", "EXPORT", "RC4", "3DES", "kRSA", "DHE", "PSK", "MD5"):
            made, text = self.ask(port, "-tls1_2", "-cipher", cipher + ":@SECLEVEL=0")
            self.assertFalse(made, (cipher, text))
        self.assertEqual(self.d.stop(), 0)


if __name__ == "__main__":
    unittest.main()
