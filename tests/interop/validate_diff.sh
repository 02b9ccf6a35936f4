#!/bin/sh
# Every case of tests/config given to a real Collector as well: its `validate` must say what the case
# says of it. usage: PEERS=DIR tests/interop/validate_diff.sh (DIR holds otelcol)
set -eu
cd "$(dirname "$0")/../.."
: "${PEERS:?PEERS=DIR, where DIR/otelcol is a Collector}"
PYTHONPATH=tests/lib exec /usr/bin/python3 - "$PEERS/otelcol" <<'PY'
import sys
import tempfile

from config_cases import read_cases, validate

failed = 0
cases = read_cases()
with tempfile.TemporaryDirectory() as folder:
    for case in cases:
        accepted, err = validate(sys.argv[1], case, folder)
        expected = case.collector or case.verdict
        if ("accept" if accepted else "refuse") != expected:
            failed += 1
            print(f"FAIL  {case.name}: expected {expected} of the Collector: {err.strip().splitlines()[-1:]}")
differ = sum(c.collector is not None for c in cases)
print(f"validate: {len(cases)} cases, {differ} where tailrace knowingly differs, {failed} failed")
sys.exit(failed > 0 or not cases)
PY
