#!/bin/sh
# Every libFuzzer target for some seconds over its corpus.  usage: fuzz.sh [SECONDS]
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-2}
command -v clang-14 >/dev/null || {
    echo "skipped: clang-14 is not installed (deploy/install-deps.sh --optional)"
    exit 77
}
mkdir -p build
cmake --preset fuzz >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
cmake --build build/fuzz -j "$(nproc)" --target fuzzers >build/fuzz.log 2>&1 ||
    { tail -40 build/fuzz.log; exit 1; }
failed=0
count=0
for target in build/fuzz/fuzz/fuzz_*; do
    name=$(basename "$target")
    work="build/fuzz/work/$name"
    mkdir -p "$work" "tests/fuzz/corpora/${name#fuzz_}"
    count=$((count + 1))
    if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$work/" "$work" "tests/fuzz/corpora/${name#fuzz_}" \
        >"$work.log" 2>&1; then
        echo "ok    $name $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "$work.log")"
    else
        echo "CRASH $name"
        tail -30 "$work.log"
        failed=1
    fi
done
echo "$count targets, $seconds s each"
[ "$count" -gt 0 ] && exit $failed
echo "no targets were built"
exit 1
