#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One OTLP export over TLS with the real gRPC for Python.

usage: grpc_tls.py PORT BODY CA [CERT KEY]      BODY: a file; prints ok, or the status of the failure
"""
import sys

import grpc


def read(path):
    with open(path, "rb") as f:
        return f.read()


def main():
    port, body, ca, *own = sys.argv[1:]
    credentials = grpc.ssl_channel_credentials(read(ca), *([read(own[1]), read(own[0])] if own else []))
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                                   request_serializer=bytes, response_deserializer=bytes)
        try:
            call(read(body), timeout=20)
            print("ok")
        except grpc.RpcError as e:
            print(e.code().name, e.details())


main()
