# SPDX-License-Identifier: Apache-2.0
"""A daemon whose configuration changes while it runs, for test_reload*.py."""
import http.client
import os
import signal
import socket

from otlp_http import Client
from tailrace import Daemon, wait_for

SUCCESS = "otelcol_config_last_reload_success"
TIME = "otelcol_config_last_reload_success_timestamp"
DONE, SAME = "Configuration reloaded", "Configuration is unchanged"
FAILED = "The configuration was not reloaded, nothing changed"


def plan(backend, processors="", pipelines=None, more="", exporters=""):
    """processors: the definitions by name; pipelines: text, or the names in order for `traces`."""
    names = "" if not isinstance(pipelines, (list, tuple)) else ", ".join(pipelines)
    text = pipelines if isinstance(pipelines, str) else "traces: {receivers: [otlp], processors: [%s], exporters: [otlp_http]}" % names
    # one connection a worker, so that the number of open files tells something
    return """
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
processors: {%s}
exporters: {otlp_http: {endpoint: '%s', compression: none, sending_queue: {num_consumers: 1}}%s}
service: {pipelines: {%s}}
%s""" % (processors, backend.url, exporters, text, more)


def marked(value):
    return "attributes: {actions: [{key: mark, value: '%s', action: upsert}]}" % value


class Reloading(Daemon):
    def write(self, config):
        """In place of the old file, in one step."""
        new = self.path + ".new"
        with open(new, "w", encoding="utf-8") as f:
            f.write(config)
        os.replace(new, self.path)

    def count(self, message):
        with self.lock:
            return sum(line.get("msg") == message for line in self.lines)

    def reload(self, config, message=DONE):
        before = self.count(message)
        self.write(config)
        self.signal(signal.SIGHUP)
        wait_for(lambda: self.count(message) > before or self.process.poll() is not None,
                 lambda: "%s in:\n%s" % (message, self.log()))
        assert self.process.poll() is None, self.log()
        with self.lock:
            return [line for line in self.lines if line.get("msg") == message][-1]

    def http_port(self):
        return self.port("Starting HTTP server")

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def post(self, path="/-/reload", method="POST"):
        c = http.client.HTTPConnection("127.0.0.1", self.port("Serving metrics", "address"), timeout=30)
        c.request(method, path)
        r = c.getresponse()
        answer = r.status, r.read().decode()
        c.close()
        return answer


def refused(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def connect(test, d):
    client = Client(d.http_port())
    test.addCleanup(client.close)
    return client
