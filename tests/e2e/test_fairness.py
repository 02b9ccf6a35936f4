# SPDX-License-Identifier: Apache-2.0
"""Fair to every sender: a client that floods does not push out those who send little.

The same flood with and without `fair_share`: what is compared is how many requests of the good clients are
taken in each. The backend takes far less than what is offered, so that somebody has to be refused. Time is what the
backend has taken: the good clients offer half of that together, however slow the machine.
"""
import threading
import unittest

from otlp_client import GrpcClient, HttpClient, request
from otlp_http import Backend
from tailrace import Daemon, wait_for

GOOD = 4
EACH = 2 * GOOD  # requests that the backend takes for one of a good client
TAKEN = 100      # how long it is measured, in requests that the backend takes
PLAN = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}, fair_share: {enabled: %s}}}
processors: {batch: {timeout: 0s}}
exporters: {otlp_http: {endpoint: '%s', sending_queue: {queue_size: 40, num_consumers: 1}}}
service: {pipelines: {traces: {receivers: [otlp], processors: [%s], exporters: [otlp_http]}}}
"""


class Fairness(unittest.TestCase):
    def flood(self, port, stopping, refused):
        body = request(20, 200)
        while not stopping.is_set():
            try:
                with HttpClient(port) as c:
                    while not stopping.is_set():
                        if c.request(body=body).status != 200:
                            refused.append(1)
                            stopping.wait(0.005)  # the backend lives in this process, and must get to run
            except (OSError, AttributeError):
                pass  # the daemon goes

    def good(self, port, begin, stopping, answers, backend):
        with GrpcClient(port) as c:
            begin.wait(60)
            while not stopping.is_set():
                answers.append(c.export(request(20, 200)).code)
                due = backend.requests + EACH
                while backend.requests < due and not stopping.is_set():
                    stopping.wait(0.01)

    def share_of_good(self, enabled, processors):
        """Part of the good clients' requests that was taken under the flood."""
        ending = threading.Event()

        def slow(_):
            ending.wait(0.03)
            return 200
        with Backend(slow) as backend, Daemon(PLAN % (enabled, backend.url, processors), ["--workers", "2"]) as d:
            d.wait_ready()
            stopping, begin, refused, answers = threading.Event(), threading.Event(), [], []
            threads = [threading.Thread(target=self.flood, args=(d.port("Starting HTTP server"), stopping, refused), daemon=True)]
            threads += [threading.Thread(target=self.good, args=(d.port("Starting GRPC server"), begin, stopping, answers, backend), daemon=True)
                        for _ in range(GOOD)]
            for t in threads:
                t.start()
            wait_for(lambda: len(refused) > 50, "the flood to be refused")
            begin.set()
            due = backend.requests + TAKEN
            wait_for(lambda: backend.requests >= due, "the backend to take its time", 240)
            stopping.set()
            ending.set()
            for t in threads:
                t.join(60)
            self.assertLessEqual(set(answers), {0, 8, 14})
            self.assertGreater(len(answers), GOOD)
            wait_for(lambda: d.ledger()["held"] == 0, lambda: "everything to be sent: %s" % d.ledger())
            books = d.ledger()
            self.assertEqual(books["exported"], backend.count())
            self.assertEqual({k for k, v in books["dropped"].items() if v} - {"returned"}, set())
            return answers.count(0) / len(answers)

    def compare(self, processors):
        fair, unfair = self.share_of_good("true", processors), self.share_of_good("false", processors)
        self.assertGreater(fair, 0.5, (fair, unfair))
        self.assertGreater(fair, unfair + 0.2, (fair, unfair))

    def test_in_front_of_the_queue(self):
        self.compare("")

    def test_behind_batch(self):
        self.compare("batch")


if __name__ == "__main__":
    unittest.main()
