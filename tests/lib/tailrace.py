# SPDX-License-Identifier: Apache-2.0
"""Runs the daemon for end-to-end tests: start, wait for log lines, read /metrics, stop.

    with Daemon(CONFIG) as d:
        d.wait_ready()
        port = d.port("Starting GRPC server")
        ...
        d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', 3)

Configurations say port 0 everywhere; the real ports are read from the log (JSON). Nothing sleeps as
a way to synchronise: every wait is for a condition, with one generous deadline.
"""
import gzip
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

BINARY = os.environ.get("TAILRACE", "build/tailrace")
DEADLINE_S = float(os.environ.get("TAILRACE_TEST_DEADLINE", "60"))

# Merged into every configuration: logs as JSON, metrics on a free port.
TELEMETRY = """
service:
  telemetry:
    logs: {encoding: json, sampling: {enabled: false}}
    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]}
"""


def wait_for(condition, what, deadline_s=None):
    """Polls until condition() is true (returns it) or the deadline passes (raises with `what`)."""
    end = time.monotonic() + (deadline_s or DEADLINE_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("timed out waiting for " + (what() if callable(what) else what))
        time.sleep(0.01)


class Daemon:
    def __init__(self, config, args=(), env=None, telemetry=TELEMETRY, audit=True, prefix=(), pass_fds=()):
        self.dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.dir.name, "collector.yaml")
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(config)
        command = [BINARY, "--config", self.path]
        if telemetry:
            command += ["--config", "yaml:" + telemetry]
        full_env = dict(os.environ, **(env or {}))
        if audit:
            full_env["TAILRACE_AUDIT"] = "1"
        self.lines, self.raw = [], []
        self.lock = threading.Lock()
        self.process = subprocess.Popen(list(prefix) + command + list(args), stderr=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, env=full_env, pass_fds=pass_fds)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            text = line.decode("utf-8", "replace").rstrip("\n")
            try:
                fields = json.loads(text)
            except ValueError:
                fields = {"msg": text}
            with self.lock:
                self.raw.append(text)
                self.lines.append(fields if isinstance(fields, dict) else {"msg": text})

    # ---- log ----

    def log(self):
        with self.lock:
            return "\n".join(self.raw)

    def find(self, message, **fields):
        with self.lock:
            for line in self.lines:
                if line.get("msg") == message and all(line.get(k) == v for k, v in fields.items()):
                    return line
        return None

    def wait_log(self, message, **fields):
        def look():
            found = self.find(message, **fields)
            if not found and self.process.poll() is not None:
                self.reader.join(5)
                found = self.find(message, **fields)
                if not found:
                    raise AssertionError("exited with %s before %r:\n%s" % (self.process.returncode, message, self.log()))
            return found
        return wait_for(look, lambda: "log line %r in:\n%s" % (message, self.log()))

    def wait_ready(self):
        self.wait_log("Everything is ready. Begin running and processing data.")
        return self

    def port(self, message, field="endpoint", **fields):
        """The port of a "Starting ... server" line."""
        return int(self.wait_log(message, **fields)[field].rsplit(":", 1)[1])

    # ---- metrics ----

    def get(self, path, port=None, headers=None):
        """(status, headers, body text) of a page of the metrics address."""
        port = port or self.port("Serving metrics", "address")
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (port, path), headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as r:
                status, head, body = r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            status, head, body = e.code, e.headers, e.read()
        if head.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return status, head, body.decode("utf-8")

    def metrics(self):
        """One page as {'name{labels}': value}."""
        status, _, body = self.get("/metrics")
        assert status == 200, status
        samples = {}
        for line in body.splitlines():
            if line and not line.startswith("#"):
                series, value = line.rsplit(" ", 1)
                samples[series] = float(value)
        return samples

    def wait_metric(self, series, value):
        """Until the series is at least value; returns the page."""
        page = {}

        def look():
            page.clear()
            page.update(self.metrics())
            return page.get(series, 0) >= value
        wait_for(look, lambda: "%s >= %s, page:\n%s\nlog:\n%s" % (
            series, value, "\n".join("%s %s" % i for i in sorted(page.items())), self.log()))
        return page

    def ledger(self, pipeline="traces"):
        """The pipeline's books of one page; raises unless they balance."""
        page = self.metrics()
        books = {name: page["tailrace_pipeline_%s_spans{pipeline=\"%s\"}" % (name, pipeline)]
                 for name in ("accepted", "exported", "sampled_out", "filtered", "stored", "held")}
        books["dropped"] = {}
        for series, value in page.items():
            m = re.match(r'tailrace_pipeline_dropped_spans\{pipeline="([^"]*)",reason="([^"]*)"\}$', series)
            if m and m.group(1) == pipeline:
                books["dropped"][m.group(2)] = value
        total = sum(books[k] for k in ("exported", "sampled_out", "filtered", "stored", "held")) + sum(books["dropped"].values())
        assert books["accepted"] == total, books
        return books

    # ---- end ----

    def signal(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)

    def wait_exit(self):
        code = self.process.wait(DEADLINE_S)
        self.reader.join(DEADLINE_S)
        return code

    def stop(self):
        """SIGTERM and the exit status."""
        self.signal()
        return self.wait_exit()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join(DEADLINE_S)
        self.process.stderr.close()
        self.dir.cleanup()
        bad = [line for line in self.log().splitlines() if re.search(r"Sanitizer: |runtime error: |check failed: ", line)]
        assert not bad, bad[:5]

