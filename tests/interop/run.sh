#!/bin/sh
# Interop with programs that are not ours: real SDKs as clients, real Jaeger, Tempo and Collector.
# usage: run.sh BUILD_DIR [PATTERN]    environment: PEERS=DIR with otelcol, jaeger, tempo, telemetrygen, h2spec
# Without PEERS, a folder ../shared/peers beside the tree with an unpack.sh is used when there is one.
# The SDKs come from the registries into BUILD_DIR/interop; what is missing is said and skipped.
set -u
cd "$(dirname "$0")/../.."
build=$(realpath "${1:-build}"); pattern=${2:-}
here=tests/interop
work=$build/interop
mkdir -p "$work"
if [ -z "${PEERS:-}" ] && [ -x ../shared/peers/unpack.sh ]; then
  PEERS=$(../shared/peers/unpack.sh "$work/peers") || PEERS=
fi
if [ -z "${PEERS:-}" ]; then
  echo "interop: set PEERS=DIR to a folder with otelcol, jaeger, tempo, telemetrygen (any recent official release)"
  exit 1
fi
PEERS=$(realpath "$PEERS"); export PEERS
export TAILRACE="${TAILRACE:-$build/tailrace}"
for p in otelcol jaeger tempo telemetrygen h2spec; do
  [ -x "$PEERS/$p" ] || echo "interop: $p is not in PEERS; its tests are skipped"
done

export INTEROP_SPANS="${INTEROP_SPANS:-300}" # for what compares processors

python=python3
if [ ! -x "$work/venv/bin/python3" ]; then
  python3 -m venv "$work/venv" && "$work/venv/bin/pip" -q install opentelemetry-sdk \
    opentelemetry-exporter-otlp-proto-grpc opentelemetry-exporter-otlp-proto-http || rm -rf "$work/venv"
fi
[ -x "$work/venv/bin/python3" ] && python=$work/venv/bin/python3 || echo "interop: no SDK for Python"
if command -v npm >/dev/null 2>&1 && [ ! -d "$work/node/node_modules" ]; then
  mkdir -p "$work/node"
  (cd "$work/node" && npm init -y >/dev/null 2>&1 && npm install --no-audit --no-fund --loglevel=error @opentelemetry/api \
    @opentelemetry/sdk-trace-base @opentelemetry/resources @opentelemetry/exporter-trace-otlp-http @opentelemetry/exporter-trace-otlp-proto \
    @opentelemetry/exporter-trace-otlp-grpc @opentelemetry/otlp-transformer >/dev/null) || echo "interop: no SDK for Node.js"
fi
export INTEROP_NODE="$work/node"

passed=0; failed=0
for t in "$here"/test_*.py "$here"/*_diff.py "$here"/*_diff.sh "$here"/h2spec.sh; do
  [ -f "$t" ] || continue
  name=$(basename "$t")
  case $name in *"$pattern"*) ;; *) continue ;; esac
  log=$work/$name.log
  case $t in
    *.py) timeout -k 5 900 "$python" "$t" >"$log" 2>&1 ;;
    *) timeout -k 5 900 sh "$t" >"$log" 2>&1 ;;
  esac
  rc=$?
  if [ $rc = 0 ]; then
    passed=$((passed + 1)); echo "ok    $name: $(tail -n 1 "$log")"
    grep -E 'skipped' "$log" | sed 's/^/      | /' | head -n 5
  else
    failed=$((failed + 1)); echo "FAIL  $name (exit $rc), end of its log:"; tail -n 40 "$log" | sed 's/^/      | /'
  fi
done
echo "interop: logs in $work"
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
