// SPDX-License-Identifier: Apache-2.0
// Sends known traces through the real OpenTelemetry SDK for Node.js and prints what was sent.
// usage: node node_client.js PROTOCOL ENDPOINT      PROTOCOL: grpc | http/protobuf | http/json
'use strict';
const api = require('@opentelemetry/api');
const { BasicTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { JsonTraceSerializer } = require('@opentelemetry/otlp-transformer');

const [protocol, endpoint] = process.argv.slice(2);

function exporter() {
  if (protocol === 'grpc') {
    const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-grpc');
    return new OTLPTraceExporter({ url: `http://${endpoint}` });
  }
  const name = protocol === 'http/json' ? '@opentelemetry/exporter-trace-otlp-http' : '@opentelemetry/exporter-trace-otlp-proto';
  const { OTLPTraceExporter } = require(name);
  return new OTLPTraceExporter({ url: `http://${endpoint}/v1/traces` });
}

const sent = [];
const inner = exporter();
const tee = {
  export(spans, done) {
    sent.push(...spans);
    inner.export(spans, (result) => {
      if (result.code !== 0) {
        console.error('export failed', result.error);
        process.exitCode = 1;
      }
      done(result);
    });
  },
  shutdown: () => inner.shutdown(),
  forceFlush: () => (inner.forceFlush ? inner.forceFlush() : Promise.resolve()),
};

const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': `node-${protocol.replace('/', '-')}`, 'service.version': '3.2.1', 'host.cpus': 4 }),
  spanProcessors: [new SimpleSpanProcessor(tee)],
});
const tracer = provider.getTracer('interop.lib', '0.9', { schemaUrl: 'https://opentelemetry.io/schemas/1.30.0' });

function oneTrace(error, secret) {
  const hex = (n) => [...Array(n)].map(() => Math.floor(Math.random() * 16).toString(16)).join('');
  const remote = {
    traceId: 'a' + hex(31), spanId: '1112131415161718', isRemote: true, traceFlags: 1,
    traceState: api.createTraceState('vendor=x1,other=y'),
  };
  const parent = api.trace.setSpanContext(api.ROOT_CONTEXT, remote);
  const root = tracer.startSpan('GET /checkout', {
    kind: api.SpanKind.SERVER,
    attributes: { str: 'plain', empty: '', unicode: 'Grüße, 世界', yes: true, no: false, int: 42, negative: -7, double: 0.25, strs: ['a', 'b'], ints: [1, 2, 3] },
    links: [{ context: { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 }, attributes: { why: 'retry' } }],
  }, parent);
  root.addEvent('cache miss', { key: 'cart:7', size: 12 });
  const child = tracer.startSpan('SELECT', { kind: api.SpanKind.CLIENT }, api.trace.setSpan(parent, root));
  if (secret) child.setAttributes({ note: 'paid with 4111111111111111 today', 'db.password': 'hunter2' });
  if (error) child.setStatus({ code: api.SpanStatusCode.ERROR, message: 'no stock' });
  child.end();
  root.end();
}

function dump(spans) {
  if (spans.length === 0) return {};
  return JSON.parse(new TextDecoder().decode(JsonTraceSerializer.serializeRequest(spans)));
}

(async () => {
  oneTrace(true, true);
  await provider.forceFlush();
  const kept = sent.splice(0);
  oneTrace(false, false);
  await provider.forceFlush();
  await provider.shutdown();
  console.log(JSON.stringify({ kept: dump(kept), dropped: dump(sent), ids: 'hex' }));
})();
