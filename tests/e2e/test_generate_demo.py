# SPDX-License-Identifier: Apache-2.0
"""generate and demo: the same seed makes the same traffic, what is made is valid and varied, and the
demo accounts for every span it sent."""
import os
import re
import struct
import subprocess
import tempfile
import unittest

from tailrace import BINARY, Daemon

CONFIG = """
receivers: {otlp: {protocols: {http: {endpoint: 127.0.0.1:0}}}}
exporters: {nop: }
service: {pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}
"""


def run(*args, **kw):
    return subprocess.run([BINARY] + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                          universal_newlines=True, **kw)


def numbers(text):
    m = re.search(r"(\d+) traces \((\d+) failed, (\d+) slow\), (\d+) spans, (\d+) secrets, in (\d+) requests", text)
    return [int(x) for x in m.groups()]


class Generate(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def file(self, name, *args):
        path = os.path.join(self.dir.name, name)
        r = run("generate", "--file", path, "--traces", "200", "--start", "1700000000000000000", *args)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        with open(path, "rb") as f:
            return f.read(), r.stdout

    def test_same_seed_same_bytes(self):
        a, out = self.file("a", "--seed", "7")
        b, _ = self.file("b", "--seed", "7")
        c, _ = self.file("c", "--seed", "8")
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)
        traces, failed, slow, spans, secrets, requests = numbers(out)
        self.assertEqual(traces, 200)
        self.assertTrue(0 < failed < 60 and 0 < slow < 60 and 0 < secrets < 120)
        self.assertTrue(3 * traces <= spans <= 12 * traces)
        n, at = 0, 0
        while at < len(a):
            (length,) = struct.unpack_from(">I", a, at)
            at += 4 + length
            n += 1
        self.assertEqual((n, at), (requests, len(a)))

    def test_fewer_services(self):
        _, out = self.file("a", "--services", "1")
        traces, _, _, spans, _, requests = numbers(out)
        self.assertEqual(spans, traces)
        self.assertEqual(requests, 20)

    def test_a_daemon_takes_it_all(self):
        with Daemon(CONFIG) as d:
            d.wait_ready()
            port = d.port("Starting HTTP server")
            r = run("generate", "--endpoint", "127.0.0.1:%d" % port, "--traces", "300")
            self.assertEqual((r.returncode, r.stderr), (0, ""))
            spans = numbers(r.stdout)[3]
            d.wait_metric('tailrace_pipeline_exported_spans{pipeline="traces"}', spans)

    def test_mistakes(self):
        for args, text in ((["--traces", "x"], 'invalid argument "x" for "--traces"'), (["--nope"], "unknown flag: --nope"),
                           (["--seed"], "flag needs an argument: --seed"), (["more"], 'unexpected argument "more"'),
                           (["--rate", "-1"], 'invalid argument "-1" for "--rate"'), (["--services", "11"], "from 1 to 10"),
                           (["--endpoint", "nocolon"], "is not HOST:PORT"), (["--file", "/nowhere/x"], "/nowhere/x"),
                           (["--endpoint", "127.0.0.1:1"], "Connection refused")):
            r = run("generate", *args)
            self.assertEqual((r.returncode, r.stdout), (1, ""), args)
            self.assertIn(text, r.stderr)
        self.assertIn("--endpoint HOST:PORT", run("generate", "--help").stdout)


class Demo(unittest.TestCase):
    def check(self, **kw):
        with tempfile.TemporaryDirectory() as tmp:
            r = run("demo", "--traces", "120", "--seed", "3", env=dict(os.environ, TMPDIR=tmp), **kw)
            self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
            self.assertEqual(os.listdir(tmp), [])
        sent = int(re.search(r"slow\), (\d+) spans", r.stdout).group(1))
        secrets = int(re.search(r"(\d+) secrets in them", r.stdout).group(1))
        failed = int(re.search(r"\((\d+) with errors", r.stdout).group(1))

        def row(name):
            return int(re.search(r"^ +%s +(\d+) " % name, r.stdout, re.M).group(1))

        self.assertEqual(row("received"), sent)
        self.assertEqual(row("accounted for"), sent)
        self.assertIn("= received", r.stdout)
        self.assertEqual(row("exported to debug and file") + row("sampled out"), sent)
        self.assertEqual(row("wanted by errors"), failed)
        self.assertEqual(row("traces kept") + row("traces sampled out"), 120)
        self.assertEqual(row("secrets masked before anything else"), secrets)
        self.assertEqual(row("still held"), 0)
        self.assertIn("One of the kept traces", r.stdout)
        self.assertIn("ERROR", r.stdout)
        self.assertIn("= ****", r.stdout)
        self.assertIn("jaeger", r.stdout)
        return r.stdout

    def test_in_the_tree(self):
        out = self.check()
        line = int(re.search(r"line (\d+) of deploy/quickstart.yaml", out).group(1))
        with open("deploy/quickstart.yaml", encoding="utf-8") as f:
            self.assertIn("sampling_percentage:", f.read().split("\n")[line - 1])

    def test_outside_the_tree_with_the_built_in_copy(self):
        global BINARY
        BINARY = os.path.abspath(BINARY)
        with tempfile.TemporaryDirectory() as away:
            self.check(cwd=away)

    def test_mistakes(self):
        r = run("demo", "--traces", "0")
        self.assertEqual(r.returncode, 1)
        self.assertIn('"--traces"', r.stderr)


if __name__ == "__main__":
    unittest.main()
