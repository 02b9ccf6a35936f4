#!/bin/sh
# Runs fuzz targets for a while each, two at a time, and prints one line each.
# usage: run.sh DIR SECONDS [PATTERN]
# DIR holds the built targets, fuzz_NAME. Each starts from tests/fuzz/corpus/fuzz_NAME (what it finds
# is kept in DIR/corpus, not in the tree) with tests/fuzz/fuzz_NAME.dict when there is one. A crash, a
# leak, a hang or too much memory fails the run; the input is in DIR/crashes.
set -u
cd "$(dirname "$0")/../.."
[ $# -ge 2 ] || { echo "usage: $0 DIR SECONDS [PATTERN]"; exit 2; }
dir=$1 seconds=$2 pattern=${3:-}
# More ASan options (symbolizer and the like) may come from the caller.
export ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
mkdir -p "$dir/crashes" "$dir/corpus"
results=$(mktemp)
trap 'rm -f "$results" "$results".list' EXIT

one() { # program
  name=$(basename "$1")
  seeds=tests/fuzz/corpus/$name
  dict=tests/fuzz/$name.dict
  found=$dir/corpus/$name
  log=$dir/$name.log
  mkdir -p "$found"
  set -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="$dir/crashes/$name-" "$found"
  [ -d "$seeds" ] && set -- "$@" "$seeds"
  [ -f "$dict" ] && set -- -dict="$dict" "$@"
  if "$dir/$name" "$@" >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cover=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    echo "ok    $name: ${runs:-0} runs, ${cover:-?} edges"
  else
    echo "FAIL  $name, end of $log:"
    tail -n 30 "$log" | sed 's/^/      | /'
  fi
}

for t in "$dir"/fuzz_*; do
  case $(basename "$t") in *.log | *.d) continue ;; *"$pattern"*) [ -x "$t" ] && [ -f "$t" ] && echo "$t" ;; esac
done >"$results".list
[ -s "$results".list ] || { echo "no fuzz target matches '$pattern' in $dir"; exit 1; }
for turn in 0 1; do
  awk -v turn=$turn 'NR % 2 == turn' "$results".list | while read -r t; do
    line=$(one "$t")
    printf '%s\n' "$line"
    printf '%s\n' "$line" >>"$results"
  done &
done
wait
failed=$(grep -c '^FAIL ' "$results")
echo "fuzz: $(grep -c '^ok ' "$results") passed, $failed failed"
[ "$failed" = 0 ]
