# SPDX-License-Identifier: Apache-2.0
"""Who may come in, and what exporters show: basicauth, bearertokenauth, headers_setter, oauth2client."""
import base64
import http.server
import json
import os
import signal
import subprocess
import tempfile
import threading
import unittest
import urllib.parse

import otlp_client
from otlp_client import GrpcClient, HttpClient, request
from otlp_http import Backend, send
from pki import Pki
from tailrace import Daemon, wait_for

BCRYPT = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"  # secret
UNAUTHENTICATED = 16


def basic(user, password):
    return "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()


def config(extension, settings, auth="", more=""):
    """An otlp receiver whose ports ask this extension."""
    return """
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0', auth: {authenticator: %s}}
      http: {endpoint: '127.0.0.1:0', auth: {authenticator: %s%s}}
exporters: {nop: }
extensions: {%s: %s}
%s
service: {extensions: [%s], pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}
""" % (extension, extension, auth, extension, settings, more, extension)


def replace(path, text):
    """In place of the old file, in one step."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)


class Ports:
    """Both ports of a daemon."""

    def __init__(self, daemon):
        daemon.wait_ready()
        self.daemon = daemon
        self.grpc, self.http = daemon.port("Starting GRPC server"), daemon.port("Starting HTTP server")

    def by_grpc(self, value, header="authorization"):
        """(code, text) of a call."""
        with GrpcClient(self.grpc) as c:
            reply = c.export(request(), extra=[(header, value)] if value is not None else [])
            return reply.code, reply.text

    def by_http(self, value, header="Authorization", **kw):
        with HttpClient(self.http) as c:
            return c.request(body=request(), headers={header: value} if value is not None else {}, **kw)


class Server(unittest.TestCase):
    def refused(self, ports, value, text, challenge, header="authorization"):
        code, said = ports.by_grpc(value, header)
        self.assertEqual((code, said), (UNAUTHENTICATED, text))
        r = ports.by_http(value, header)
        self.assertEqual((r.status, otlp_client.parse_status(r.body)), (401, (UNAUTHENTICATED, text, None)))
        self.assertEqual(r.headers["www-authenticate"], challenge)
        self.assertEqual(r.headers["content-type"], "application/x-protobuf")

    def accepted(self, ports, value, header="authorization"):
        self.assertEqual(ports.by_grpc(value, header)[0], 0)
        self.assertEqual(ports.by_http(value, header).status, 200)

    def test_basic(self):
        with Daemon(config("basicauth", "{htpasswd: {inline: \"joe:pw\\nann:%s\"}}" % BCRYPT)) as d:
            ports = Ports(d)
            for user, password in (("joe", "pw"), ("ann", "secret"), ("ann", "secret")):
                self.accepted(ports, basic(user, password))
            challenge = 'Basic realm="tailrace"'
            self.refused(ports, None, "no basic auth provided", challenge)
            self.refused(ports, basic("joe", "secret"), "invalid credentials", challenge)
            self.refused(ports, basic("ann", "pw"), "invalid credentials", challenge)
            self.refused(ports, basic("eve", "pw"), "invalid credentials", challenge)
            self.refused(ports, "Bearer abc", "invalid authorization scheme prefix", challenge)
            self.refused(ports, "Basic abc", "invalid authorization format", challenge)
            page = d.metrics()
            for transport in ("grpc", "http"):
                self.assertEqual(page['tailrace_receiver_refused_requests{reason="auth",receiver="otlp",transport="%s"}' % transport], 6)
            self.assertEqual(d.ledger()["accepted"], 6)
            for secret in ("secret", BCRYPT, basic("ann", "secret")[6:]):
                self.assertNotIn(secret, d.log())
            self.assertEqual(d.stop(), 0)

    def test_bearer_file(self):
        with tempfile.TemporaryDirectory() as tmp:
            path = os.path.join(tmp, "token")
            replace(path, "one\ntwo\n")
            with Daemon(config("bearertokenauth", "{filename: '%s'}" % path)) as d:
                ports = Ports(d)
                self.accepted(ports, "Bearer one")
                self.accepted(ports, "Bearer two")
                wrong = "provided authorization does not match expected scheme or token"
                self.refused(ports, "Bearer three", wrong, "Bearer")
                self.refused(ports, None, "missing or empty authorization header: Authorization", "Bearer")
                replace(path, "three\n")
                wait_for(lambda: ports.by_grpc("Bearer three")[0] == 0, "the new token")
                self.refused(ports, "Bearer one", wrong, "Bearer")
                replace(path, "\n")
                d.wait_log("The token file cannot be used, the tokens stay")
                self.accepted(ports, "Bearer three")
                os.unlink(path)
                replace(path, "four\n")
                wait_for(lambda: ports.by_grpc("Bearer four")[0] == 0, "the new token")
                self.assertNotIn("three", d.log())
                self.assertEqual(d.stop(), 0)

    def test_json_and_query(self):
        with Daemon(config("bearertokenauth", "{token: t%, header: X-Key, scheme: ''}",
                           ", request_params: [x-key]")) as d:
            ports = Ports(d)
            r = ports.by_http(None, content_type="application/json")
            self.assertEqual((r.status, r.headers["content-type"]), (401, "application/json"))
            self.assertIn(b'"code":16', r.body.replace(b" ", b""))
            self.assertEqual(ports.by_http(None, path="/v1/traces?a=b&x-key=t%25&c").status, 200)
            self.assertEqual(ports.by_http(None, path="/v1/traces?y-key=t%25").status, 401)
            self.assertEqual(ports.by_http("wrong", "x-key", path="/v1/traces?x-key=t%25").status, 200)
            # credentials come before everything else that could be said
            self.assertEqual(ports.by_http(None, path="/nothing").status, 401)
            self.assertEqual(ports.by_http("t%", "x-key", path="/nothing").status, 404)
            self.assertEqual(d.stop(), 0)

    def test_large_bodies_and_continue(self):
        """A body that the client may not send is not asked for; one that has to wait for the verdict comes whole."""
        with Daemon(config("basicauth", "{htpasswd: {inline: 'ann:%s'}}" % BCRYPT)) as d:
            ports = Ports(d)
            body = request(20, size=50000)
            head = ("POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nExpect: 100-continue\r\n"
                    "Authorization: %s\r\nContent-Length: %d\r\n\r\n")
            with HttpClient(ports.http) as c:
                c.send((head % (basic("ann", "wrong"), len(body))).encode())
                self.assertEqual(c.reply().status, 401)
            with HttpClient(ports.http) as c:
                c.send((head % (basic("ann", "secret"), len(body))).encode())
                self.assertEqual(c.reply().status, 100)
                c.send(body)
                self.assertEqual(c.reply().status, 200)
            with GrpcClient(ports.grpc) as c:
                self.assertEqual(c.export(body, extra=[("authorization", basic("ann", "secret"))]).code, 0)
                self.assertEqual(c.export(body, extra=[("authorization", basic("ann", "wrong"))]).code, UNAUTHENTICATED)
                self.assertEqual(c.export(body, extra=[("authorization", basic("ann", "secret"))]).code, 0)
            self.assertEqual(d.stop(), 0)

    def test_bad_clients_are_sent_away(self):
        with Daemon(config("bearertokenauth", "{token: good}")) as d:
            ports = Ports(d)
            with GrpcClient(ports.grpc) as c:
                for _ in range(16):
                    self.assertEqual(c.export(request(), extra=[("authorization", "Bearer bad")]).code, UNAUTHENTICATED)
                c.wait_closed()
                self.assertEqual(c.goaway.error_code, 11)
            with HttpClient(ports.http) as c:
                for _ in range(16):
                    r = c.request(body=request())
                    self.assertEqual(r.status, 401)
                self.assertEqual(r.headers.get("connection"), "close")
                self.assertTrue(c.at_end())
            with GrpcClient(ports.grpc) as c:  # now and then a mistake is none
                for i in range(40):
                    value = "Bearer good" if i % 8 == 0 else "Bearer bad"
                    self.assertEqual(c.export(request(), extra=[("authorization", value)]).code, 0 if i % 8 == 0 else UNAUTHENTICATED)
            self.assertEqual(d.stop(), 0)

    def test_clients_that_leave_before_the_verdict(self):
        with Daemon(config("basicauth", "{htpasswd: {inline: 'ann:%s'}}" % BCRYPT.replace("$04$", "$11$"))) as d:
            ports = Ports(d)
            for i in range(6):
                with GrpcClient(ports.grpc) as c:
                    c.headers([("authorization", basic("ann", "guess %d" % i))])
                with HttpClient(ports.http) as c:
                    c.send(("POST /v1/traces HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 5\r\n\r\n" %
                            basic("ann", "other %d" % i)).encode())
            self.assertEqual(ports.by_grpc(None)[0], UNAUTHENTICATED)  # nobody waits for the thread
            self.assertEqual(d.stop(), 0)


def sender(exporter, extension, settings, more=""):
    return """
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0', include_metadata: true%s}}}}
exporters: {%s}
extensions: {%s: %s}
service: {extensions: [%s], pipelines: {traces: {receivers: [otlp], exporters: [%s]}}}
""" % (more, exporter, extension, settings, extension, exporter.split(":")[0])


class Client(unittest.TestCase):
    def shown(self, backend, d, name="authorization"):
        """What the exporter shows for one more request."""
        before = backend.count()
        self.assertEqual(send(d.port("Starting HTTP server"), before, 1), 200)
        wait_for(lambda: backend.count() > before, lambda: "the span at the backend, log:\n" + d.log())
        with backend.lock:
            return backend.headers[-1].get(name)

    def test_basic(self):
        with tempfile.TemporaryDirectory() as tmp, Backend() as backend:
            path = os.path.join(tmp, "password")
            replace(path, "s3cret pass\n")
            exporter = "otlp_http: {endpoint: '%s', auth: {authenticator: basicauth}, headers: {authorization: old}}" % backend.url
            with Daemon(sender(exporter, "basicauth", "{client_auth: {username: joe, password_file: '%s'}}" % path)) as d:
                d.wait_ready()
                self.assertEqual(self.shown(backend, d), basic("joe", "s3cret pass"))
                replace(path, "new")
                d.wait_log("Credentials read again")
                self.assertEqual(self.shown(backend, d), basic("joe", "new"))
                self.assertNotIn("s3cret", d.log())
                self.assertEqual(d.stop(), 0)

    def test_bearer(self):
        with Backend() as backend:
            exporter = "otlp_http: {endpoint: '%s', auth: {authenticator: bearertokenauth}}" % backend.url
            with Daemon(sender(exporter, "bearertokenauth", "{tokens: [first, second], scheme: Token, header: X-Api-Key}")) as d:
                d.wait_ready()
                self.assertEqual(self.shown(backend, d, "x-api-key"), "Token first")
                self.assertNotIn("first", d.log())
                self.assertEqual(d.stop(), 0)

    def test_grpc(self):
        """From daemon to daemon over TLS, with the right credentials and with wrong ones."""
        with tempfile.TemporaryDirectory() as tmp:
            pki = Pki(tmp)
            pki.authority("ca")
            pki.leaf("server", "ca")
            receiver = "{endpoint: '127.0.0.1:0', tls: {cert_file: %s, key_file: %s}, auth: {authenticator: basicauth}}" % (
                pki.path("server.pem"), pki.path("server.key"))
            with Daemon("""
receivers: {otlp: {protocols: {grpc: %s}}}
processors: {attributes: {actions: [{key: who, from_context: auth.username, action: insert}]}}
exporters: {debug: {verbosity: detailed}}
extensions: {basicauth: {htpasswd: {inline: 'ann:%s'}}}
service: {extensions: [basicauth], pipelines: {traces: {receivers: [otlp], processors: [attributes], exporters: [debug]}}}
""" % (receiver, BCRYPT)) as server:
                server.wait_ready()
                port = server.port("Starting GRPC server")
                exporter = "otlp_grpc: {endpoint: '127.0.0.1:%d', tls: {ca_file: %s}, auth: {authenticator: basicauth}}" % (
                    port, pki.path("ca.pem"))
                for password, series in (("secret", "sent_spans"), ("wrong", "send_failed_spans")):
                    with Daemon(sender(exporter, "basicauth", "{client_auth: {username: ann, password: %s}}" % password)) as d:
                        d.wait_ready()
                        self.assertEqual(send(d.port("Starting HTTP server"), 1, 3), 200)
                        name = "tailrace_pipeline_exported_spans" if password == "secret" else "tailrace_pipeline_dropped_spans"
                        wait_for(lambda: any(k.startswith(name) and v == 3 for k, v in d.metrics().items()), d.log)
                        self.assertEqual(d.stop(), 0)
                self.assertIn("who: Str(ann)", server.log())
                self.assertEqual(server.ledger()["accepted"], 3)
                self.assertEqual(server.stop(), 0)

    def test_credentials_need_tls_on_grpc(self):
        exporter = "otlp_grpc: {endpoint: 'localhost:1', tls: {insecure: true}, auth: {authenticator: bearertokenauth}}"
        with Daemon(sender(exporter, "bearertokenauth", "{token: t}")) as d:
            self.assertEqual(d.wait_exit(), 1)
            self.assertIn('the credentials of \"bearertokenauth\" need TLS', d.log())


SETTER = """
receivers:
  otlp: {protocols: {http: {endpoint: '127.0.0.1:0', include_metadata: true, auth: {authenticator: basicauth}}}}
exporters:
  otlp_http: {endpoint: '%s', headers: {x-static: s, x-static2: s2, x-static3: s3}, auth: {authenticator: headers_setter},
              sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}
extensions:
  basicauth: {htpasswd: {inline: "joe:pw\\nann\\u00e9:pw"}}
  bearertokenauth: {token: tok}
  headers_setter:
    additional_auth: bearertokenauth
    headers:
      - {key: X-Static, value: over, action: insert}
      - {key: x-static2, value: over, action: update}
      - {key: x-static3, action: delete}
      - {key: x-none, value: v, action: update}
      - {key: x-one, from_context: X-Tenant}
      - {key: x-missing, from_context: nothing}
      - {key: x-default, from_context: nothing, default_value: d}
      - {key: x-user, from_attribute: username}
      - {key: x-raw, from_attribute: raw}
      - {key: x-noattr, from_attribute: none}
      - {key: x-file, value_file: '%s'}
      - {key: x-empty, value: ""}
      - {key: User-Agent, value: mine, action: update}
      - {key: Authorization, value: "after", action: upsert}
service: {extensions: [headers_setter, bearertokenauth, basicauth], pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}}
"""


class HeadersSetter(unittest.TestCase):
    def test_rules(self):
        """What the Collector's 0.158 sends for the same settings and the same requests."""
        with tempfile.TemporaryDirectory() as tmp, Backend() as backend:
            path = os.path.join(tmp, "value")
            replace(path, "from file\n")
            with Daemon(SETTER % (backend.url, path)) as d:
                d.wait_ready()
                port = d.port("Starting HTTP server")
                with HttpClient(port) as c:
                    head = {"Authorization": basic("joe", "pw"), "X-Tenant": "t1"}
                    self.assertEqual(c.request(body=request(), headers=head).status, 200)
                    got = backend.headers[-1]
                    want = {"user-agent": "mine", "authorization": "Bearer tok", "x-default": "d", "x-empty": "", "x-file": "from file",
                            "x-missing": "", "x-noattr": "", "x-one": "t1", "x-raw": basic("joe", "pw")[6:], "x-static": "s",
                            "x-static2": "over", "x-user": "joe"}
                    self.assertEqual({k: v for k, v in got.items() if k in want or k.startswith("x-")}, want)
                    replace(path, "new")
                    d.wait_log("Header values read again")
                    self.assertEqual(c.request(body=request(), headers=head).status, 200)
                    self.assertEqual(backend.headers[-1]["x-file"], "new")
                    # two values: the sender hears of it, and may come again
                    c.send(("POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n"
                            "Authorization: %s\r\nX-Tenant: t1\r\nX-Tenant: t2\r\n\r\n" % (len(request()), basic("joe", "pw"))).encode()
                           + request())
                    r = c.reply()
                    self.assertEqual(r.status, 503)
                    self.assertIn("2 source keys found in the context", otlp_client.parse_status(r.body)[1])
                self.assertEqual(len(backend.headers), 2)
                self.assertEqual(d.stop(), 0)

    def test_no_line_breaks_into_headers(self):
        """A user name is the client's to choose: it cannot make a header of its own."""
        with Backend() as backend:
            text = SETTER % (backend.url, "/dev/null")
            with Daemon(text.replace("joe:pw", "a\\tb:pw").replace("inline: \"", "inline: \"x\\u007fy:pw\\n")) as d:
                d.wait_ready()
                with HttpClient(d.port("Starting HTTP server")) as c:
                    r = c.request(body=request(), headers={"Authorization": basic("x\x7fy", "pw")})
                    self.assertEqual(r.status, 503)
                    self.assertIn('invalid character in the value of header \"x-user\"', otlp_client.parse_status(r.body)[1])
                self.assertEqual(len(backend.headers), 0)
                self.assertEqual(d.stop(), 0)


class Live(unittest.TestCase):
    """Extensions that a reload adds, changes, removes."""

    def reload(self, d, text, message="Configuration reloaded"):
        with d.lock:
            before = sum(line.get("msg") == message for line in d.lines)
        replace(d.path, text)
        d.signal(signal.SIGHUP)

        def more():
            with d.lock:
                return sum(line.get("msg") == message for line in d.lines) > before
        wait_for(more, lambda: message + " in:\n" + d.log())

    def text(self, token, running="", ports=None):
        text = config("bearertokenauth", "{%s}" % token)
        if ports:
            text = text.replace("127.0.0.1:0", "127.0.0.1:%d" % ports.grpc, 1).replace("127.0.0.1:0", "127.0.0.1:%d" % ports.http, 1)
        return text.replace(
            "extensions: {", "extensions: {%s" % running).replace("[bearertokenauth]", "[bearertokenauth%s]" % (
                ", health_check" if running else ""))

    def test_new_credentials(self):
        with Daemon(self.text("token: one")) as d:
            ports = Ports(d)
            self.assertEqual(ports.by_grpc("Bearer one")[0], 0)
            for i in range(5):
                token = "t%d" % i
                self.reload(d, self.text("token: " + token, ports=ports))
                # What leaves may still take a connection until its worker has told it to stop: any of several workers.
                wait_for(lambda: {ports.by_grpc("Bearer " + token)[0] for _ in range(4)} == {0}, "the new token over gRPC")
                wait_for(lambda: {ports.by_http("Bearer " + token).status for _ in range(4)} == {200}, "the new token over HTTP")
                wait_for(lambda: {ports.by_grpc("Bearer one")[0] for _ in range(4)} == {UNAUTHENTICATED}, "an end of the old token")
            failed = "The configuration was not reloaded, nothing changed"
            self.reload(d, self.text("filename: /nonexistent", ports=ports), failed)
            self.reload(d, self.text("token: t5, header: 'a b'", ports=ports), failed)
            self.assertEqual(ports.by_grpc("Bearer t4")[0], 0)
            self.assertEqual(d.stop(), 0)

    def test_added_and_removed(self):
        with Daemon(self.text("token: one")) as d:
            ports = Ports(d)
            with HttpClient(ports.http) as c:
                head = {"Authorization": "Bearer one"}
                self.assertEqual(c.request(body=request(), headers=head).status, 200)
                self.reload(d, self.text("token: one", running="health_check: {endpoint: '127.0.0.1:0'}, "))
                port = d.port("Starting health_check extension")
                self.assertEqual(d.get("/", port)[0], 200)
                self.assertEqual(c.request(body=request(), headers=head).status, 200)  # the same connection
                self.reload(d, self.text("token: one"))

                def gone():
                    try:
                        HttpClient(port).close()
                        return False
                    except OSError:
                        return True
                wait_for(gone, "the health check's end")
                self.assertEqual(c.request(body=request(), headers=head).status, 200)
            self.assertEqual(d.stop(), 0)

    def test_exporters_credentials(self):
        """The receiver stays; what waits for the old exporter goes out with the old credentials, what comes later with the new ones."""
        with Backend() as backend:
            exporter = "otlp_http: {endpoint: '%s', auth: {authenticator: bearertokenauth}}" % backend.url
            with Daemon(sender(exporter, "bearertokenauth", "{token: old}")) as d:
                d.wait_ready()
                port = d.port("Starting HTTP server")
                for i in range(6):
                    self.assertEqual(send(port, i, 1), 200)
                    self.reload(d, sender(exporter, "bearertokenauth", "{token: new%d}" % i))
                self.assertEqual(send(port, 6, 1), 200)
                wait_for(lambda: backend.count() == 7, lambda: "all spans, log:\n" + d.log())
                shown = [h["authorization"] for h in backend.headers]
                self.assertEqual(sorted(shown), sorted(["Bearer old"] + ["Bearer new%d" % i for i in range(6)]))
                self.assertEqual(d.stop(), 0)


class TokenServer:
    """Answers as `answer(form, headers)` says: (status, JSON), or None to hang until the test ends."""

    def __init__(self, answer):
        self.requests = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        tokens = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                with tokens.lock:
                    tokens.requests.append((form, dict(self.headers.items())))
                reply = answer(form, self.headers)
                if reply is None:
                    tokens.released.wait()
                    return
                body = json.dumps(reply[1]).encode()
                try:
                    self.send_response(reply[0])
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d/token" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def count(self):
        with self.lock:
            return len(self.requests)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class OAuth2(unittest.TestCase):
    def daemon(self, backend, tokens, more="", exporter=""):
        return Daemon(sender("otlp_http: {endpoint: '%s', auth: {authenticator: oauth2client}, retry_on_failure: "
                             "{initial_interval: 50ms, max_interval: 100ms}%s}" % (backend.url, exporter), "oauth2client",
                             "{client_id: 'the id', client_secret: 's3cr:et', token_url: '%s'%s}" % (tokens.url, more)))

    def deliver(self, d, backend, n=1):
        before = backend.count()
        self.assertEqual(send(d.port("Starting HTTP server"), before, n), 200)
        wait_for(lambda: backend.count() >= before + n, lambda: "spans at the backend, log:\n" + d.log())
        return backend.headers[-1].get("authorization")

    def test_one_fetch_for_all(self):
        tokens = TokenServer(lambda form, headers: (200, {"access_token": "abc", "token_type": "bearer", "expires_in": 3600}))
        with tokens, Backend() as backend, self.daemon(
                backend, tokens, ", scopes: [a, b], endpoint_params: {audience: x y, resource: [r]}") as d:
            d.wait_ready()
            for _ in range(5):
                self.assertEqual(self.deliver(d, backend), "Bearer abc")
            self.assertEqual(tokens.count(), 1)
            form, headers = tokens.requests[0]
            self.assertEqual(form, {"grant_type": "client_credentials", "scope": "a b", "audience": "x y", "resource": "r"})
            self.assertEqual(headers["Authorization"], basic("the+id", "s3cr%3Aet"))
            for secret in ("s3cr", "abc"):
                self.assertNotIn(secret, d.log())
            self.assertEqual(d.stop(), 0)

    def test_jwt_bearer(self):
        """A statement signed with a key that is rotated; a refusal is not asked again in another way."""
        with tempfile.TemporaryDirectory() as folder:
            key = os.path.join(folder, "key.pem")

            def make_key():
                subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", key + ".new"], check=True, stderr=subprocess.DEVNULL)
                os.rename(key + ".new", key)
                return subprocess.run(["openssl", "pkey", "-in", key, "-pubout"], check=True, capture_output=True).stdout
            public = [make_key()]

            def good(assertion):
                with open(os.path.join(folder, "pub.pem"), "wb") as f:
                    f.write(public[0])
                signed, signature = assertion.rsplit(".", 1)
                with open(os.path.join(folder, "sig"), "wb") as f:
                    f.write(base64.urlsafe_b64decode(signature + "=="))
                return subprocess.run(["openssl", "dgst", "-sha256", "-verify", "pub.pem", "-signature", "sig"], input=signed.encode(),
                                      cwd=folder, stdout=subprocess.DEVNULL, check=False).returncode == 0

            def answer(form, headers):
                if not good(form["assertion"]):
                    return 400, {"error": "invalid_grant"}
                return 200, {"access_token": "t", "expires_in": 2}
            settings = (", grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key_file: '%s', scopes: [a, b]"
                        ", client_certificate_key_id: k" % key)
            with TokenServer(answer) as tokens, Backend() as backend, self.daemon(backend, tokens, settings) as d:
                d.wait_ready()
                self.assertEqual(self.deliver(d, backend), "Bearer t")
                self.assertEqual(tokens.count(), 1)
                form, headers = tokens.requests[0]
                self.assertEqual((form["grant_type"], form["scope"]), ("urn:ietf:params:oauth:grant-type:jwt-bearer", "a b"))
                self.assertNotIn("client_secret", form)
                self.assertNotIn("Authorization", headers)
                header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in form["assertion"].split(".")[:2])
                self.assertEqual(header, {"alg": "RS256", "typ": "JWT", "kid": "k"})
                self.assertEqual((claims["iss"], claims["sub"], claims["aud"]), ("the id", "the id", tokens.url))
                public[0] = make_key()  # the mounted secret is swapped: the next fetch signs with the new one
                wait_for(lambda: self.deliver(d, backend) and tokens.count() >= 3, "the next tokens")
                self.assertEqual(d.ledger()["dropped"], {})
                self.assertNotIn("PRIVATE", d.log())
                self.assertEqual(d.stop(), 0)
            with TokenServer(lambda form, headers: (400, {"error": "invalid_grant"})) as tokens, Backend() as backend:
                with self.daemon(backend, tokens, settings) as d:
                    d.wait_ready()
                    self.assertEqual(send(d.port("Starting HTTP server"), 1, 1), 200)
                    d.wait_log("No token could be fetched", error="oauth2: cannot fetch token: HTTP status 400: invalid_grant")
                    self.assertEqual(tokens.count(), 1)

    def test_credentials_in_the_body(self):
        def answer(form, headers):
            if "client_secret" not in form:
                return 401, {"error": "invalid_client"}
            return 200, {"access_token": "t", "expires_in": "3600"}
        with TokenServer(answer) as tokens, Backend() as backend, self.daemon(backend, tokens) as d:
            d.wait_ready()
            self.assertEqual(self.deliver(d, backend), "Bearer t")
            self.assertEqual(tokens.count(), 2)
            self.assertEqual(tokens.requests[1][0]["client_secret"], "s3cr:et")
            self.assertNotIn("Authorization", tokens.requests[1][1])
            self.assertEqual(d.stop(), 0)

    def test_a_server_that_fails_and_comes_back(self):
        state = {"up": False}

        def answer(form, headers):
            if state["up"]:
                return 200, {"access_token": "t"}
            return 500, {"error": "server_error", "error_description": "down"}
        with TokenServer(answer) as tokens, Backend() as backend, self.daemon(backend, tokens) as d:
            d.wait_ready()
            self.assertEqual(send(d.port("Starting HTTP server"), 1, 7), 200)
            d.wait_log("No token could be fetched", error="oauth2: cannot fetch token: HTTP status 500: server_error: down")
            state["up"] = True
            wait_for(lambda: backend.count() == 7, lambda: "the spans at last, log:\n" + d.log())
            d.wait_log("A token could be fetched again")
            self.assertEqual(d.ledger()["dropped"], {})
            self.assertEqual(d.stop(), 0)

    def test_a_server_that_hangs(self):
        state = {"hang": True}

        def answer(form, headers):
            return None if state["hang"] else (200, {"access_token": "t"})
        with TokenServer(answer) as tokens, Backend() as backend, self.daemon(backend, tokens, ", timeout: 200ms") as d:
            d.wait_ready()
            self.assertEqual(send(d.port("Starting HTTP server"), 1, 3), 200)
            d.wait_log("No token could be fetched", error="oauth2: cannot fetch token: timed out")
            state["hang"] = False
            wait_for(lambda: backend.count() == 3, lambda: "the spans at last, log:\n" + d.log())
            self.assertEqual(d.stop(), 0)

    def test_stop_while_a_fetch_is_under_way(self):
        with TokenServer(lambda form, headers: None) as tokens, Backend() as backend:
            with self.daemon(backend, tokens, exporter=", timeout: 1s") as d:
                d.wait_ready()
                self.assertEqual(send(d.port("Starting HTTP server"), 1, 2), 200)
                wait_for(lambda: tokens.count() > 0, "the fetch")
                self.assertEqual(d.stop(), 0)

    def test_tokens_that_end(self):
        """A token is replaced before its end while it is used; a new one each time."""
        state = {"n": 0}

        def answer(form, headers):
            state["n"] += 1
            return 200, {"access_token": "t%d" % state["n"], "expires_in": 2}
        with TokenServer(answer) as tokens, Backend() as backend, self.daemon(backend, tokens) as d:
            d.wait_ready()
            first = self.deliver(d, backend)
            self.assertEqual(first, "Bearer t1")
            wait_for(lambda: self.deliver(d, backend) not in (first, "Bearer t2"), "the third token")
            self.assertEqual(d.ledger()["dropped"], {})
            self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    unittest.main()
