# SPDX-License-Identifier: Apache-2.0
"""What comparing tail_sampling with a real Collector needs: random traffic, a pipeline per policy set in one process of each program,
the same requests (OTLP/JSON) to all of them, and what their file exporters wrote."""
import collections
import http.client
import json
import os
import random
import re
import tempfile

from peers import free_ports, start_otelcol, start_tailrace

SEED = int(os.environ.get("SEED", "1"))
TRACES = int(os.environ.get("TRACES", "2500"))
OURS = ("tailrace1", "tailrace2")  # by the number of workers


def named(policies):
    return [dict(p, name=f"p{i}") for i, p in enumerate(policies)]


class Traffic:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.n_spans = 0
        self.consistent = False  # tracestate with `ot`
        self.mixed = False  # spans of a trace are no neighbours in their request

    def state(self):
        r = self.random
        rv = f"{r.getrandbits(56):014x}"
        th = r.choice(["0", "8", "c", "4", "80", "e6666666666666", "ffbe76c8b43958", "E", f"{r.getrandbits(56):014x}"])
        return r.choice([
            f"ot=rv:{rv}", f"ot=th:{th}", f"ot=rv:{rv};th:{th}", f"ot=th:{th};rv:{rv}", f"k=v,ot=rv:{rv};x:y,1t@s=u", f"ot=a:b;th:{th};c:", "ot=a:b",
            f" k=v , ot=th:{th}", f"ot=rv:{rv.upper()}", f"ot=th:{th},ot=rv:{rv}", "k=v", "k=v,k=w", "k =v", "ot=", f"ot=rv:{rv[1:]}", "ot=th:", f"ot=th:0{rv}",
            f"ot=rv:{rv};;th:{th}", f"ot=rv:{rv};th:{th};", "ot=x:~", ",".join(f"k{i}=v" for i in range(31)), ",".join(f"k{i}=v" for i in range(32)),
            "ot=" + "a:" + "b" * 254, "ot=" + "a:" + "b" * 255, "k=" + "v" * 256 + ",l=" + "v" * 256 + ",m=" + "v" * 256 + ",n=" + "v" * r.choice([239, 250, 256])])

    def value(self):
        r = self.random
        return r.choice([
            {"stringValue": r.choice(["alpha", "beta", "gamma", "", "5", "abc", "Alpha", "alpha ", "true"])},
            {"intValue": str(r.choice([-2 ** 63, -5, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 2 ** 62, 2 ** 63 - 1]))},
            {"doubleValue": r.choice([3.5, 4.0, -1.0, 0.0])},
            {"boolValue": r.random() < 0.5},
            {"arrayValue": {"values": [{"stringValue": "alpha"}]}},
            {"kvlistValue": {"values": [{"key": "s", "value": {"stringValue": "alpha"}}]}},
            {"bytesValue": "YWxwaGE="},
            {},
        ])

    def attributes(self, share):
        r = self.random
        found = [{"key": k, "value": self.value()} for k in ("s", "n", "b") if r.random() < share]
        if found and r.random() < 0.1:
            found.append({"key": r.choice(found)["key"], "value": self.value()})
        return found + [{"key": "other", "value": {"stringValue": "alpha"}}]

    def span(self, trace_id, share):
        r = self.random
        start = 1700000000000000000 + r.randrange(0, 300_000_000) * (r.random() < 0.5)
        end = start + int(900_000_000 * r.random() ** 3)
        if r.random() < 0.3:  # at a threshold of some policy, or beside it
            end = start + r.choice([200, 300, 400, 500, 700, 900, 1500]) * 1_000_000 + r.choice([-1_000_000, -1, 0, 1, 999_999, 1_000_000, 1_000_001])
        if r.random() < 0.03:
            start = r.choice([0, end + 5_000_000])
        self.n_spans += 1
        span = {"traceId": trace_id, "spanId": f"{self.n_spans:016x}", "name": "n",
                "startTimeUnixNano": str(start), "endTimeUnixNano": str(end),
                "attributes": self.attributes(share)}
        if r.random() < 0.7:
            span["parentSpanId"] = "00000000000000ff"
        if r.random() < 0.3:
            span["status"] = {"code": r.choice([0, 1, 2])}
        if r.random() < 0.2:
            span["traceState"] = r.choice(["k=v", "x=1, k=w ", "k=v,k=w", "k =v", "k=v,,y=2", "k=v, ,y=2", "1t@s=v", "K=v", "k=u", "k"])
        if self.consistent and r.random() < 0.3:
            span["traceState"] = self.state()
        if r.random() < 0.2:
            span["status"] = {"code": 2, "message": r.choice(["", "broken"])}
            span["kind"] = r.randrange(6)
            span["droppedAttributesCount"] = r.choice([0, 1, 300])
        if r.random() < 0.2:
            span["events"] = [{"timeUnixNano": str(r.choice([0, start])), "name": r.choice(["", "exception"]), "attributes": self.attributes(0.5)}
                              for _ in range(r.randrange(3))]
            span["links"] = [{"traceId": trace_id, "spanId": "00000000000000aa", "traceState": r.choice(["", "k=v"]), "flags": r.choice([0, 1])}
                             for _ in range(r.randrange(3))]
        if r.random() < 0.3:
            span["flags"] = r.choice([1, 0x101, 0x300, 0x100])
        return span

    def request(self, spans):
        """Spread over resources and scopes at random, order kept."""
        r = self.random
        groups = []
        while spans:
            n = r.randrange(1, len(spans) + 1)
            scopes = [{"scope": {"name": f"sc{r.randrange(3)}", "version": r.choice(["", "1"]), "attributes": self.attributes(0.1)},
                       "schemaUrl": r.choice(["", "http://schema"]), "spans": spans[:n // 2]}, {"spans": spans[n // 2:n]}]
            groups.append({"resource": {"attributes": self.attributes(0.05)}, "scopeSpans": [s for s in scopes if s["spans"]]})
            spans = spans[n:]
        return json.dumps({"resourceSpans": groups}).encode()

    def traces(self, n):
        """Requests that carry n traces, each spread over some of them."""
        r = self.random
        waiting = []
        for _ in range(n):
            trace_id = f"{r.getrandbits(128) | 1:032x}"
            share = r.choice([0, 0.2, 0.8])
            waiting.append([self.span(trace_id, share) for _ in range(r.choice([1, 1, 2, 3, 5, 8]))])
        requests = []
        while waiting:
            spans = []
            for t in r.sample(waiting, min(len(waiting), 40)):
                spans += t[:r.randrange(1, 4)]
                del t[:len([s for s in spans if s["traceId"] == t[0]["traceId"]])]
            waiting = [t for t in waiting if t]
            if self.mixed:
                r.shuffle(spans)
            requests.append(self.request(spans))
        return requests


def config(pipelines, folder, program, http, page=None):
    """pipelines: name -> tail_sampling settings. page: the prometheus reader's settings."""
    whole = {"receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{http}"}}}},
             "processors": {}, "exporters": {}, "service": {"pipelines": {}, "telemetry": {"metrics": {"level": "none"}}}}
    if page:
        whole["service"]["telemetry"]["metrics"] = {"level": "detailed", "readers": [{"pull": {"exporter": {"prometheus": page}}}]}
    if any("storage" in settings for settings in pipelines.values()):
        whole["extensions"] = {"file_storage": {"directory": os.path.join(folder, program + "-storage"), "create_directory": True}}
        whole["service"]["extensions"] = ["file_storage"]
    for name, settings in pipelines.items():
        whole["processors"][f"tail_sampling/{name}"] = dict({"num_traces": 1000000}, **settings)
        whole["exporters"][f"file/{name}"] = {"path": out_path(folder, program, name)}
        whole["service"]["pipelines"][f"traces/{name}"] = {
            "receivers": ["otlp"], "processors": [f"tail_sampling/{name}"], "exporters": [f"file/{name}"]}
    return json.dumps(whole)  # JSON is YAML


def out_path(folder, program, name):
    return os.path.join(folder, f"{program}-{name}.json")


def kept(folder, program, name):
    found = collections.Counter()
    with open(out_path(folder, program, name)) as f:
        for line in f:
            for rs in json.loads(line).get("resourceSpans", []):
                for ss in rs.get("scopeSpans", []):
                    for s in ss["spans"]:
                        found[s["traceId"], s["spanId"]] += 1
    return found


def recorded(folder, program, name):
    """What each kept span's scope says of its sampling."""
    found = {}
    with open(out_path(folder, program, name)) as f:
        for line in f:
            for rs in json.loads(line).get("resourceSpans", []):
                for ss in rs.get("scopeSpans", []):
                    said = tuple(sorted((a["key"], str(next(iter(a["value"].values())))) for a in ss.get("scope", {}).get("attributes", [])
                                        if a["key"].startswith("tailsampling.")))
                    for s in ss["spans"]:
                        found[s["traceId"], s["spanId"]] = said
    return found


def states(folder, program, name):
    """The tracestate of each kept span."""
    found = {}
    with open(out_path(folder, program, name)) as f:
        for line in f:
            for rs in json.loads(line).get("resourceSpans", []):
                for ss in rs.get("scopeSpans", []):
                    for s in ss["spans"]:
                        found[s["traceId"], s["spanId"]] = s.get("traceState", "")
    return found


def page_of(page):
    """Types and series of tail_sampling: values where they do not depend on the machine or the number of workers."""
    found = {}
    for line in page.splitlines():
        m = re.match(r"# TYPE (\S*tail_sampling\S*) (\S+)", line)
        if m:
            found["type", m.group(1)] = m.group(2)
        m = re.match(r"(\w*tail_sampling\w*)(?:\{(.*)\})? (\S+)$", line)
        if m:
            labels = sorted(kv for kv in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m.group(2) or "") if not kv[0].startswith("otel_scope"))
            varies = re.search("execution_time|timer_latency", m.group(1)) or re.search("_age.*(bucket|sum)", m.group(1))
            found[m.group(1), tuple(labels)] = "" if varies else float(m.group(3))
    return found


def post(address, body):
    host, port = address.rsplit(":", 1)
    c = http.client.HTTPConnection(host, int(port), timeout=60)
    c.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
    r = c.getresponse()
    text = r.read()
    c.close()
    if r.status != 200:
        raise AssertionError(f"{address}: {r.status} {text[:200]}")


class Rig:
    """For test cases: starts the programs, sends to all, compares."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.traffic = Traffic(SEED)

    def tearDown(self):
        self.folder.cleanup()

    def start(self, pipelines, args=(), metrics=None):
        """The Collector, and tailrace with one and with two workers. metrics: a port for each page, and how it is written."""
        d = self.folder.name
        *ours, theirs = free_ports(len(OURS) + 1)
        pages = [dict(metrics[1], host="127.0.0.1", port=port) for port in metrics[0]] if metrics else [None] * (len(OURS) + 1)
        self.tailraces = [start_tailrace(d, config(pipelines, d, name, port, page), name, ("--workers", name[-1], *args))[0]
                          for name, port, page in zip(OURS, ours, pages)]
        self.otelcol = start_otelcol(d, config(pipelines, d, "otelcol", theirs, pages[-1]), theirs, args=args)
        self.addresses = [f"127.0.0.1:{port}" for port in (*ours, theirs)]

    def stop(self):
        for t in self.tailraces:
            self.assertEqual(t.stop(), 0)
        self.otelcol.stop()

    def post_all(self, body):
        for a in self.addresses:
            post(a, body)

    def stop_and_compare(self, pipelines, all_spans):
        self.stop()
        shares, differences = set(), []
        for name in pipelines:
            theirs = kept(self.folder.name, "otelcol", name)
            shares.add(sum(theirs.values()))
            for program in OURS:
                ours = kept(self.folder.name, program, name)
                missing, extra = theirs - ours, ours - theirs
                if missing or extra:
                    differences.append(f"{program}, {name}: {len(missing)} spans missing, {len(extra)} too many of "
                                       f"{sum(theirs.values())}; first {list((missing or extra).keys())[:3]}")
            print(f"{name}: {sum(theirs.values())} of {all_spans} spans kept")
        self.assertEqual(differences, [])
        return shares
