# SPDX-License-Identifier: Apache-2.0
"""What lies in deploy/ and stands in the documentation is right for this binary: configurations validate without a
warning, limits hold what `validate` computes, flags exist, packages and metric names are the real ones."""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

from tailrace import BINARY, Daemon

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MANIFESTS = sorted(glob.glob(os.path.join(ROOT, "deploy/kubernetes/*.yaml")))
ENV = {"PATH": os.environ["PATH"], "POD_IP": "10.1.2.3", "NODE_NAME": "node-1"}
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SIZES = {"Mi": 1 << 20, "Gi": 1 << 30}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def validate(config, *flags, env=None):
    """(exit code, stdout, stderr) of `tailrace validate` on a configuration's text."""
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "collector.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(config)
        r = subprocess.run([BINARY, "validate", "--config", path, *flags], capture_output=True, text=True, timeout=60,
                           env=dict(ENV, **(env or {})))
        return r.returncode, r.stdout, r.stderr


def in_all_bytes(validated):
    number, unit = re.search(r"^ *([0-9.]+) (\w+) +in all$", validated, re.M).groups()
    return float(number) * UNITS[unit]


def yaml_blocks(text):
    """The fenced yaml blocks of a page, without their indentation."""
    for indent, block in re.findall(r"^( *)```ya?ml\n(.*?)^\1```$", text, re.M | re.S):
        yield "".join(line[len(indent):] if line.startswith(indent) else line
                      for line in block.splitlines(keepends=True))


def whole(block):
    """A configuration that could be run, rather than a piece of one."""
    parsed = yaml.safe_load(block)
    return isinstance(parsed, dict) and "pipelines" in (parsed.get("service") or {})


def tailrace_container(document):
    spec = document.get("spec", {})
    spec = spec.get("template", {}).get("spec", spec)
    found = [c for c in spec.get("containers", []) if c["image"].startswith("tailrace:")]
    return found[0] if found else None


class Manifest:
    """A Kubernetes file with one configuration and one container that runs it."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            documents = list(yaml.safe_load_all(f))
        configs = [d["data"]["collector.yaml"] for d in documents if d["kind"] == "ConfigMap"]
        containers = [c for c in map(tailrace_container, documents) if c]
        assert len(configs) == 1 and len(containers) == 1, path
        self.documents, self.config, self.container = documents, configs[0], containers[0]
        limit = self.container["resources"]["limits"]["memory"]
        self.limit_bytes = int(limit[:-2]) * SIZES[limit[-2:]]

    def flags(self):
        """The container's arguments after --config FILE."""
        args = self.container["args"]
        assert args[:2] == ["--config", "/etc/tailrace/collector.yaml"], args
        return args[2:]


class Configurations(unittest.TestCase):
    def clean(self, where, config, *flags, env=None):
        code, out, err = validate(config, *flags, env=env)
        self.assertEqual((code, err), (0, ""), where)
        return out

    def test_plain_files(self):
        for path in ("deploy/collector.yaml", "deploy/quickstart.yaml"):
            self.clean(path, read(path))

    def test_manifests(self):
        self.assertGreaterEqual(len(MANIFESTS), 3)
        for path in MANIFESTS:
            m = Manifest(path)
            self.clean(path, m.config, *m.flags())

    def test_open_addresses_are_the_only_warnings_in_compose(self):
        compose = yaml.safe_load(read("deploy/compose/docker-compose.yaml"))
        service = compose["services"]["tailrace"]
        self.assertIn("../collector.yaml:/etc/tailrace/collector.yaml:ro", service["volumes"])
        code, _, err = validate(read("deploy/collector.yaml"), env=service["environment"])
        warnings = [line for line in err.splitlines() if ": warning: " in line]
        self.assertEqual((code, ": error: " in err), (0, False), err)
        self.assertEqual(len(warnings), 4, err)
        for line in warnings:
            self.assertRegex(line, "every (network )?interface")

    def test_blocks_of_pages(self):
        for path in sorted(glob.glob(os.path.join(ROOT, "docs/*.md"))) + [os.path.join(ROOT, "README.md")]:
            text = read(path)
            self.assertEqual(text.count("```") % 2, 0, path)
            for block in yaml_blocks(text):
                if whole(block):
                    env = {name: "http://127.0.0.1:4999" for name in re.findall(r"\$\{env:(\w+)\}", block)}
                    self.clean(path + ":\n" + block, block, env=env)

    def test_blocks_are_found(self):
        page = "text\n```yaml\na: 1\n```\n- item\n\n  ```yaml\n  service:\n    pipelines: {}\n  ```\n```\nno\n```\n"
        self.assertEqual(list(yaml_blocks(page)), ["a: 1\n", "service:\n  pipelines: {}\n"])
        self.assertEqual([whole(b) for b in yaml_blocks(page)], [False, True])


class Limits(unittest.TestCase):
    def fits(self, where, config, limit_bytes, flags):
        """With that cgroup limit, everything validate counts stays under it, with room for what it cannot count."""
        limiter = yaml.safe_load(config)["processors"]["memory_limiter"]
        self.assertLessEqual(limiter["limit_percentage"], 85, where)
        sets = []
        for key in ("limit", "spike_limit"):
            mib = int(limit_bytes * limiter[key + "_percentage"] / 100 / (1 << 20))
            sets += ["--set", "processors.memory_limiter.%s_mib=%d" % (key, mib)]
        code, out, err = validate(config, *flags, *sets)
        self.assertEqual(code, 0, err)
        self.assertLess(in_all_bytes(out), limit_bytes * 0.95, where + "\n" + out)

    def test_manifests(self):
        for path in MANIFESTS:
            m = Manifest(path)
            self.fits(path, m.config, m.limit_bytes, m.flags())

    def test_workers_of_a_large_node(self):
        """Where the manifest does not say how many workers, a node with many CPUs decides."""
        for path in MANIFESTS:
            m = Manifest(path)
            if "--workers" not in m.flags():
                self.fits(path, m.config, m.limit_bytes, [*m.flags(), "--workers", "32"])

    def test_systemd_and_compose(self):
        unit = read("deploy/systemd/tailrace.service")
        memory_max = re.search(r"^MemoryMax=(\d+)G$", unit, re.M).group(1)
        self.fits("systemd", read("deploy/collector.yaml"), int(memory_max) << 30, ["--workers", "16"])
        service = yaml.safe_load(read("deploy/compose/docker-compose.yaml"))["services"]["tailrace"]
        self.assertEqual(service["mem_limit"][-1], "g")
        self.fits("compose", read("deploy/collector.yaml"), int(service["mem_limit"][:-1]) << 30, ["--workers", "16"])

    def test_a_drain_ends_before_the_kill(self):
        for path in MANIFESTS:
            m = Manifest(path)
            drain_s = int(m.flags()[m.flags().index("--shutdown-timeout") + 1].rstrip("s"))
            for d in m.documents:
                if tailrace_container(d):
                    spec = d["spec"].get("template", d)["spec"]
                    self.assertLess(drain_s, spec.get("terminationGracePeriodSeconds", 30), path)


class Programs(unittest.TestCase):
    """The same facts, as the tools that will read the files see them; a tool that is not installed is left out."""

    def test_systemd_unit(self):
        unit = read("deploy/systemd/tailrace.service")
        for line in re.findall(r"^ExecStart(?:Pre)?=(.*)$", unit, re.M):
            words = line.split()
            self.assertEqual(words[0], "/usr/local/bin/tailrace")
            flags = [w for w in words[1:] if w not in ("validate", "--config", "/etc/tailrace/collector.yaml")]
            self.assertEqual(validate(read("deploy/collector.yaml"), *flags)[::2], (0, ""))
        if not shutil.which("systemd-analyze"):
            return
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "tailrace.service")
            with open(path, "w", encoding="utf-8") as f:
                f.write(unit.replace("/usr/local/bin/tailrace", os.path.abspath(BINARY)))
            r = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=120)
            ours = [line for line in r.stderr.splitlines() if "tailrace" in line]
            self.assertEqual(ours, [])

    def test_alert_rules(self):
        if not shutil.which("promtool"):
            self.skipTest("no promtool")
        r = subprocess.run(["promtool", "check", "rules", os.path.join(ROOT, "deploy/compose/alerts.yaml")],
                           capture_output=True, text=True, timeout=60)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_alerts_watch_metrics_that_exist(self):
        free = ["--set=%s.endpoint=127.0.0.1:0" % key for key in
                ("receivers.otlp.protocols.grpc", "receivers.otlp.protocols.http", "extensions.health_check")]
        with Daemon(read("deploy/collector.yaml"), args=free) as d:
            d.wait_ready()
            page = d.get("/metrics")[2]
        known = set(re.findall(r"^# TYPE (\w+) ", page, re.M))
        rules = yaml.safe_load(read("deploy/compose/alerts.yaml"))
        named = {name for group in rules["groups"] for rule in group["rules"]
                 for name in re.findall(r"\b(?:otelcol|tailrace)_\w+", rule["expr"])}
        self.assertGreater(len(named), 3)
        self.assertGreater(len(named & known), 1)
        # A counter with labels of what went wrong has no series before something did: its row is in the code.
        sources = "".join(read(path) for path in glob.glob("*/*.c", root_dir=ROOT))
        self.assertEqual({name for name in named - known if '"%s"' % name not in sources}, set())

    def test_image_has_the_libraries(self):
        """What the binary needs comes from a package that the final image installs."""
        if os.environ.get("TAILRACE_KIND") == "sanitized" or not shutil.which("dpkg") or not shutil.which("ldd"):
            self.skipTest("a release binary on Debian only")
        last = read("deploy/container/Containerfile").rsplit("FROM ", 1)[1]
        installed = set(re.search(r"--no-install-recommends ((?:[\w.+-]+|[\s\\])+)&&", last).group(1).split()) - {"\\"}
        base = {"libc6", "libgcc-s1", "libstdc++6"}  # libstdc++6 comes with libsnappy1v5 and libre2-9
        dynamic = subprocess.run(["readelf", "-d", BINARY], capture_output=True, text=True, check=True).stdout
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
        self.assertGreater(len(needed), 5)
        where = dict(re.findall(r"(\S+) => (\S+)", subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout))
        for library in sorted(needed & set(where)):
            owner = subprocess.run(["dpkg", "-S", "*/" + library], capture_output=True, text=True, check=True).stdout
            packages = {line.split(":")[0] for line in owner.splitlines()}
            self.assertTrue(packages & (installed | base), "%s of %s is not in the Containerfile" % (library, packages))


if __name__ == "__main__":
    unittest.main()
