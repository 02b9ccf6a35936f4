# SPDX-License-Identifier: Apache-2.0
"""The command line: subcommands, flags, exit codes, what goes to stdout and what to stderr."""
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

BINARY = os.environ.get("TAILRACE", "build/tailrace")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

GOOD = """
receivers: {otlp: {protocols: {grpc: {endpoint: "localhost:4317"}}}}
processors: {batch: {timeout: 2s}}
exporters: {otlp_http: {endpoint: "http://backend:4318", headers: {authorization: s3cret}}, nop: }
service: {pipelines: {traces: {receivers: [otlp], processors: [batch], exporters: [otlp_http, nop]}}}
"""
BAD = GOOD.replace("timeout: 2s", "tmieout: 2s").replace("exporters: [otlp_http, nop]", "exporters: [oltp_http]")


def run(*args, env=None, stdin=None):
    r = subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                       env=dict(os.environ, **(env or {})))
    return r.returncode, r.stdout, r.stderr


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def file(self, text, name="collector.yaml"):
        path = os.path.join(self.dir.name, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path


class General(Case):
    def test_version(self):
        for flag in ("--version", "-v"):
            self.assertEqual(run(flag), (0, "tailrace version 0.1.0\n", ""))

    def test_help(self):
        for args in (["--help"], ["-h"], ["help"], ["validate", "--help"], ["help", "validate"]):
            code, out, err = run(*args)
            self.assertEqual((code, err), (0, ""), args)
            for word in ("--config", "--set", "--workers", "validate", "print-config", "featuregate", "generate", "demo"):
                self.assertIn(word, out)

    def test_wrong_arguments(self):
        path = self.file(GOOD)
        for args, said in (
            ([], "Error: at least one config flag must be provided\n"),
            (["validate"], "Error: at least one config flag must be provided\n"),
            (["--foo"], "Error: unknown flag: --foo\n"),
            (["-x"], "Error: unknown flag: -x\n"),
            (["foo"], "Error: unknown command \"foo\" for \"tailrace\"\nRun 'tailrace --help' for usage.\n"),
            (["validate", "--config"], "Error: flag needs an argument: --config\n"),
            (["validate", "--config", path, "extra"], "Error: unexpected argument \"extra\"\n"),
            (["validate", "--config", path, "--mode", "redacted"], "Error: unknown flag: --mode\n"),
            (["validate", "--config", path, "--set", "foo"],
             "Error: invalid argument \"foo\" for \"--set\" flag: missing equal sign\n"),
            (["--workers", "0"], "Error: invalid argument \"0\" for \"--workers\" flag: 1 to 256\n"),
            (["--workers=two"], "Error: invalid argument \"two\" for \"--workers\" flag: 1 to 256\n"),
            (["--shutdown-timeout", "5"], "Error: invalid argument \"5\" for \"--shutdown-timeout\" flag: "
                                          "a unit is missing: write 30s, 1m30s or 500ms\n"),
            (["--shutdown-timeout", "0s"], "Error: invalid argument \"0s\" for \"--shutdown-timeout\" flag: at least 1ms\n"),
            (["print-config", "--config", path, "--mode=all"], "Error: invalid mode \"all\": modes are: redacted, unredacted\n"),
            (["print-config", "--config", path, "--format=xml"], "Error: invalid format \"xml\": formats are: yaml, json\n"),
            (["print-config", "--config", path, "--validate=no"], "Error: invalid argument \"no\" for \"--validate\" flag: true or false\n"),
            (["--feature-gates=x.y", "--config", path], "Error: invalid argument \"x.y\" for \"--feature-gates\" flag: no such feature gate \"x.y\"\n"),
            (["featuregate", "x.y"], "Error: feature \"x.y\" not found\n"),
        ):
            self.assertEqual(run(*args), (1, "", said), args)


class Validate(Case):
    def test_good(self):
        path = self.file(GOOD)
        for args in (["validate", "--config", path], ["--config", path, "validate"], ["--config=" + path, "validate"],
                     ["validate", "--config", "file:" + path], ["validate", "--config", "yaml:" + GOOD]):
            code, out, err = run(*args)
            self.assertEqual((code, err), (0, ""), args)
            self.assertIn("Memory at most, from this configuration:", out)
        self.assertEqual(run("validate", "--config", "env:WHOLE", env={"WHOLE": GOOD})[0], 0)

    def test_bad(self):
        path = self.file(BAD)
        code, out, err = run("validate", "--config", path)
        self.assertEqual((code, out), (1, ""))
        self.assertIn(f"{path}:3:22: processors.batch.tmieout: unknown key, did you mean \"timeout\"?\n  timeout: duration, ", err)
        self.assertIn(f"{path}:5:84: service.pipelines.traces.exporters: exporter \"oltp_http\" is not configured, "
                      "did you mean \"otlp_http\"?\n", err)
        self.assertTrue(err.endswith("Error: the configuration cannot be used: 2 errors\n"), err)

    def test_run_says_the_same_as_validate(self):
        path = self.file(BAD)
        expected = run("validate", "--config", path)
        self.assertEqual(run("--config", path), expected)
        self.assertEqual(run("run", "--config", path), expected)

    def test_warnings_do_not_fail(self):
        path = self.file(GOOD.replace("timeout: 2s", "timeout: 5"))
        code, out, err = run("validate", "--config", path)
        self.assertEqual(code, 0)
        self.assertIn("Memory at most", out)
        self.assertIn(f"{path}:3:31: warning: processors.batch.timeout: 5 without a unit means nanoseconds; for seconds write 5s\n", err)
        self.assertNotIn("Error", err)

    def test_feature_gates_count(self):
        """What a gate makes a component hold is in the formula."""
        path = self.file(GOOD.replace("processors: {batch: {timeout: 2s}}", "processors: {tail_sampling: {num_traces: 1000000, policies: []}, batch: }")
                         .replace("processors: [batch]", "processors: [tail_sampling, batch]"))
        gate = "--feature-gates=+processor.tailsamplingprocessor."
        line = re.compile(r"^ *([\d.]+) MiB  tail_sampling: what feature gates note of traces, by num_traces \(1000000\)$", re.M)
        sums = []
        for gates in ("recordpolicy", "usetracestate", "metricstatcountbytessampled"):
            code, out, _ = run("validate", "--config", path, gate + gates)
            self.assertEqual(code, 0)
            found = line.search(out)
            sums.append(float(found.group(1)) if found else 0)
        self.assertEqual(sums[0], 0)
        self.assertGreater(sums[1], 1000000 * 8 / 2 ** 20 - 0.1)
        self.assertGreater(sums[2], sums[1])

    def test_missing_file(self):
        code, out, err = run("validate", "--config", "/nowhere/x.yaml")
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(err, "--config /nowhere/x.yaml: cannot read the file /nowhere/x.yaml: No such file or directory\n"
                              "Error: the configuration cannot be used: 1 error\n")

    def test_merging_and_set(self):
        a, b = self.file(GOOD), self.file("processors: {batch: {send_batch_size: 5}}", "b.yaml")
        code, out, err = run("print-config", "--config", a, "--config", b, "--set", "processors.batch.timeout=7s",
                             "--set=processors.batch.send_batch_max_size=9")
        self.assertEqual((code, err), (0, ""))
        for line in ("timeout: 7s", "send_batch_size: 5", "send_batch_max_size: 9"):
            self.assertIn(line, out)

    def test_memory_limit_of_the_file(self):
        path = self.file(GOOD.replace("processors: {batch: {timeout: 2s}}",
                                      "processors: {memory_limiter: {check_interval: 1s, limit_mib: 256, spike_limit_mib: 56}, batch: }")
                         .replace("processors: [batch]", "processors: [memory_limiter, batch]"))
        code, out, err = run("validate", "--config", path, "--workers", "3")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("    256.00 MiB  budget of requests, batches, held traces and queues (memory_limiter)\n", out)
        self.assertIn("    200.00 MiB  of the budget in use", out)
        self.assertIn("caches of 3 workers", out)

    def test_where_a_full_queue_drops(self):
        text = "while the queue of %s is full, spans that batch has acknowledged are dropped: %s must not wait for it"
        self.assertNotIn("while the queue", run("validate", "--config", self.file(GOOD))[1])
        two = GOOD.replace("nop: }", "otlp_grpc: {endpoint: 'b:1', tls: {insecure: true}}}").replace(", nop]", ", otlp_grpc]")
        _, out, err = run("validate", "--config", self.file(two))
        self.assertEqual(err, "")
        self.assertIn("traces: " + text % ("otlp_http", "otlp_grpc"), out)
        self.assertIn("traces: " + text % ("otlp_grpc", "otlp_http"), out)
        waits = two.replace("http://backend:4318\"", "http://backend:4318\", sending_queue: {block_on_overflow: true}")
        out = run("validate", "--config", self.file(waits))[1]
        self.assertNotIn(text % ("otlp_http", "otlp_grpc"), out)
        self.assertIn(text % ("otlp_grpc", "otlp_http"), out)
        pipelines = GOOD.replace("exporters: [otlp_http, nop]}", "exporters: [otlp_http]}, traces/b: {receivers: [otlp], "
                                 "exporters: [otlp_grpc]}").replace("nop: }", "otlp_grpc: {endpoint: 'b:1', tls: {insecure: true}}}")
        self.assertIn(text % ("otlp_http", "traces/b, which otlp feeds too,"), run("validate", "--config", self.file(pipelines))[1])

    def test_feature_gates(self):
        path = self.file(GOOD)
        code, _, err = run("validate", "--config", path, "--feature-gates=+confmap.unifyEnvVarExpansion,-telemetry.x,+processor.tailsamplingprocessor.recordpolicy")
        self.assertEqual(code, 0)
        self.assertEqual(err, "warning: the feature gate confmap.unifyEnvVarExpansion is accepted, it has no effect here\n"
                              "warning: the feature gate telemetry.x is accepted, it has no effect here\n")

    def test_full_device(self):
        if os.path.exists("/dev/full"):
            with open("/dev/full", "w", encoding="utf-8") as full:
                r = subprocess.run([BINARY, "reference"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
            self.assertEqual((r.returncode, r.stderr), (1, b"Error: cannot write to standard output\n"))


class PrintConfig(Case):
    def test_secrets(self):
        path = self.file(GOOD)
        for command in ("print-config", "print-initial-config"):
            code, out, err = run(command, "--config", path)
            self.assertEqual((code, err), (0, ""))
            self.assertIn("[REDACTED]", out)
            self.assertNotIn("s3cret", out)
        self.assertIn("s3cret", run("print-config", "--config", path, "--mode", "unredacted")[1])

    def test_json_has_the_same_content(self):
        code, out, _ = run("print-config", "--config", self.file(GOOD), "--format=json", "--mode=unredacted")
        self.assertEqual(code, 0)
        tree = json.loads(out)
        self.assertEqual(tree["processors"]["batch"]["timeout"], 2_000_000_000)
        self.assertEqual(tree["exporters"]["otlp_http"]["headers"], [{"name": "authorization", "value": "s3cret"}])
        self.assertEqual(tree["service"]["pipelines"]["traces"], {"receivers": ["otlp"], "processors": ["batch"],
                                                                 "exporters": ["otlp_http", "nop"]})
        self.assertEqual(sorted(tree), ["connectors", "exporters", "extensions", "processors", "receivers", "service"])

    def test_output_is_a_configuration_with_the_same_output(self):
        for name in [self.file(GOOD)] + [os.path.join(ROOT, "deploy", n) for n in ("collector.yaml", "quickstart.yaml")]:
            code, once, _ = run("print-config", "--config", name, "--mode=unredacted")
            self.assertEqual(code, 0, name)
            code, twice, err = run("print-config", "--config", self.file(once, "again.yaml"), "--mode=unredacted")
            self.assertEqual(code, 0, err)
            self.assertEqual(once, twice)

    def test_faulty_on_request(self):
        path = self.file(BAD)
        self.assertEqual(run("print-config", "--config", path)[0:2], (1, ""))
        code, out, err = run("print-config", "--config", path, "--validate=false")
        self.assertEqual(code, 0)
        self.assertIn("timeout: 200ms", out)
        self.assertIn("unknown key, did you mean", err)


class Tables(Case):
    def test_components(self):
        code, out, err = run("components")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("    command: tailrace\n", out)
        for section in ("buildinfo", "receivers", "processors", "exporters", "connectors", "extensions", "providers"):
            self.assertRegex(out, f"(?m)^{section}:")
        self.assertRegex(out, r"- name: otlp_grpc\n      module: tailrace 0\.1\.0\n      stability:\n        traces: Stable\n")
        self.assertNotRegex(out, r"- name: otlphttp\n")  # aliases are left out

    def test_featuregate(self):
        code, out, err = run("featuregate")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out.splitlines()[0], "^ID +Enabled +Stage +Description$")
        self.assertIn("processor.tailsamplingprocessor.recordpolicy", out)
        code, out, _ = run("featuregate", "processor.tailsamplingprocessor.recordpolicy")
        self.assertEqual((code, len(out.splitlines())), (0, 2))

    def test_reference_page_is_current(self):
        code, out, err = run("reference")
        self.assertEqual((code, err), (0, ""))
        with open(os.path.join(ROOT, "docs", "configuration.md"), encoding="utf-8") as f:
            self.assertEqual(f.read(), out, "docs/configuration.md is stale: run make docs")


class Run(Case):
    NOP = ("yaml:receivers: {nop: }\nexporters: {nop: }\nservice: {telemetry: {metrics: {level: none}}, "
           "pipelines: {traces: {receivers: [nop], exporters: [nop]}}}")

    def test_stop_is_clean(self):
        for args in (["--config", self.NOP], ["run", "--config", self.NOP, "--workers=1", "--shutdown-timeout=5s"]):
            p = subprocess.Popen([BINARY, *args], stderr=subprocess.PIPE, text=True)
            for line in p.stderr:
                if "Everything is ready" in line:
                    break
            p.send_signal(signal.SIGTERM)
            p.stderr.read()
            self.assertEqual(p.wait(timeout=60), 0)
            p.stderr.close()

    def test_warnings_are_log_lines(self):
        logs = "yaml:service: {telemetry: {logs: {encoding: json}}}"
        p = subprocess.Popen([BINARY, "--config", self.NOP, "--config", logs, "--set", "processors.batch.timeout=5"],
                             stderr=subprocess.PIPE, text=True)
        seen = []
        for line in p.stderr:
            seen.append(json.loads(line))
            if seen[-1]["msg"] == "Everything is ready. Begin running and processing data.":
                break
        p.send_signal(signal.SIGTERM)
        p.stderr.read()
        self.assertEqual(p.wait(timeout=60), 0)
        p.stderr.close()
        warnings = [(s["warning"], s["at"], s["level"]) for s in seen if s["msg"] == "Configuration"]
        self.assertIn(("processors.batch.timeout: 5 without a unit means nanoseconds; for seconds write 5s",
                       "--set processors.batch.timeout=5", "warn"), warnings)
        self.assertIn(("processors.batch: no pipeline uses this processor", "--set processors.batch.timeout=5", "warn"), warnings)


if __name__ == "__main__":
    unittest.main()
