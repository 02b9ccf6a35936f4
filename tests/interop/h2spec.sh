#!/bin/sh
# h2spec's strict cases against the gRPC port: none may fail. PEERS=DIR holds h2spec.
# environment: TAILRACE = the binary (default build/tailrace)
set -u
cd "$(dirname "$0")/../.."
[ -n "${PEERS:-}" ] && [ -x "$PEERS/h2spec" ] || { echo "skipped: no h2spec in PEERS"; exit 0; }
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
cat >"$work/c.yaml" <<'CONFIG'
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}}}}
exporters: {nop: }
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [nop]}}
CONFIG
"${TAILRACE:-build/tailrace}" --config "$work/c.yaml" 2>"$work/log" &
pid=$!
tries=0
until grep -q 'Everything is ready' "$work/log"; do
  tries=$((tries + 1))
  kill -0 "$pid" 2>/dev/null && [ $tries -lt 300 ] || { cat "$work/log"; exit 1; }
  sleep 0.1
done
port=$(sed -n 's/.*Starting GRPC server.*"endpoint": *"127.0.0.1:\([0-9]*\)".*/\1/p' "$work/log" | head -n 1)
"$PEERS/h2spec" -h 127.0.0.1 -p "$port" -P /opentelemetry.proto.collector.trace.v1.TraceService/Export \
  --strict --timeout 5 >"$work/out" 2>&1
grep -v '✔' "$work/out" | tail -n 60
grep -qE '^1[0-9]+ tests, .* 0 failed' "$work/out"
