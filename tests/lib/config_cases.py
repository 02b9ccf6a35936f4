# SPDX-License-Identifier: Apache-2.0
"""The configuration corpus: tests/config/*.cases.

A case is a block:

    === name
    verdict: accept | refuse
    collector: accept | refuse, why      only where the Collector's `validate` says otherwise
    says: 3:5: processors.batch.x: ...   a line of our output begins with this, behind the file's name
    ---
    the configuration, up to the next ===
"""
import glob
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ConfigCase:
    def __init__(self, group, name):
        self.group, self.name = group, name
        self.verdict, self.collector, self.why, self.says, self.text = "accept", None, "", [], []

    def set(self, line):
        key, _, value = line.partition(": ")
        if key == "verdict" and value in ("accept", "refuse"):
            self.verdict = value
        elif key == "collector":
            self.collector, _, self.why = value.partition(", ")
        elif key == "says":
            self.says.append(value)
        else:
            raise ValueError(f"{self.group}: {self.name}: {line}")


def read_cases():
    cases = []
    for path in sorted(glob.glob(os.path.join(ROOT, "tests", "config", "*.cases"))):
        case, in_text = None, False
        with open(path, encoding="utf-8", newline="") as f:
            for line in f.read().split("\n"):
                if line.startswith("=== "):
                    case, in_text = ConfigCase(os.path.basename(path), line[4:]), False
                    cases.append(case)
                elif in_text:
                    case.text.append(line)
                elif line == "---":
                    in_text = True
                elif line:
                    case.set(line)
    for case in cases:  # the empty line before the next block is not part of the text
        text = "\n".join(case.text)
        case.text = text[:-1] if text.endswith("\n\n") else text.rstrip("\n") + "\n" if text.strip() else ""
    return cases


def validate(binary, case, folder):
    """(accepted, stderr), with the file called c.yaml."""
    with open(os.path.join(folder, "c.yaml"), "w", encoding="utf-8", newline="") as f:
        f.write(case.text)
    env = {k: v for k, v in os.environ.items() if not k.startswith("TAILRACE_TEST_")}
    r = subprocess.run([os.path.abspath(binary), "validate", "--config", "c.yaml"], cwd=folder, env=env,
                       capture_output=True, text=True, timeout=60, errors="replace", check=False)
    return r.returncode == 0, r.stderr
