# SPDX-License-Identifier: Apache-2.0
"""The daemon's life and its pages, without data: start, signals, /metrics, health, failures."""
import http.client
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest

from pki import Pki
from tailrace import Daemon, wait_for

PLAIN = """
receivers: {nop: }
exporters: {nop: }
service: {pipelines: {traces: {receivers: [nop], exporters: [nop]}, traces/b: {receivers: [nop], exporters: [nop]}}}
"""
HEALTH = """
extensions: {health_check: {endpoint: '127.0.0.1:0', path: /health}}
service: {extensions: [health_check]}
"""


def request(port, method, path, body=None, headers=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    c.request(method, path, body=body, headers=headers or {})
    r = c.getresponse()
    answer = r.status, r.headers, r.read()
    c.close()
    return answer


class Life(unittest.TestCase):
    def test_start_and_stop(self):
        for signum, name in ((signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupt")):
            with Daemon(PLAIN, ["--workers", "2"]) as d:
                d.wait_ready()
                self.assertEqual(d.find("Starting tailrace...")["Workers"], 2)
                d.signal(signum)
                self.assertEqual(d.wait_exit(), 0, d.log())
                self.assertEqual(d.find("Received signal from OS")["signal"], name)
                messages = [line.get("msg") for line in d.lines]
                order = [messages.index(m) for m in (
                    "Starting tailrace...", "Everything is ready. Begin running and processing data.",
                    "Starting shutdown...", "Span ledger", "Shutdown complete.")]
                self.assertEqual(order, sorted(order))
                self.assertNotIn("leaked", d.log())

    def test_hangup_of_the_same_changes_nothing(self):
        with Daemon(PLAIN) as d:
            d.wait_ready()
            d.signal(signal.SIGHUP)
            d.wait_log("Configuration is unchanged", trigger="hangup")
            self.assertEqual(d.get("/metrics")[0], 200)
            self.assertEqual(d.stop(), 0)

    def test_metrics_port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            telemetry = "{service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]}}}}" % port
            with Daemon(PLAIN, telemetry=telemetry) as d:
                self.assertEqual(d.wait_exit(), 1)
                errors = [line for line in d.raw if line.startswith("Error: ")]
                self.assertEqual(len(errors), 1, d.log())
                self.assertIn("127.0.0.1:%d" % port, errors[0])
                self.assertIn("address already in use", errors[0])

    def test_extension_port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            with Daemon(PLAIN, ["--config", "yaml:" + HEALTH.replace(":0", ":%d" % port)]) as d:
                self.assertEqual(d.wait_exit(), 1)
                errors = [line for line in d.raw if line.startswith("Error: ")]
                self.assertEqual(len(errors), 1, d.log())
                self.assertIn('failed to start "health_check" extension', errors[0])


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(PLAIN, ["--workers", "2"]).wait_ready()
        cls.port = cls.d.port("Serving metrics", "address")

    @classmethod
    def tearDownClass(cls):
        code = cls.d.stop()
        cls.d.__exit__()
        assert code == 0, code

    def test_page(self):
        status, head, body = self.d.get("/metrics")
        self.assertEqual(status, 200)
        self.assertEqual(head["Content-Type"], "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
        for line in ("# TYPE otelcol_process_uptime counter", "# TYPE otelcol_process_memory_rss gauge",
                     'tailrace_pipeline_accepted_spans{pipeline="traces/b"} 0', "# TYPE target_info gauge",
                     'tailrace_memory_used_bytes{owner="'):
            self.assertIn(line, body)
        self.assertRegex(body, r'target_info\{service_instance_id="[0-9a-f-]{36}",service_name="tailrace",service_version="')
        self.assertEqual(self.d.ledger("traces/b")["accepted"], 0)

    def test_numbers_are_plausible(self):
        page = self.d.metrics()
        self.assertGreater(page["otelcol_process_memory_rss"], 1 << 20)
        self.assertGreater(page["otelcol_process_cpu_seconds"], 0)
        self.assertGreater(page["otelcol_process_uptime"], 0)
        self.assertLess(page["otelcol_process_uptime"], 3600)
        self.assertGreaterEqual(self.d.metrics()["otelcol_process_uptime"], page["otelcol_process_uptime"])

    def test_gzip_when_asked(self):
        plain = self.d.get("/metrics")[2]
        _, head, small = self.d.get("/metrics", headers={"Accept-Encoding": "gzip"})
        self.assertEqual(head["Content-Encoding"], "gzip")
        self.assertEqual([x for x in plain.splitlines() if x.startswith("# TYPE")],
                         [x for x in small.splitlines() if x.startswith("# TYPE")])

    def test_methods_and_paths(self):
        self.assertEqual(request(self.port, "GET", "/")[0], 404)
        self.assertEqual(request(self.port, "GET", "/metrics/x")[0], 404)
        status, head, body = request(self.port, "HEAD", "/metrics")
        self.assertEqual((status, body), (200, b""))
        self.assertGreater(int(head["Content-Length"]), 1000)
        status, head, _ = request(self.port, "POST", "/metrics", b"x")
        self.assertEqual((status, head["Allow"]), (405, "GET, HEAD"))
        self.assertEqual(request(self.port, "GET", "/metrics", b"body")[0], 413)

    def test_debug_pages(self):
        self.assertIn("traces/b", self.d.get("/debug/pipelines")[2])
        self.assertIn("soft limit", self.d.get("/debug/memory")[2])

    def test_pipelined_requests_are_answered_in_order(self):
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /debug/memory HTTP/1.1\r\nHost: x\r\n\r\n"
                      b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            while chunk := s.recv(65536):
                got += chunk
        at = [got.index(x) for x in (b"404 page", b"soft limit", b"otelcol_process_uptime")]
        self.assertEqual(at, sorted(at))

    def test_a_client_that_goes_away(self):
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", self.port)) as s:
                s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.d.get("/metrics")[0], 200)

    def test_promtool(self):
        checked = subprocess.run(["promtool", "check", "metrics"], input=self.d.get("/metrics")[2].encode(),
                                 capture_output=True, check=False)
        # The Collector's counters carry no _total, and neither do ours next to them: nothing else may be wrong.
        rest = [x for x in checked.stderr.decode().splitlines() if 'should have "_total" suffix' not in x]
        self.assertEqual(rest, [], checked.stderr.decode())


class Spelling(unittest.TestCase):
    def test_promtool_has_nothing_to_say_with_suffixes(self):
        telemetry = """
service:
  telemetry:
    logs: {encoding: json}
    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0, without_type_suffix: false, without_units: false}}}}]}
"""
        with Daemon(PLAIN, telemetry=telemetry) as d:
            d.wait_ready()
            page = d.get("/metrics")[2]
            self.assertIn('tailrace_pipeline_accepted_spans_total{pipeline="traces"} 0', page)
            self.assertIn("otelcol_process_uptime_seconds_total ", page)
            checked = subprocess.run(["promtool", "check", "metrics"], input=page.encode(), capture_output=True, check=False)
            self.assertEqual((checked.returncode, checked.stderr.decode()), (0, ""), page)

    def test_two_readers_spell_as_they_are_told(self):
        reader = "{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0%s}}}}"
        telemetry = "{service: {telemetry: {logs: {encoding: json}, metrics: {readers: [%s, %s]}}}}" % (
            reader % "", reader % ", without_type_suffix: false")
        with Daemon(PLAIN, telemetry=telemetry) as d:
            d.wait_ready()
            ports = [line["address"].rsplit(":", 1)[1] for line in d.lines if line.get("msg") == "Serving metrics"]
            pages = [d.get("/metrics", int(port))[2] for port in ports]
            self.assertEqual(["tailrace_loop_stalls_total " in page for page in pages], [False, True])
            self.assertEqual(d.stop(), 0)

    def test_no_page_at_level_none(self):
        with Daemon(PLAIN, telemetry="{service: {telemetry: {logs: {encoding: json}, metrics: {level: none}}}}") as d:
            d.wait_ready()
            self.assertIsNone(d.find("Serving metrics"))
            self.assertEqual(d.stop(), 0)


class Health(unittest.TestCase):
    def test_page_follows_the_pipelines(self):
        with Daemon(PLAIN, ["--config", "yaml:" + HEALTH]) as d:
            d.wait_ready()
            port = d.port("Starting health_check extension")
            status, head, body = request(port, "GET", "/health")
            self.assertEqual((status, head["Content-Type"]), (200, "application/json"))
            self.assertRegex(body.decode(), r'^\{"status":"Server available","upSince":"20\d\d-\d\d-\d\dT[\d:.]+Z",'
                                            r'"uptime":"[0-9a-z.\u00b5]+"\}$')
            self.assertEqual(request(port, "GET", "/")[0], 404)
            self.assertEqual(d.stop(), 0)

    def test_own_bodies(self):
        own = HEALTH.replace("path: /health", "response_body: {healthy: fine, unhealthy: poorly}")
        with Daemon(PLAIN, ["--config", "yaml:" + own]) as d:
            d.wait_ready()
            self.assertEqual(request(d.port("Starting health_check extension"), "GET", "/")[2], b"fine")

    def health(self, settings, endpoint="127.0.0.1:0"):
        return ["--config", "yaml:{extensions: {health_check: {endpoint: '%s', %s}}, service: {extensions: [health_check]}}" % (
            endpoint, settings)]

    def test_probes_of_all_kinds(self):
        """Any method, with a body or not, HTTP/1.0 too; "/" is every path. As the Collector's."""
        with Daemon(PLAIN, self.health("response_headers: {X-Probe: 'yes', Cache-Control: no-store}")) as d:
            port = d.port("Starting health_check extension")
            d.wait_ready()
            for method, path, body in (("GET", "/", None), ("HEAD", "/", None), ("OPTIONS", "/", None), ("POST", "/healthz", b"x" * 1000),
                                       ("PUT", "/a/b?c", b"")):
                status, head, _ = request(port, method, path, body)
                self.assertEqual((status, head["X-Probe"], head["Cache-Control"]), (200, "yes", "no-store"), (method, path))
            with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
                s.sendall(b"OPTIONS / HTTP/1.0\r\n\r\n")
                self.assertIn(b" 200 OK\r\n", s.makefile("rb").readline())
            self.assertEqual(d.stop(), 0)

    def test_paths(self):
        for path, answers in (("/h", {"/h": 200, "/h/x": 404, "/": 404}), ("/h/", {"/h/": 200, "/h/x": 200, "/h": 200, "/hx": 404, "/": 404})):
            with Daemon(PLAIN, self.health("path: " + path)) as d:
                d.wait_ready()
                port = d.port("Starting health_check extension")
                self.assertEqual({p: request(port, "GET", p)[0] for p in answers}, answers)

    def test_tls_and_unix(self):
        with tempfile.TemporaryDirectory() as folder:
            pki = Pki(folder)
            ca = pki.authority("ca")
            leaf = pki.leaf("server", "ca")
            with Daemon(PLAIN, self.health("tls: {cert_file: '%s', key_file: '%s'}" % leaf)) as d:
                d.wait_ready()
                port = d.port("Starting health_check extension")
                context = ssl.create_default_context(cafile=ca)
                c = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
                for _ in range(2):
                    c.request("GET", "/")
                    r = c.getresponse()
                    self.assertEqual(r.status, 200)
                    self.assertIn(b"Server available", r.read())
                c.close()
                self.assertEqual(request(port, "GET", "/")[0], 400)  # "sent to an HTTPS port"
                self.assertEqual(d.stop(), 0)
            path = folder + "/health.sock"
            with Daemon(PLAIN, self.health("transport: unix", path)) as d:
                d.wait_ready()
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(path)
                    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertIn(b" 200 OK\r\n", s.makefile("rb").readline())
                self.assertEqual(d.stop(), 0)

    def test_changes_on_its_port(self):
        """A reload brings other settings, then another address of the same port: the page is there all the time."""
        with Daemon(PLAIN + "extensions: {health_check: {endpoint: '127.0.0.1:0'}}\n", ["--config", "yaml:service: {extensions: [health_check]}"]) as d:
            d.wait_ready()
            port = d.port("Starting health_check extension")
            for n, settings in enumerate(("endpoint: '127.0.0.1:%d', path: /h", "endpoint: '0.0.0.0:%d', path: /h", "endpoint: '127.0.0.1:%d', path: /i"), 1):
                with open(d.path, "w", encoding="utf-8") as f:
                    f.write(PLAIN + "extensions: {health_check: {%s}}\n" % (settings % port))
                d.signal(signal.SIGHUP)
                wait_for(lambda: sum(line.get("msg") == "Configuration reloaded" for line in d.lines) == n, d.log)
                want = "/i" if n == 3 else "/h"

                def answer():
                    try:
                        return request(port, "GET", want)[0]
                    except OSError:
                        return None  # came in the moment in which the old socket of another address closed
                wait_for(lambda: answer() == 200, want)
            self.assertEqual(d.stop(), 0)


class Inert(unittest.TestCase):
    def test_zpages_and_pprof_say_that_they_do_nothing(self):
        config = "yaml:{extensions: {zpages: , pprof: {endpoint: 'localhost:1777'}}, service: {extensions: [zpages, pprof]}}"
        with Daemon(PLAIN, ["--config", config]) as d:
            d.wait_ready()
            for kind in ("zpages", "pprof"):
                self.assertEqual(d.find("This extension is accepted for compatibility and does nothing", type=kind)["level"], "warn")
            self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    unittest.main()
