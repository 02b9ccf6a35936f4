# SPDX-License-Identifier: Apache-2.0
"""redact-check: each rule's hits, what is left, the input's formats, what it refuses."""
import json
import os
import subprocess
import tempfile
import unittest

BINARY = os.environ.get("TAILRACE", "build/tailrace")

CONFIG = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:0"}}}}
processors:
  redaction:
    allow_all_keys: true
    blocked_values: ["4[0-9]{12}(?:[0-9]{3})?", "never"]
    blocked_key_patterns: [token]
    ignored_keys: [id]
    allowed_values: ["^ok"]
    hash_function: md5
  redaction/two: {allowed_keys: [card, mail, token, exception.message, service.name, tags, id]}
  batch: {}
exporters: {debug: }
service:
  pipelines:
    traces: {receivers: [otlp], processors: [redaction, batch, redaction/two], exporters: [debug]}
    traces/none: {receivers: [otlp], exporters: [debug]}
"""


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


def request(*attributes, name="op", event=(), status=""):
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": name, "attributes": list(attributes), "status": {"message": status},
            "events": [{"name": "e", "attributes": list(event)}] if event else []}
    return {"resourceSpans": [{"resource": {"attributes": [text("service.name", "shop")]}, "scopeSpans": [{"spans": [span]}]}]}


FULL = request(
    text("card", "card 4111111111111111 of jane.doe@example.org"), text("mytoken", "s3cret"), text("token", "ok fine"),
    text("id", "4111111111111111"), {"key": "n", "value": {"intValue": "7"}},
    {"key": "tags", "value": {"arrayValue": {"values": [{"stringValue": "Bearer abcdefghijkl"}]}}},
    name="pay bob@example.com", event=[text("exception.message", "AKIAIOSFODNN7EXAMPLE")], status="-----BEGIN RSA PRIVATE KEY-----")
CLEAN = request(text("card", "none"), text("id", "5"))


class RedactCheck(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def file(self, data, name):
        path = os.path.join(self.dir.name, name)
        with open(path, "wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)
        return path

    def check(self, data, config=CONFIG, stdin=None, name="in"):
        args = [BINARY, "redact-check", "--config", self.file(config, "c.yaml")]
        if stdin is None:
            args += ["--input", self.file(data, name)]
        r = subprocess.run(args, input=stdin, capture_output=True, timeout=60)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def test_what_rules_hit_and_what_is_left(self):
        code, out, err = self.check(json.dumps(FULL))
        self.assertEqual((code, err), (1, "Error: what looks like secrets is still there\n"))
        first, second = out.split("pipeline traces/none\n")
        lines = [" ".join(line.split()) for line in first.splitlines()]
        self.assertEqual(lines[:2], ["1 requests, 1 spans; processors other than redaction are not run", "pipeline traces"])
        for rule, hits in (
            ("ignored_keys 'id': 1 spared", ["1 span id"]),
            ("allowed_values '^ok': 1 spared", ["1 span token"]),
            ("blocked_key_patterns 'token': 1 masked", ["1 span mytoken"]),
            ("blocked_values '4[0-9]{12}(?:[0-9]{3})?': 1 masked",
             ['1 span card "card HASH of ja*** (20 characters)"']),
            ("blocked_values 'never': nothing", []),
            ("not in allowed_keys: 2 deleted", ["1 span mytoken", "1 span n"]),
            ("authorization value: 1", ['1 span tags "Be*** (19 characters)"']),
            ("AWS key id: 1", ['1 event exception.message "AK*** (20 characters)"']),
            ("private key: 1", ['1 status message "--*** (31 characters)"']),
            ("e-mail address: 2", ['1 span card "ja*** (20 characters)"', '1 span name "bo*** (15 characters)"']),
            ("card number: 1", ['1 span id "41*** (16 characters)"']),
        ):
            at = lines.index(rule)
            found = [" ".join("HASH" if len(w) == 32 else w for w in line.split()) for line in lines[at + 1:at + 1 + len(hits)]]
            self.assertEqual(found, hits, first)
        self.assertIn("no redaction processor", second)
        self.assertIn("card number: 2", second)
        for secret in ("4111111111111111", "jane.doe", "bob@", "AKIAIOSFODNN7", "abcdefghijkl", "s3cret"):
            self.assertNotIn(secret, out)

    def test_sanitizers_are_rules_of_their_own(self):
        config = CONFIG.replace("    hash_function: md5\n", """
    url_sanitizer: {enabled: true, attributes: [url.path]}
    db_sanitizer: {sql: {enabled: true, attributes: [db.statement]}, redis: {enabled: false, attributes: [tags]}}
""")
        data = request(text("url.path", "/users/4711"), text("db.statement", "select 4711"), text("db.system", "sqlite"), text("card", "4111111111111111"),
                       name="GET /users/4711")
        data["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["kind"] = 3
        lines = [" ".join(line.split()) for line in self.check(json.dumps(data), config)[1].splitlines()]
        for rule, hits in (
            ("blocked_values '4[0-9]{12}(?:[0-9]{3})?': 1 masked", ['1 span card "****"']),
            ("blocked_key_patterns 'token': nothing", []),
            ("url_sanitizer: 2 masked", ['1 span url.path', '1 span name "GET /users/*"']),
            ("db_sanitizer: 2 masked", ['1 span db.statement', '1 span name "GET /users/*"']),
        ):
            at = lines.index(rule)
            self.assertEqual(lines[at + 1:at + 1 + len(hits)], hits, "\n".join(lines))
        self.assertEqual(sum("sanitizer" in line for line in lines), 2)

    def test_nothing_left(self):
        code, out, err = self.check(json.dumps(CLEAN))
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.count("still there, by what the detectors know\n    nothing\n"), 2)

    def test_formats(self):
        spans = os.path.join(self.dir.name, "spans")
        subprocess.run([BINARY, "generate", "--traces", "20", "--file", spans], check=True, capture_output=True, timeout=60)
        with open(spans, "rb") as f:
            prefixed = f.read()
        n = int.from_bytes(prefixed[:4], "big")
        one = self.check(prefixed[4:4 + n])[1].splitlines()[0]
        self.assertIn("1 requests, ", one)
        self.assertRegex(self.check(prefixed)[1].splitlines()[0], r"^([2-9]|\d\d+) requests, \d{2,} spans;")
        lines = json.dumps(CLEAN) + "\n" + json.dumps(FULL) + "\n"
        self.assertIn("2 requests, 2 spans", self.check(lines)[1])
        self.assertIn("1 requests, 1 spans", self.check(json.dumps(CLEAN, indent=2))[1])
        self.assertIn("2 requests, 2 spans", self.check(None, stdin=lines.encode())[1])
        self.assertIn("0 spans", self.check("")[1])

    def test_refusals(self):
        for data, said in (("{}\nx", "line 2"), ("{\"resourceSpans\": 5}", "Error: "), (b"\xff\xff\xff", "request 1")):
            code, out, err = self.check(data)
            self.assertEqual((code, out), (1, ""), data)
            self.assertIn(said, err)
        r = subprocess.run([BINARY, "redact-check", "--config", self.file(CONFIG, "c.yaml"), "--input", "/nonexistent"], capture_output=True,
                           text=True, timeout=60)
        self.assertEqual((r.returncode, r.stderr), (1, "Error: open /nonexistent: No such file or directory\n"))
        code, _, err = self.check("{}", config=CONFIG.replace("blocked_values", "blocked_valeus"))
        self.assertEqual(code, 1)
        self.assertIn("blocked_valeus", err)


if __name__ == "__main__":
    unittest.main()
