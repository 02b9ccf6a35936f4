// SPDX-License-Identifier: Apache-2.0
// One OTLP export over TLS with the real gRPC for Node.js.
// usage: node grpc_tls.js PORT BODY CA [CERT KEY]      BODY: a file; prints ok, or the failure
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const [port, body, ca, cert, key] = process.argv.slice(2);
const read = (path) => (path ? fs.readFileSync(path) : null);
const same = (bytes) => bytes;
const client = new grpc.Client(`localhost:${port}`, grpc.credentials.createSsl(read(ca), read(key), read(cert)));
client.makeUnaryRequest('/opentelemetry.proto.collector.trace.v1.TraceService/Export', same, same, read(body), new grpc.Metadata(),
  { deadline: Date.now() + 20000 }, (error) => {
    console.log(error ? `${error.code} ${error.details}` : 'ok');
    client.close();
  });
