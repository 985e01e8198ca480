#!/bin/sh
# Every libFuzzer target for some seconds over its corpus, as many at a time as
# there are CPUs.  usage: fuzz.sh [SECONDS]
# A short run looks for regressions and takes the same way each time; a longer
# one (make fuzz) looks for new faults with a seed of its own.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-2}
if [ "${2-}" ]; then # one target, called by xargs below
    name=$(basename "$2")
    work="build/fuzz/work/$name"
    mkdir -p "$work" "tests/fuzz/corpora/${name#fuzz_}"
    [ "$seconds" -lt 10 ] && seed=1 || seed=0 # 0: drawn
    "$2" -seed="$seed" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$work/" "$work" "tests/fuzz/corpora/${name#fuzz_}" \
        >"$work.log" 2>&1 || {
        echo "CRASH $name"
        tail -30 "$work.log"
        exit 1
    }
    echo "ok    $name $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "$work.log")"
    exit 0
fi
command -v clang-14 >/dev/null || {
    echo "skipped: clang-14 is not installed (deploy/install-deps.sh --optional)"
    exit 77
}
mkdir -p build
cmake --preset fuzz >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
cmake --build build/fuzz -j "$(nproc)" --target fuzzers >build/fuzz.log 2>&1 ||
    { tail -40 build/fuzz.log; exit 1; }
count=$(find build/fuzz/fuzz -name 'fuzz_*' -type f | wc -l)
[ "$count" -gt 0 ] || { echo "no targets were built"; exit 1; }
echo "$count targets, $seconds s each"
find build/fuzz/fuzz -name 'fuzz_*' -type f -print0 | sort -z |
    xargs -0 -P "$(nproc)" -n 1 "$0" "$seconds"
