#!/bin/sh
# Runs the built tests and prints one line each, then the slowest and "N passed, N failed".
# usage: run.sh [--title T] --build DIR [--plain OBJDIR] [--sanitized OBJDIR] [PATTERN]
#   PATTERN: only the tests whose name contains this text
# Unit and contract tests are programs under OBJDIR/tests; end-to-end tests are Python programs that
# drive OBJDIR's tailrace binary (TAILRACE). Each test has a time limit of its own. JOBS run at once.
set -u
cd "$(dirname "$0")/.."

one() { # kind name bin program
  log=$LOGS/$1-$(echo "$2" | tr / -).log
  start=$(date +%s)
  case $4 in
    *.py) TAILRACE=$3 TAILRACE_KIND=$1 PYTHONPATH=tests/lib timeout -k 5 300 /usr/bin/python3 "$4" >"$log" 2>&1 </dev/null ;;
    *) TAILRACE=$3 timeout -k 5 300 "$4" >"$log" 2>&1 </dev/null ;;
  esac
  rc=$?
  took=$(($(date +%s) - start))
  if [ $rc = 0 ]; then
    out="ok    $1 $2 (${took}s)"
  else
    out="FAIL  $1 $2 (exit $rc, ${took}s), end of its log:
$(tail -n 40 "$log" | sed 's/^/      | /')"
  fi
  printf '%s\n' "$out"
  printf '%s\n' "$out" >>"$RESULTS"
}
if [ "${1-}" = --one ]; then
  shift
  one "$@"
  exit 0
fi

title=tests build=build plain='' sanitized='' pattern=
while [ $# -gt 0 ]; do
  case $1 in
    --title) title=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --plain) plain=$2; shift 2 ;;
    --sanitized) sanitized=$2; shift 2 ;;
    *) pattern=$1; shift ;;
  esac
done
LOGS=$build/test-logs RESULTS=$build/test-results
export LOGS RESULTS
rm -rf "$LOGS"
mkdir -p "$LOGS"
: >"$RESULTS"
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-halt_on_error=1}"
export CK_DEFAULT_TIMEOUT="${CK_DEFAULT_TIMEOUT:-120}"

# "kind folder/name bin program" of each test there is a source of; a program left from a test that is gone is not run.
# The long ones, end to end, come first.
list() { # kind objdir bin
  for source in tests/e2e/test_*.py; do
    name=${source#tests/}
    echo "$1 ${name%.py} $3 $source"
  done
  for source in tests/unit/test_*.c tests/contract/test_*.c; do
    name=${source#tests/}
    echo "$1 ${name%.c} $3 $2/${source%.c}"
  done
}
tests=$( {
  [ -z "$sanitized" ] || list sanitized "$sanitized" "$sanitized/tailrace"
  [ -z "$plain" ] || list plain "$plain" "$build/tailrace"
} | awk -v p="$pattern" 'index($2, p) || p == ""')
[ -n "$tests" ] || { echo "no test matches '$pattern'"; echo "0 passed, 1 failed"; exit 1; }
printf '%s\n' "$tests" | xargs -P "${JOBS:-$(nproc)}" -n 4 "$0" --one

listed=$(printf '%s\n' "$tests" | wc -l)
passed=$(grep -c '^ok ' "$RESULTS")
failed=$((listed - passed))
echo "$title: logs in $LOGS; slowest: $(sed -n 's/^[okFAIL]* *\([a-z]*\) \([a-z0-9_/]*\) (.*[ (]\?\b\([0-9]*\)s).*/\3 s \1 \2/p' \
  "$RESULTS" | sort -rn | head -n 5 | paste -sd, | sed 's/,/, /g')"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
