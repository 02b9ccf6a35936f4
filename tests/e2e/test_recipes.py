# SPDX-License-Identifier: Apache-2.0
"""Every configuration of docs/recipes.md runs, and does what the page says of it: spans go in over HTTP, and what leaves
is read from a file after the stop. Only addresses are replaced."""
import hashlib
import json
import os
import re
import tempfile
import unittest
import urllib.request

import yaml

from tailrace import DEADLINE_S, Daemon, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CARD, MAIL, JWT = "4111111111111111", "jane.doe@shop.example", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
SECRETS = (CARD, MAIL, JWT, "hunter2", "Bearer abcdefgh12345678")
ERROR = {"code": 2, "message": "no"}


def recipes():
    """(heading, configuration) of each block, in the page's order."""
    with open(os.path.join(ROOT, "docs", "recipes.md"), encoding="utf-8") as f:
        parts = re.split(r"^## (.*)$", f.read(), flags=re.M)
    return [(title, block) for title, text in zip(parts[1::2], parts[2::2])
            for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S)]


def value(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, list):
        return {"arrayValue": {"values": [value(x) for x in v]}}
    if isinstance(v, dict):
        return {"kvlistValue": {"values": pairs(v)}}
    return {"stringValue": v}


def pairs(attributes):
    return [{"key": k, "value": value(v)} for k, v in attributes.items()]


def plain(v):
    kind, x = next(iter(v.items()))
    if kind == "intValue":
        return int(x)
    if kind == "arrayValue":
        return [plain(y) for y in x.get("values", [])]
    if kind == "kvlistValue":
        return unpaired(x.get("values", []))
    return x


def unpaired(attributes):
    return {a["key"]: plain(a["value"]) for a in attributes}


def span(name="op", attributes=None, number=1, duration_ms=5, **more):
    trace = hashlib.md5(b"%d" % number).hexdigest()
    start = 1700000000000000000
    return dict({"traceId": trace, "spanId": trace[:16], "name": name, "kind": 2, "startTimeUnixNano": str(start),
                 "endTimeUnixNano": str(start + duration_ms * 1000000), "attributes": pairs(attributes or {})}, **more)


def adapted(block, folder):
    """The recipe with addresses and files of this test."""
    config = yaml.safe_load(block)
    config["receivers"] = {"otlp": {"protocols": {"http": {"endpoint": "127.0.0.1:0"}}}}
    config["exporters"] = {"file": {"path": os.path.join(folder, "out.json")}}
    config["service"]["pipelines"]["traces"]["exporters"] = ["file"]
    for extension in config.get("extensions", {}).values():
        extension["directory"] = os.path.join(folder, "storage")
    return config


def send(d, spans, resource):
    request = {"resourceSpans": [{"resource": {"attributes": pairs(resource or {"service.name": "shop"})}, "scopeSpans": [{"spans": spans}]}]}
    post = urllib.request.Request("http://127.0.0.1:%d/v1/traces" % d.port("Starting HTTP server"), json.dumps(request).encode(),
                                  {"Content-Type": "application/json"})
    with urllib.request.urlopen(post, timeout=DEADLINE_S) as answer:
        assert answer.status == 200


def written(folder):
    """(spans, their attributes as a dict; attributes of the last resource; the text of the file)"""
    path, text = os.path.join(folder, "out.json"), ""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            text = f.read()
    got, attributes = [], {}
    for line in text.splitlines():
        for rs in json.loads(line)["resourceSpans"]:
            attributes = unpaired(rs["resource"].get("attributes", []))
            got += [dict(s, attributes=unpaired(s.get("attributes", []))) for ss in rs["scopeSpans"] for s in ss["spans"]]
    return got, attributes, text


def run(block, spans, resource=None):
    """What comes out until the stop, see written()."""
    with tempfile.TemporaryDirectory() as folder:
        with Daemon(yaml.safe_dump(adapted(block, folder)), ["--workers", "1"]) as d:
            d.wait_ready()
            send(d, spans, resource)
            assert d.stop() == 0, d.log()
        return written(folder)


def names(spans):
    return [s["name"] for s in spans]


class Recipes(unittest.TestCase):
    def personal_data(self, block):
        spans = [span("GET /pay/" + CARD, {
            "user.password": "hunter2", "note": "card %s of %s" % (CARD, MAIL), "user.id": "u1", "url.query": "q=" + MAIL,
            "http.request.header.x-a": "1", "headers": ["a", "Bearer abcdefgh12345678"], "deep": {"jwt": JWT, "n": 5},
            "http.route": "/pay", "url.path": "/users/4711/cart"}, events=[{"name": "mail to " + MAIL, "attributes": pairs({"api_key": "hunter2"})}],
            status={"code": 2, "message": "token " + JWT}),
            span("SELECT 7", {"db.system.name": "postgresql", "db.query.text": "SELECT a FROM b WHERE c = 'hunter2' AND d = 7"})]
        got, _, text = run(block, spans)
        for secret in SECRETS:
            self.assertNotIn(secret, text)
        a = got[0]["attributes"]
        self.assertEqual((got[0]["name"], got[0]["status"]["message"]), ("GET /pay/*", "token ****"))
        self.assertEqual((a["user.password"], a["note"], a["http.route"]), ("****", "card **** of ****", "/pay"))
        self.assertEqual((a["headers"], a["deep"]), (["a", "****"], {"jwt": "****", "n": 5}))
        self.assertEqual(a["user.id"], hashlib.sha256(b"u1").hexdigest())
        self.assertFalse({"url.query", "http.request.header.x-a"} & set(a))
        self.assertEqual((a["redaction.masked.count"], a["url.path"]), (6, "/users/*/cart"))
        self.assertEqual((got[1]["name"], got[1]["attributes"]["db.query.text"]), ("SELECT ?", "SELECT a FROM b WHERE c = ? AND d = ?"))

    def only_the_harmless(self, block):
        got, resource, _ = run(block, [span("op", {"http.route": "/pay", "user.email": MAIL, "error.type": "timeout"})],
                               {"service.name": "shop", "host.ip": "10.0.0.1"})
        self.assertEqual(got[0]["attributes"], {"http.route": "/pay", "error.type": "timeout", "redaction.redacted.keys": "user.email",
                                                "redaction.redacted.count": 1})
        self.assertEqual(resource, {"service.name": "shop", "redaction.redacted.keys": "host.ip", "redaction.redacted.count": 1})

    def health_checks(self, block):
        got, _, _ = run(block, [
            span("probe", {"url.path": "/healthz"}), span("old probe", {"http.target": "/livez"}),
            span("grpc.health.v1.Health/Check"), span("failed probe", {"url.path": "/readyz"}, status=ERROR),
            span("work", {"url.path": "/healthz/deep"}), span("more work")])
        self.assertEqual(names(got), ["failed probe", "work", "more work"])

    def statements(self, block):
        got, _, _ = run(block, [span("/users/42/carts/7", {
            "http.method": "GET", "url.full": "https://shop.example/?token=abc&x=1", "enduser.id": "jane", "long": "x" * 5000}),
            span("plain", {"k": "v"})])
        self.assertEqual(names(got), ["/users/{id}/carts/{id}", "plain"])
        self.assertEqual(got[0]["attributes"], {
            "http.request.method": "GET", "url.full": "https://shop.example/?token=****&x=1", "long": "x" * 4096,
            "enduser.id": "user(%s)" % hashlib.sha256(b"jane").hexdigest()})
        self.assertEqual(got[1]["attributes"], {"k": "v"})

    def groups_of_statements(self, block):
        got, resource, _ = run(block, [
            span("failed", {"http.response.status_code": 503}), span("fine", {"http.response.status_code": 200}),
            span("threw", {}, events=[{"name": "exception", "attributes": pairs({"exception.stacktrace": "x" * 20000})}])],
            {"service.name": "shop", "process.pid": 7})
        self.assertEqual(resource, {"service.name": "shop", "deployment.environment.name": "production"})
        self.assertEqual([s.get("status", {}).get("code", 0) for s in got], [2, 0, 2])
        self.assertEqual(got[2]["events"][0].get("attributes", []), [])

    def lower_cost(self, block):
        spans = [span("error", {"exception.stacktrace": "x", "messaging.kafka.body": "x", "k": "v"}, 1000, status=ERROR),
                 span("slow", {}, 1001, 2500)]
        got, _, _ = run(block, spans + [span("fine", {}, i) for i in range(400)])
        self.assertEqual(sorted(n for n in names(got) if n != "fine"), ["error", "slow"])
        self.assertTrue(3 < names(got).count("fine") < 60, len(got)) # the choice hangs on the ids, which are always the same
        self.assertEqual([s["attributes"] for s in got if s["name"] == "error"], [{"k": "v"}])

    def survives_restarts(self, block):
        with tempfile.TemporaryDirectory() as folder:
            config = adapted(block, folder)
            with Daemon(yaml.safe_dump(config), ["--workers", "1"]) as d:
                d.wait_ready()
                send(d, [span("error", {}, 1000, status=ERROR)] + [span("fine", {}, i) for i in range(100)], None)
                self.assertEqual(d.stop(), 0)
            self.assertEqual(written(folder)[0], []) # nothing is decided early
            config["processors"]["tail_sampling"]["decision_wait"] = "1s"
            with Daemon(yaml.safe_dump(config), ["--workers", "1"]) as d:
                d.wait_ready()
                wait_for(lambda: "error" in names(written(folder)[0]), lambda: "the span of the first run:\n" + d.log())

    def at_the_head(self, block):
        got, _, _ = run(block, [span("wanted", {"sampling.priority": 1}, 1000)] + [span("fine", {}, i) for i in range(400)])
        self.assertEqual(names(got).count("wanted"), 1)
        self.assertTrue(15 < names(got).count("fine") < 90, len(got))
        self.assertEqual({s["traceState"] for s in got if s["name"] == "fine"}, {"ot=th:e666"})

    def ids_in_names(self, block):
        got, _, _ = run(block, [span("/users/42/carts/7"), span("/users/43"), span("/items/7")])
        self.assertEqual(names(got), ["/users/{user_id}/carts/{cart_id}", "/users/{user_id}", "/items/7"])
        self.assertEqual([s["attributes"] for s in got], [{"user_id": "42", "cart_id": "7"}, {"user_id": "43"}, {}])

    def test_all_of_the_page(self):
        tests = [("Keep personal data and secrets out of the backend", self.personal_data),
                 ("Only what is known to be harmless", self.only_the_harmless),
                 ("Health checks and other noise", self.health_checks),
                 ("Rename, tidy and mask with statements", self.statements),
                 ("Rename, tidy and mask with statements", self.groups_of_statements),
                 ("Lower cost: keep what matters, and a share of the rest", self.lower_cost),
                 ("Sampling that survives restarts", self.survives_restarts),
                 ("Sampling at the head", self.at_the_head),
                 ("Names with ids in them", self.ids_in_names)]
        page = recipes()
        self.assertEqual([title for title, _ in page], [title for title, _ in tests], "each recipe has its test here")
        for (title, block), (_, test) in zip(page, tests):
            with self.subTest(title):
                test(block)


if __name__ == "__main__":
    unittest.main()
