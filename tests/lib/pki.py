# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by the openssl command: authorities, chains, leaves of every kind.

    pki = Pki(directory)
    pki.authority("ca")                          # ca.pem, ca.key
    pki.authority("mid", issuer="ca")            # an intermediate one
    pki.leaf("server", issuer="mid", names="DNS:localhost,IP:127.0.0.1")   # server.pem holds leaf + mid
"""
import os
import ssl
import subprocess


class Pki:
    def __init__(self, directory):
        self.dir = directory

    def path(self, name):
        return os.path.join(self.dir, name)

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, cwd=self.dir)

    def _sign(self, name, issuer, extensions, days):
        with open(self.path(name + ".ext"), "w", encoding="ascii") as f:
            f.write(extensions)
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name)
        args = ["x509", "-req", "-in", name + ".csr", "-out", name + ".pem", "-extfile", name + ".ext"]
        if days < 0:  # expired: faketime is not everywhere, so it is signed by `ca` with dates of its own
            return self._sign_expired(name, issuer)
        args += ["-days", str(days)]
        args += ["-CA", issuer + ".pem", "-CAkey", issuer + ".key", "-CAcreateserial"] if issuer else \
            ["-signkey", name + ".key"]
        self._openssl(*args)

    def _sign_expired(self, name, issuer):
        for file, text in (("index.txt", ""), ("serial", "1000\n"), ("ca.cnf", """
[ca]
default_ca = d
[d]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = p
unique_subject = no
[p]
commonName = supplied
""")):
            with open(self.path(file), "w", encoding="ascii") as f:
                f.write(text)
        self._openssl("ca", "-batch", "-config", "ca.cnf", "-cert", issuer + ".pem", "-keyfile", issuer + ".key",
                      "-in", name + ".csr", "-out", name + ".pem", "-notext", "-extfile", name + ".ext",
                      "-startdate", "20200101000000Z", "-enddate", "20200201000000Z")

    def authority(self, name, issuer=None):
        self._sign(name, issuer, "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n", 30)
        return self.path(name + ".pem")

    def leaf(self, name, issuer, names=None, days=10, chain=()):
        self._sign(name, issuer, "subjectAltName=%s\n" % (names or "DNS:localhost,IP:127.0.0.1"), days)
        with open(self.path(name + ".pem"), "a", encoding="ascii") as out:
            for link in chain:
                with open(self.path(link + ".pem"), encoding="ascii") as f:
                    out.write(f.read())
        return self.path(name + ".pem"), self.path(name + ".key")

    def client(self, ca, leaf=None, alpn=("h2",), minimum=None, maximum=None):
        """What a Python client speaks TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.path(ca + ".pem"))
        if leaf:
            context.load_cert_chain(self.path(leaf + ".pem"), self.path(leaf + ".key"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if minimum:
            context.minimum_version = minimum
        if maximum:
            context.maximum_version = maximum
        return context

    def server(self, leaf, ca=None, alpn=()):
        """What a Python server speaks TLS with; with a ca clients need a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(leaf + ".pem"), self.path(leaf + ".key"))
        if ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path(ca + ".pem"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context
