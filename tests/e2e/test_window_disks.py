# SPDX-License-Identifier: Apache-2.0
"""tail_sampling with storage on disks that are full or read-only: real file systems, where one may be mounted."""
import os
import shutil
import subprocess
import tempfile
import unittest

from otlp_http import Backend
from tailrace import Daemon, wait_for
from window import PREFIX, SPANS, config, kept, post_whole, reload

TRACES = range(100, 200)

# Mounts a file system of its own on DIR, for the daemon alone.
MOUNTED = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"', "sh"]


def may_mount(directory):
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    return subprocess.run(MOUNTED + ["size=1m", directory, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


class Disks(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        if not may_mount(self.dir):
            self.skipTest("a file system of its own cannot be mounted here: not root, or no mount namespaces")

    def mounted(self, options, backend):
        return Daemon(config(self.dir, backend.url, "600s"), ["--workers", "1"], prefix=MOUNTED + [options, self.dir])

    def decide(self, d, backend, traces):
        """All that is held, by a reload."""
        reload(d, config(self.dir, backend.url, "1s"))
        wait_for(lambda: backend.distinct() == kept(traces), "the kept traces: " + d.log())
        wait_for(lambda: d.ledger()["held"] == 0, d.log)
        books = d.ledger()
        self.assertEqual((books["accepted"], sum(books["dropped"].values())), (len(traces) * SPANS, 0), books)

    def test_a_full_disk(self):
        """Scenario: the disk has no room when spans come, and has some later. Guarantees: one warning, a metric, no span is
        refused or lost; the files are used again when there is room."""
        with Backend() as backend, self.mounted("size=16m", backend) as d:
            d.wait_ready()
            port = d.port("Starting HTTP server")
            filler = "/proc/%d/root%s/filler" % (d.process.pid, self.dir)
            with open(filler, "wb", buffering=0) as f:
                with self.assertRaises(OSError):
                    while True:
                        f.write(bytes(65536))
            post_whole(port, TRACES)
            wait_for(lambda: d.metrics()[PREFIX + "storage_working"] == 0, d.log)
            self.assertTrue(d.find("The storage does not take spans, what comes now is held in memory only"), d.log())
            wait_for(lambda: d.metrics()[PREFIX + "storage_errors"] >= 1, d.log)
            os.unlink(filler)
            more = iter(range(200, 100000))
            traces = list(TRACES)

            def works_again():
                traces.append(next(more))
                post_whole(port, traces[-1:])
                return d.find("The storage takes spans again")
            wait_for(works_again, d.log)
            self.decide(d, backend, traces)
            self.assertEqual(d.stop(), 0, d.log())

    def test_a_read_only_disk(self):
        """Scenario: the directory is read-only from the start. Guarantees: as for a full one."""
        with Backend() as backend, self.mounted("size=16m,ro", backend) as d:
            d.wait_ready()
            post_whole(d.port("Starting HTTP server"), TRACES)
            self.assertEqual(d.metrics()[PREFIX + "storage_working"], 0)
            self.decide(d, backend, TRACES)
            self.assertEqual(d.stop(), 0, d.log())


if __name__ == "__main__":
    unittest.main()
