# SPDX-License-Identifier: Apache-2.0
"""Power cuts, with `fsync: true`: a request is acknowledged when it is on the disk, and not before.

tests/preload/powercut.c keeps a second copy of what was synced. The daemon is killed under load; its directory is built
anew from names and bytes that were synced, and of all other pages by the throw of a coin, as a disk writes them in any
order. What was acknowledged must come out of that directory.

TAILRACE_POWER_ROUNDS: how often (6).
"""
import os
import random
import shutil
import subprocess
import tempfile
import threading
import unittest

from otlp_client import GrpcClient, request, span
from otlp_http import Backend
from tailrace import Daemon, wait_for

ROUNDS = int(os.environ.get("TAILRACE_POWER_ROUNDS", "6"))
HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = 4096
QUEUE = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}}
extensions: {file_storage: {directory: '%s', create_directory: true, fsync: %s}}
exporters:
  otlp_http:
    endpoint: '%s'
    compression: none
    retry_on_failure: {initial_interval: 20ms, max_interval: 50ms, max_elapsed_time: 0}
    sending_queue: {storage: file_storage, num_consumers: 2}
service: {extensions: [file_storage], pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}}
"""


class Sender(threading.Thread):
    """Sends until the connection breaks; notes what was acknowledged."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.acknowledged = port, []
        self.start()

    def run(self):
        try:
            with GrpcClient(self.port) as c:
                while True:
                    spans = [(os.urandom(16), os.urandom(8)) for _ in range(random.randint(1, 40))]
                    if c.export(request([span(t, s) for t, s in spans], size=random.choice((0, 3000)))).code == 0:
                        self.acknowledged.extend((t.hex(), s.hex()) for t, s in spans)
        except (OSError, AssertionError):
            pass


class Disk:
    """The directory that the daemon sees, and what of it is on the disk."""

    def __init__(self, top):
        self.seen, self.disk, self.lib = os.path.join(top, "seen"), os.path.join(top, "disk"), os.path.join(top, "powercut.so")
        os.mkdir(self.seen)
        os.mkdir(self.disk)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.lib, os.path.join(HERE, "../preload/powercut.c"), "-lpthread"], check=True)

    def env(self):
        asan = os.environ.get("ASAN_OPTIONS", "")
        return {"LD_PRELOAD": self.lib, "POWERCUT_WATCH": self.seen, "POWERCUT_DISK": self.disk,
                "ASAN_OPTIONS": (asan + ":" if asan else "") + "verify_asan_link_order=0"}

    def forget(self):
        """Everything is on the disk: the state that the next cut begins with."""
        shutil.rmtree(self.disk)
        os.mkdir(self.disk)
        for folder, folders, files in os.walk(self.seen):
            with open(os.path.join(self.disk, "dir-%d" % os.stat(folder).st_ino), "w", encoding="utf-8") as f:
                for name in folders + files:
                    f.write("%d %s\n" % (os.stat(os.path.join(folder, name)).st_ino, name))
            for name in files:
                path = os.path.join(folder, name)
                shutil.copyfile(path, os.path.join(self.disk, "file-%d" % os.stat(path).st_ino))

    def pages(self, synced, current, coin):
        """A file's bytes after the cut: each page as it was synced, or as it has become since."""
        n = max(len(synced), len(current)) if coin.random() < 0.5 else len(synced)
        out = bytearray(synced[:n].ljust(n, b"\0"))
        for at in range(0, min(n, len(current)), PAGE):
            if coin.random() < 0.5:
                page = current[at:at + PAGE][:n - at]
                out[at:at + len(page)] = page
        return bytes(out)

    def cut(self, coin, keep_nothing):
        """Builds `seen` anew from what is on the disk."""
        now = {}
        for folder, _, files in os.walk(self.seen):
            for name in files:
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    now[os.stat(path).st_ino] = f.read()
        after = self.seen + ".after"
        self.build(os.stat(self.seen).st_ino, after, now, coin, keep_nothing)
        shutil.rmtree(self.seen)
        os.rename(after, self.seen)
        self.forget()

    def build(self, inode, path, now, coin, keep_nothing):
        os.mkdir(path)
        names = os.path.join(self.disk, "dir-%d" % inode)
        lines = []
        if os.path.exists(names):
            with open(names, encoding="utf-8") as f:
                lines = f.read().splitlines()
        for line in lines:
            ino, name = line.split(" ", 1)
            file, target = os.path.join(self.disk, "file-" + ino), os.path.join(path, name)
            if int(ino) in now or os.path.exists(file):
                synced = b""
                if os.path.exists(file):
                    with open(file, "rb") as f:
                        synced = f.read()
                with open(target, "wb") as f:
                    f.write(synced if keep_nothing else self.pages(synced, now.get(int(ino), b""), coin))
            else:
                self.build(int(ino), target, now, coin, keep_nothing)

    def segments(self):
        return [os.path.join(folder, f) for folder, _, files in os.walk(self.seen) for f in files if f.endswith(".seg")]


class PowerCut(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.disk = Disk(tmp.name)
        self.seed = int.from_bytes(os.urandom(4), "big")
        self.coin = random.Random(self.seed)

    def run_and_cut(self, config, n):
        """Under load until some requests were acknowledged, then dark. What was."""
        with Daemon(config, ["--workers", "2"], env=self.disk.env()) as d:
            d.wait_ready()
            senders = [Sender(d.port("Starting GRPC server")) for _ in range(3)]
            enough = self.coin.randint(20, 300)
            wait_for(lambda: sum(len(s.acknowledged) for s in senders) > enough, lambda: "requests to be taken: %s" % d.log()[-2000:])
            d.process.kill()
            d.wait_exit()
            for s in senders:
                s.join(60)
        self.disk.cut(self.coin, n % 3 == 0)
        return {x for s in senders for x in s.acknowledged}

    def arrives(self, config, backend, expected):
        with Daemon(config, ["--workers", "2"], env=self.disk.env()) as d:
            d.wait_ready()
            wait_for(lambda: expected <= backend.distinct(),
                     lambda: "seed %d: %d of %d missing\n%s" % (self.seed, len(expected - backend.distinct()), len(expected), d.log()[-3000:]))
            wait_for(lambda: d.ledger()["held"] == 0, "nothing to be held")
            self.assertEqual(d.stop(), 0)

    def test_queue(self):
        up = [False]
        acknowledged = set()
        with Backend(lambda _: 200 if up[0] else 503) as backend:
            backend.server.handle_error = lambda *_: None
            config = QUEUE % (self.disk.seen + "/queue", "true", backend.url)
            for n in range(ROUNDS):
                up[0] = n % 2 == 1  # what was delivered as well, and queues that are emptied at the moment
                acknowledged |= self.run_and_cut(config, n)
            up[0] = True
            self.arrives(config, backend, acknowledged)

    def test_without_fsync_nothing_is_safe(self):
        """The measure measures: without fsync nothing at all is on that disk."""
        with Backend(lambda _: 503) as backend:
            self.assertGreater(len(self.run_and_cut(QUEUE % (self.disk.seen + "/queue", "false", backend.url), 0)), 20)
        self.assertEqual(self.disk.segments(), [])


if __name__ == "__main__":
    unittest.main()
