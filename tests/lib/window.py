# SPDX-License-Identifier: Apache-2.0
"""tail_sampling with storage, for end-to-end tests: configurations, traces of four spans, a load, directories to be removed."""
import http.client
import json
import threading
import time

SPANS = 4
PREFIX = "tailrace_tail_sampling_"

# A trace is kept if it is marked and whole: one that is decided in part shows.
POLICIES = [{"name": "whole", "type": "and", "and": {"and_sub_policy": [
    {"name": "marked", "type": "string_attribute", "string_attribute": {"key": "keep", "values": ["yes"]}},
    {"name": "four", "type": "span_count", "span_count": {"min_spans": SPANS}}]}}]


def config(directory, url, wait="3s", storage=True, queue="", more=""):
    """more: of file_storage."""
    tail = {"decision_wait": wait, "num_traces": 200000, "policies": POLICIES}
    if storage:
        tail["storage"] = "file_storage"
    return ("extensions: {file_storage: {directory: '%s', create_directory: true%s}}\n"
            "receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}\n"
            "processors: {tail_sampling: %s, batch: {timeout: 50ms}}\n"
            "exporters: {otlp_http: {endpoint: '%s', compression: none%s}}\n"
            "service: {extensions: [file_storage], pipelines: {traces: {receivers: [otlp], processors: [tail_sampling, batch],"
            " exporters: [otlp_http]}}}\n" % (directory, more, json.dumps(tail), url, ", sending_queue: " + queue if queue else ""))


def ids(trace):
    return {("%032x" % trace, "%016x" % (trace * SPANS + k + 1)) for k in range(SPANS)}


def span(trace, k, marked):
    attributes = [{"key": "keep", "value": {"stringValue": "yes"}}] if marked and k == 1 else []
    return {"traceId": "%032x" % trace, "spanId": "%016x" % (trace * SPANS + k + 1), "name": "op", "attributes": attributes}


def marked(trace):
    return trace % 2 == 0


def post(port, spans):
    """The HTTP status; 0 when the connection broke."""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        conn.request("POST", "/v1/traces", json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}),
                     {"Content-Type": "application/json"})
        return conn.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        conn.close()


def post_whole(port, traces):
    for k in range(SPANS):
        status = post(port, [span(t, k, marked(t)) for t in traces])
        assert status == 200, status


def kept(traces):
    return set().union(*(ids(t) for t in traces if marked(t)))


class Load(threading.Thread):
    """Sends groups of traces, each span of a trace in a request of its own, until the port is gone."""

    def __init__(self, port, first):
        super().__init__(daemon=True)
        self.port, self.next = port, first
        self.acked = []  # traces of which every span was answered with 200, in good time before they were due
        self.stopping = False

    def run(self):
        while not self.stopping:
            traces = range(self.next, self.next + 20)
            self.next += 20
            began = time.monotonic()
            for k in range(SPANS):
                if post(self.port, [span(t, k, marked(t)) for t in traces]) != 200:
                    return
            if time.monotonic() - began < 1.5:
                self.acked.extend(traces)


def reload(d, text):
    with open(d.path, "w", encoding="utf-8") as f:
        f.write(text)
    d.signal(1)
