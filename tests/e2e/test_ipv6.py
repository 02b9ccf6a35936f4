# SPDX-License-Identifier: Apache-2.0
"""IPv6 from end to end: receivers on [::1] and on all addresses, exporters to [::1], names that have both kinds, TLS for
an address, and what becomes of the client's address."""
import socket
import tempfile
import unittest

from otlp_client import GrpcClient, HttpClient, request
from otlp_http import Backend
from pki import Pki
from tailrace import Daemon, wait_for

EXPORTED = 'tailrace_pipeline_exported_spans{pipeline="traces"}'


def without_ipv6():
    """Why there is nothing to test; None: there is."""
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError as e:
        return "no ::1 on this machine: %s" % e
    return None


def receiver(endpoint, extra="", protocols=("grpc", "http")):
    return "receivers: {otlp: {protocols: {%s}}}\n" % ", ".join("%s: {endpoint: '%s'%s}" % (p, endpoint, extra) for p in protocols)


def service(exporter, settings, processors=""):
    text = "exporters: {%s: {%s}}\n" % (exporter, settings)
    return text + "service: {pipelines: {traces: {receivers: [otlp], processors: [%s], exporters: [%s]}}}\n" % (processors, exporter)


@unittest.skipIf(without_ipv6(), without_ipv6())
class IPv6(unittest.TestCase):
    def send(self, d, host, n=3):
        with GrpcClient(d.port("Starting GRPC server"), host=host) as c:
            self.assertEqual(c.export(request(n)).code, 0)
        with HttpClient(d.port("Starting HTTP server"), host=host) as c:
            self.assertEqual(c.request(body=request(n)).status, 200)

    def test_a_chain(self):
        """Client, tailrace, tailrace and backend on ::1: gRPC and HTTP both in and out. The address is the client's."""
        plan = receiver("[::1]:0") + "processors: {attributes: {actions: [{key: from, from_context: client.address, action: insert}]}}\n"
        with Backend(host="::1") as backend, Daemon(plan + service("otlp_http", "compression: none, endpoint: '%s'" % backend.url, "attributes")) as second:
            second.wait_ready()
            endpoint = second.wait_log("Starting GRPC server")["endpoint"]
            self.assertTrue(endpoint.startswith("[::1]:"), endpoint)
            with Daemon(receiver("[::1]:0") + service("otlp_grpc", "endpoint: '%s', tls: {insecure: true}" % endpoint)) as first:
                first.wait_ready()
                self.send(first, "::1")
                wait_for(lambda: backend.count() == 6, lambda: "six spans: %s %s" % (first.log()[-2000:], second.log()[-2000:]))
                self.assertTrue(all(b"::1" in body for body in backend.bodies))
                self.assertEqual((first.stop(), second.stop()), (0, 0))

    def test_all_addresses(self):
        """[::] and an empty host listen for both kinds; tcp4 and tcp6 for one."""
        for endpoint in ("[::]:0", ":0"):
            with Daemon(receiver(endpoint) + service("nop", "")) as d:
                d.wait_ready()
                self.send(d, "::1")
                self.send(d, "127.0.0.1")
                d.wait_metric(EXPORTED, 12)
                self.assertEqual(d.stop(), 0)

    def test_one_kind_only(self):
        for transport, good, bad in (("tcp4", "127.0.0.1", "::1"), ("tcp6", "::1", "127.0.0.1")):
            with Daemon(receiver(":0", ", transport: " + transport) + service("nop", "")) as d:
                d.wait_ready()
                self.send(d, good)
                with self.assertRaises(OSError, msg=transport):
                    self.send(d, bad)
                self.assertEqual(d.stop(), 0)

    def test_a_name_with_both(self):
        """localhost: the backend listens on one of its addresses only, whichever that is."""
        families = {a[0] for a in socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)}
        for host, family in (("::1", socket.AF_INET6), ("127.0.0.1", socket.AF_INET)):
            if family not in families:
                continue
            with Backend(host=host) as backend:
                url = "http://localhost:%d" % backend.server.server_port
                with Daemon(receiver("[::1]:0") + service("otlp_http", "compression: none, endpoint: '%s'" % url)) as d:
                    d.wait_ready()
                    self.send(d, "::1")
                    wait_for(lambda: backend.count() == 6, lambda: "six spans: " + d.log()[-2000:])
                    self.assertEqual(d.stop(), 0)

    def test_tls_for_an_address(self):
        """A certificate for ::1, looked at by our own exporter and by a client."""
        with tempfile.TemporaryDirectory() as folder:
            pki = Pki(folder)
            pki.authority("ca")
            pki.leaf("server", "ca", names="IP:::1")
            pki.leaf("other", "ca", names="IP:::2")
            for leaf, works in (("server", True), ("other", False)):
                tls = ", tls: {cert_file: %s/%s.pem, key_file: %s/%s.key}" % (folder, leaf, folder, leaf)
                with Daemon(receiver("[::1]:0", tls, ("grpc",)) + service("nop", "")) as backend:
                    backend.wait_ready()
                    endpoint = backend.wait_log("Starting GRPC server")["endpoint"]
                    settings = "endpoint: '%s', tls: {ca_file: %s/ca.pem}, retry_on_failure: {initial_interval: 100ms}" % (endpoint, folder)
                    with Daemon(receiver("[::1]:0") + service("otlp_grpc", settings), ["--shutdown-timeout", "1s"]) as d:
                        d.wait_ready()
                        self.send(d, "::1")
                        if works:
                            backend.wait_metric(EXPORTED, 6)
                            self.assertEqual(d.stop(), 0)
                        else:
                            wait_for(lambda: "certificate is not valid for ::1" in d.log(), "a word about the name")
                            self.assertEqual(backend.metrics().get(EXPORTED, 0), 0)

    def test_pages(self):
        """/metrics on ::1."""
        telemetry = "service: {telemetry: {logs: {encoding: json}, metrics: {readers: [{pull: {exporter: {prometheus: {host: '::1', port: 0}}}}]}}}"
        with Daemon(receiver("[::1]:0") + service("nop", ""), telemetry=telemetry) as d:
            d.wait_ready()
            address = d.wait_log("Serving metrics")["address"]
            self.assertTrue(address.startswith("[::1]:"), address)
            with HttpClient(int(address.rsplit(":", 1)[1]), host="::1") as c:
                c.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                reply = c.reply()
            self.assertEqual(reply.status, 200)
            self.assertIn(b"tailrace_", reply.body)
            self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    unittest.main()
