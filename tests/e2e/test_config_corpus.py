# SPDX-License-Identifier: Apache-2.0
"""Every case of tests/config: the verdict, and where and how it is said. Never a silent refusal."""
import os
import tempfile
import unittest

from config_cases import read_cases, validate

BINARY = os.environ.get("TAILRACE", "build/tailrace")


class Corpus(unittest.TestCase):
    def test_cases(self):
        cases = read_cases()
        self.assertGreater(len(cases), 300)
        self.assertEqual(len({c.name for c in cases}), len(cases), "two cases have one name")
        with tempfile.TemporaryDirectory() as folder:
            for case in cases:
                with self.subTest(case=case.name, file=case.group):
                    accepted, err = validate(BINARY, case, folder)
                    lines = err.split("\n")
                    self.assertEqual("accept" if accepted else "refuse", case.verdict, err)
                    for says in case.says:
                        self.assertTrue(any(line.startswith("c.yaml:" + says) or line.startswith(says) for line in lines),
                                        f"nothing begins with {says!r} in\n{err}")
                    errors = [line for line in lines if line.startswith("c.yaml") and ": warning: " not in line]
                    self.assertEqual(bool(errors), not accepted, err)
                    if not case.says:
                        self.assertEqual(err, "")


if __name__ == "__main__":
    unittest.main()
