#!/bin/sh
# Runs the built tests and prints one line each, then "N passed, N failed".
# usage: run.sh [--title T] --build DIR [--plain OBJDIR] [--sanitized OBJDIR] [PATTERN]
# Unit and contract tests are programs under OBJDIR/tests; end-to-end tests are Python programs that
# drive OBJDIR's tailrace binary (TAILRACE). Each test has a time limit of its own.
set -u
cd "$(dirname "$0")/.."
title=tests build=build plain= sanitized= pattern=
while [ $# -gt 0 ]; do
  case $1 in
    --title) title=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --plain) plain=$2; shift 2 ;;
    --sanitized) sanitized=$2; shift 2 ;;
    *) pattern=$1; shift ;;
  esac
done
jobs=${JOBS:-$(nproc)}
logs=$build/test-logs
rm -rf "$logs"; mkdir -p "$logs"
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1}
export CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-120}

list() {
  for kind in plain sanitized; do
    eval obj=\$$kind
    [ -n "$obj" ] || continue
    bin=$build/tailrace
    [ "$kind" = sanitized ] && bin=$obj/tailrace
    for t in "$obj"/tests/unit/test_* "$obj"/tests/contract/test_*; do
      case $t in *.o|*.d) continue ;; esac
      [ -x "$t" ] && echo "$kind $(basename "$t") $bin $t"
    done
    for t in tests/e2e/test_*.py; do
      [ -f "$t" ] && echo "$kind $(basename "$t" .py) $bin $t"
    done
  done
}
one() { # kind name bin program
  log=$logs/$1-$2.log
  start=$(date +%s)
  case $4 in
    *.py) TAILRACE=$3 TAILRACE_KIND=$1 PYTHONPATH=tests/lib timeout -k 5 300 /usr/bin/python3 "$4" >"$log" 2>&1 ;;
    *) TAILRACE=$3 timeout -k 5 300 "$4" >"$log" 2>&1 ;;
  esac
  rc=$?
  took=$(($(date +%s) - start))
  if [ $rc = 0 ]; then echo "ok    $1 $2 (${took}s)"; else
    echo "FAIL  $1 $2 (exit $rc, ${took}s), end of its log:"
    tail -n 40 "$log" | sed 's/^/      | /'
  fi
}
if [ "${1-}" ]; then :; fi
export logs
script=$(mktemp)
trap 'rm -f "$script"' EXIT
results=$build/test-results
list | { if [ -n "$pattern" ]; then grep -- "$pattern"; else cat; fi; } >"$script"
[ -s "$script" ] || { echo "no test matches '$pattern'"; echo "0 passed, 1 failed"; exit 1; }
: >"$results"
# A small pool of processes: each takes every jobs-th line.
i=0
while [ $i -lt "$jobs" ]; do
  awk -v n="$jobs" -v i="$i" 'NR % n == i' "$script" | while read -r kind name bin prog; do
    out=$(one "$kind" "$name" "$bin" "$prog")
    printf '%s\n' "$out"
    printf '%s\n' "$out" >>"$results"
  done &
  i=$((i + 1))
done
wait
passed=$(grep -c '^ok ' "$results")
failed=$(grep -c '^FAIL ' "$results")
echo "$title: logs in $logs"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
