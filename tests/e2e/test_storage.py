# SPDX-License-Identifier: Apache-2.0
"""The sending queue on disk: what was acknowledged arrives, whatever happens to the process, the backend or the disk.

TAILRACE_KILL_ROUNDS: how often the process is killed in test_kill (20; `make soak` asks for more).
"""
import ctypes
import glob
import http.client
import os
import random
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from otlp_client import GrpcClient, request, span
from otlp_http import Backend, Client
from tailrace import BINARY, DEADLINE_S, Daemon, wait_for

ROUNDS = int(os.environ.get("TAILRACE_KILL_ROUNDS", "20"))
STORED = 'tailrace_storage_restored_spans{exporter="otlp_http"}'
ERRORS = 'tailrace_storage_errors{exporter="otlp_http"}'
BYTES = 'tailrace_storage_bytes{exporter="otlp_http"}'

CONFIG = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
extensions: {file_storage: {directory: '%s', timeout: 100ms%s}}
exporters:
  otlp_http:
    endpoint: '%s'
    compression: none
    retry_on_failure: {initial_interval: 20ms, max_interval: 50ms, max_elapsed_time: 0}
    sending_queue: {storage: file_storage, num_consumers: 4%s}
service: {extensions: [file_storage], pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}}
"""


def ids(first, n):
    return ["%032x" % (0xabc << 100 | first + i) for i in range(n)]


class Limited(Daemon):
    """Started under what preexec does (limits, fewer capabilities)."""

    def __init__(self, config, preexec, **kw):
        popen = subprocess.Popen
        try:
            subprocess.Popen = lambda *a, **k: popen(*a, preexec_fn=preexec, **k)
            super().__init__(config, **kw)
        finally:
            subprocess.Popen = popen


def quiet_backend(*args):
    """Connections that break are the point here."""
    backend = Backend(*args)
    backend.server.handle_error = lambda *_: None
    return backend


class Sender(threading.Thread):
    """Sends over gRPC until the connection breaks; notes what was acknowledged."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.acknowledged, self.sock = port, [], None

    def stop(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.join(DEADLINE_S)

    def run(self):
        try:
            with GrpcClient(self.port) as c:
                self.sock = c.sock
                while True:
                    spans = [(os.urandom(16), os.urandom(8)) for _ in range(random.randint(1, 60))]
                    if c.export(request([span(t, s) for t, s in spans], size=random.choice((0, 2000)))).code == 0:
                        self.acknowledged.extend((t.hex(), s.hex()) for t, s in spans)
        except (OSError, AssertionError):
            pass


class Storage(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)
        self.dir = self.tmp.name

    def config(self, backend, storage="", queue=""):
        return CONFIG % (self.dir, storage, backend if isinstance(backend, str) else backend.url, queue)

    def send(self, d, first, n_requests, n_spans=10):
        """All must be taken."""
        client = Client(d.port("Starting HTTP server"))
        for i in range(n_requests):
            self.assertEqual(client.send(first + i * n_spans, n_spans), 200, d.log()[-2000:])
        client.close()
        return ids(first, n_requests * n_spans)

    def traces(self, backend):
        return [t for t, _ in backend.ids]

    def wait_arrived(self, backend, expected, d):
        wait_for(lambda: set(expected) <= set(self.traces(backend)),
                 lambda: "%d of %d spans\n%s" % (len(set(self.traces(backend))), len(expected), d.log()[-3000:]))

    def wait_empty(self, d):
        wait_for(lambda: d.ledger()["held"] == 0, lambda: "an empty queue: %s" % d.ledger())

    def segments(self):
        return glob.glob(self.dir + "/**/*.seg", recursive=True)

    def test_kill(self):
        """Scenario: SIGKILL at random instants under load, the backend coming and going. Guarantees: every acknowledged
        span arrives at least once."""
        seed = int.from_bytes(os.urandom(4), "big")
        rnd, acknowledged = random.Random(seed), []
        down = [False]
        with quiet_backend(lambda _: 503 if down[0] else 200) as backend:
            for n in range(ROUNDS):
                down[0] = rnd.random() < 0.5
                with Daemon(self.config(backend, queue=", queue_size: 1000000"), ["--workers", str(1 + n % 3)]) as d:
                    d.wait_ready()
                    senders = [Sender(d.port("Starting GRPC server")) for _ in range(3)]
                    for s in senders:
                        s.start()
                    enough = rnd.randint(1, 600)
                    wait_for(lambda: sum(len(s.acknowledged) for s in senders) >= enough, lambda: "load: " + d.log()[-2000:])
                    d.process.kill()
                    for s in senders:
                        s.join(DEADLINE_S)
                        acknowledged.extend(s.acknowledged)
            down[0] = False
            with Daemon(self.config(backend)) as d:
                d.wait_ready()
                wait_for(lambda: set(acknowledged) <= set(backend.ids), lambda: "seed %d: %d of %d missing\n%s" % (
                    seed, len(set(acknowledged) - set(backend.ids)), len(acknowledged), d.log()[-3000:]))
                self.wait_empty(d)
                page = d.metrics()
                self.assertEqual(page.get('tailrace_storage_corrupt_records{exporter="otlp_http"}', 0), 0)
                self.assertEqual(d.stop(), 0)
            self.assertLessEqual(len(self.segments()), 2)

    def test_restart_with_the_backend_away(self):
        up = [False]
        with quiet_backend(lambda _: 200 if up[0] else 503) as backend:
            with Daemon(self.config(backend), ["--workers", "2"]) as d:
                d.wait_ready()
                sent = self.send(d, 1, 50)
                books = d.ledger()
                self.assertEqual((books["accepted"], books["held"]), (500, 500))
                self.assertEqual(d.stop(), 0, d.log())
                last = d.find("Span ledger")
                self.assertEqual((last["stored"], last["dropped"], last["held"]), (500, 0, 0))
            up[0] = True
            with Daemon(self.config(backend), ["--workers", "1"]) as d:
                d.wait_ready()
                self.wait_arrived(backend, sent, d)
                self.wait_empty(d)
                books = d.ledger()
                self.assertEqual((books["accepted"], books["exported"]), (500, 500))
                self.assertEqual(d.metrics()[STORED], 500)
                self.assertEqual(d.stop(), 0)
            self.assertEqual(len(backend.ids), 500)
            self.assertEqual(backend.ids and sorted(self.traces(backend)), sorted(sent))

    def test_fsync_and_a_batcher(self):
        """The sender is answered after the disk; merged batches end their records."""
        up = [False]
        with quiet_backend(lambda _: 200 if up[0] else 503) as backend:
            config = self.config(backend, ", fsync: true", ", batch: {flush_timeout: 10ms, min_size: 35, max_size: 40}")
            with Daemon(config) as d:
                d.wait_ready()
                sent = self.send(d, 1, 20)
                d.process.kill()
                d.wait_exit()
            up[0] = True
            with Daemon(config) as d:
                d.wait_ready()
                sent += self.send(d, 1000, 5)
                self.wait_arrived(backend, sent, d)
                self.wait_empty(d)
                self.assertEqual(d.stop(), 0)
            with Daemon(config) as d:
                d.wait_ready()
                more = self.send(d, 5000, 1)
                self.wait_arrived(backend, more, d)
                self.assertEqual(d.ledger()["accepted"], 10) # nothing was left

    def test_two_processes_on_one_directory(self):
        with quiet_backend() as backend, Daemon(self.config(backend)) as first:
            first.wait_ready()
            with Daemon(self.config(backend)) as second:
                self.assertEqual(second.wait_exit(), 1)
                self.assertIn("is in use by another process", second.log())
            self.wait_arrived(backend, self.send(first, 1, 3), first)

    def fallback(self, d, backend, repair):
        """The disk says no: senders are answered when the backend has their spans. Then it is repaired."""
        d.wait_ready()
        sent = self.send(d, 1, 10)
        self.assertEqual(set(sent), set(self.traces(backend))) # all of it was there before the answers
        self.assertGreaterEqual(d.metrics()[ERRORS], 10)
        repair()
        client, n = Client(d.port("Starting HTTP server")), [1000]

        def stored():
            self.assertEqual(client.send(n[0], 10), 200)
            n[0] += 10
            return d.metrics()[BYTES] > 0
        wait_for(stored, lambda: "a queue on disk: " + d.log()[-3000:])
        client.close()
        self.wait_empty(d)
        self.assertEqual(d.stop(), 0)

    def test_read_only_directory(self):
        os.chmod(self.dir, 0o555)
        self.addCleanup(os.chmod, self.dir, 0o755)

        def no_override():
            ctypes.CDLL(None).prctl(24, 1, 0, 0, 0) # root loses CAP_DAC_OVERRIDE; nobody else has it
        with quiet_backend() as backend, Limited(self.config(backend), no_override) as d:
            d.wait_ready()
            self.assertTrue(d.find("The directory of a component cannot be written to"))
            self.fallback(d, backend, lambda: os.chmod(self.dir, 0o755))

    def test_full_disk(self):
        """Played by a limit of file sizes, which the kernel checks where it checks for room."""
        def small():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        with quiet_backend() as backend, Limited(self.config(backend), small) as d:
            self.fallback(d, backend, lambda: resource.prlimit(
                d.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))

    def test_full_tmpfs(self):
        """A file system that is really full, beside a backend that is away; then the backend comes back."""
        mount = "mount -t tmpfs -o size=9m tmpfs " + self.dir
        if subprocess.run(["unshare", "-m", "sh", "-c", mount], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("needs root and a mount namespace of its own")
        up = [False]
        with quiet_backend(lambda _: 200 if up[0] else 503) as backend, \
                Daemon(self.config(backend, queue=", queue_size: 1000000"), ["--workers", "1"],
                       prefix=["unshare", "-m", "sh", "-c", mount + ' && exec "$@"', "sh"]) as d:
            d.wait_ready()
            sender = Sender(d.port("Starting GRPC server"))
            sender.start()
            wait_for(lambda: d.metrics().get(ERRORS, 0) > 0, lambda: "the disk to be full: " + d.log()[-2000:])
            self.assertGreater(len(sender.acknowledged), 1000) # what fitted
            before = len(sender.acknowledged)
            up[0] = True
            wait_for(lambda: len(sender.acknowledged) > before + 500, "requests to be taken again")
            sender.stop()
            wait_for(lambda: set(sender.acknowledged) <= backend.distinct(), lambda: "all of it: " + d.log()[-2000:])
            self.wait_empty(d)
            self.assertEqual(d.stop(), 0)

    def test_max_size_is_heard_at_the_door(self):
        up = [False]
        with quiet_backend(lambda _: 200 if up[0] else 503) as backend, \
                Daemon(self.config(backend, ", max_size: 1048576"), ["--workers", "1"]) as d:
            d.wait_ready()
            client, first, status = Client(d.port("Starting HTTP server")), 1, 200
            while status == 200:
                status = client.send(first, 200)
                first += 200
                self.assertLess(first, 100000)
            self.assertIn(status, (429, 503))
            client.close()
            self.assertLessEqual(d.metrics()[BYTES], 1 << 20)
            up[0] = True
            self.wait_arrived(backend, ids(1, first - 201), d)
            self.wait_empty(d)
            self.assertEqual(d.stop(), 0)

    def test_flipped_bits(self):
        """Guarantees: damage costs the batches it touches, is counted, and nothing else stops."""
        with quiet_backend(lambda _: 503) as backend, Daemon(self.config(backend), ["--workers", "1"]) as d:
            d.wait_ready()
            sent = self.send(d, 1, 200, 50)
            d.process.kill()
            d.wait_exit()
        [path] = self.segments()
        rnd = random.Random(os.urandom(8))
        with open(path, "r+b") as f:
            used = len(f.read().rstrip(b"\0"))
            for _ in range(30):
                at = rnd.randrange(40000, used)
                f.seek(at)
                byte = f.read(1)[0] ^ 1 << rnd.randrange(8)
                f.seek(at)
                f.write(bytes([byte]))
        with quiet_backend() as backend, Daemon(self.config(backend)) as d:
            d.wait_ready()
            d.wait_metric('tailrace_storage_corrupt_records{exporter="otlp_http"}', 1)
            sent += self.send(d, 100000, 3)
            wait_for(lambda: set(ids(100000, 30)) <= set(self.traces(backend)), "new spans")
            self.wait_empty(d)
            arrived = set(self.traces(backend))
            self.assertGreater(len(arrived), len(sent) - 31 * 50)
            self.assertLess(len(arrived), len(sent))
            self.assertLessEqual(arrived, set(sent))
            self.assertEqual(d.stop(), 0)

    def test_reload_moves_the_queue(self):
        """Scenario: the exporter gets another endpoint while the old backend is away. Guarantees: its successor sends what
        it had."""
        with quiet_backend(lambda _: 503) as away, quiet_backend() as backend, Daemon(self.config(away)) as d:
            d.wait_ready()
            sent = self.send(d, 1, 60)
            with open(d.path, "w", encoding="utf-8") as f:
                f.write(self.config(backend))
            d.signal(signal.SIGHUP)
            d.wait_log("Configuration reloaded")
            sent += self.send(d, 10000, 10)
            self.wait_arrived(backend, sent, d)
            self.wait_empty(d)
            books = d.ledger()
            self.assertEqual(books["exported"], 700)
            self.assertEqual(books["accepted"], 700 + books["stored"]) # stored by the one, accepted again by the other
            self.assertEqual(d.stop(), 0)

    def reload(self, d, config, message="Configuration reloaded"):
        before = sum(line.get("msg") == message for line in d.lines)
        with open(d.path, "w", encoding="utf-8") as f:
            f.write(config)
        d.signal(signal.SIGHUP)
        wait_for(lambda: sum(line.get("msg") == message for line in d.lines) > before, d.log)
        return [line for line in d.lines if line.get("msg") == message][-1]

    def test_the_directory_changes_live(self):
        """Scenario: the storage moves twice, and a reload between that fails, while the backend is away. Guarantees: what
        was on disk in the former directories is sent as well, and those are left empty."""
        down = [True]
        first, second, third = (os.path.join(self.dir, n) for n in ("one", "two", "three"))
        with quiet_backend(lambda _: 503 if down[0] else 200) as backend, socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()

            def config(directory, more=""):
                return self.config(backend, ", create_directory: true" + more).replace("directory: '%s'" % self.dir,
                                                                                      "directory: '%s'" % directory)
            with Daemon(config(first), ["--workers", "2"]) as d:
                d.wait_ready()
                sent = self.send(d, 1, 60)
                self.reload(d, config(second))
                sent += self.send(d, 10000, 20)
                # a start that fails after the storage took the new settings over
                failed = config(third, ", max_size: 2000000").replace("http: {endpoint: '127.0.0.1:0", "http: {endpoint: '127.0.0.1:%d" % taken.getsockname()[1])
                self.assertIn("in use", self.reload(d, failed, "The configuration was not reloaded, nothing changed")["error"])
                sent += self.send(d, 15000, 5)
                self.assertTrue(glob.glob(second + "/*/*/*.seg"))
                self.assertFalse(glob.glob(third + "/*/*/*.seg"))
                self.reload(d, config(third, ", max_size: 20000000"))
                sent += self.send(d, 20000, 20)
                self.assertTrue(glob.glob(third + "/*/*/*.seg"))
                self.assertTrue(glob.glob(first + "/*/*/*.seg"))
                down[0] = False
                self.wait_arrived(backend, sent, d)
                self.wait_empty(d)
                wait_for(lambda: not glob.glob(first + "/*/[0-9]*") and not glob.glob(second + "/*/[0-9]*"), "empty former directories")
                books = d.ledger()
                self.assertEqual(books["exported"], len(sent))
                self.assertEqual(books["accepted"], len(sent) + books["stored"])
                self.assertEqual(d.stop(), 0)
                self.assertEqual(os.listdir(first) + os.listdir(second), [])
                self.assertIsNone(d.find("Files are left in a former directory of the storage"))

    def test_the_storage_goes_live(self):
        """Scenario: a reload takes the storage out while the backend is away, another brings it back. Guarantees: what lies
        on disk is counted, kept and sent then."""
        down = [True]
        with quiet_backend(lambda _: 503 if down[0] else 200) as backend:
            with_it = self.config(backend)
            without = with_it.replace("storage: file_storage, ", "").replace("extensions: [file_storage], ", "")
            with Daemon(with_it) as d:
                d.wait_ready()
                sent = self.send(d, 1, 30)
                self.reload(d, without)
                d.wait_metric('tailrace_pipeline_stored_spans{pipeline="traces"}', len(sent))
                self.assertTrue(self.segments())
                self.reload(d, with_it)
                down[0] = False
                self.wait_arrived(backend, sent, d)
                self.wait_empty(d)
                self.assertEqual(d.stop(), 0)

    def test_documented_example(self):
        with open(os.path.join(os.path.dirname(__file__), "../../docs/operations.md"), encoding="utf-8") as f:
            example = f.read().split("```yaml\n")[1].split("```")[0]
        p = subprocess.run([BINARY, "validate", "--config", "yaml:" + example], capture_output=True, text=True, timeout=DEADLINE_S)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)

    def test_validate(self):
        def validate(config):
            p = subprocess.run([BINARY, "validate", "--config", "yaml:" + config], capture_output=True, text=True, timeout=DEADLINE_S)
            return p.returncode, p.stdout + p.stderr
        code, text = validate(self.config("http://127.0.0.1:1", ", max_size: 104857600"))
        self.assertEqual(code, 0, text)
        self.assertIn("100 MiB of disk", text)
        code, text = validate(self.config("http://127.0.0.1:1", "", ", wait_for_result: true"))
        self.assertNotEqual(code, 0)
        self.assertIn("`wait_for_result` is not supported with a persistent queue configured with `storage`", text)
        code, text = validate(self.config("http://127.0.0.1:1").replace("extensions: [file_storage], ", ""))
        self.assertNotEqual(code, 0)


if __name__ == "__main__":
    unittest.main()
