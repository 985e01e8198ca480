#!/bin/sh
# libFuzzer targets over their corpora, as many at a time as there are CPUs.
#
# usage: fuzz.sh [SECONDS]
# Without SECONDS a part of them, drawn by FLOTILLA_SEED, for 5 s each, which
# the seed repeats; with SECONDS all of them, each from a seed of its own.
set -eu
cd "$(dirname "$0")/../.."
build=build/asan
if [ "${2-}" ]; then # one target, called by xargs below
    name=$(basename "$2")
    work="$build/fuzz/work/$name"
    mkdir -p "$work"
    "$2" -seed="${FUZZ_SEED:-0}" -max_total_time="$1" -timeout=600 \
        -rss_limit_mb=2048 -artifact_prefix="$work/" "$work" \
        "tests/fuzz/corpora/${name#fuzz_}" >"$work.log" 2>&1 || {
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
cmake --preset asan >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
cmake --build $build -j "$(nproc)" --target fuzzers >build/fuzz.log 2>&1 ||
    { tail -40 build/fuzz.log; exit 1; }
seconds=${1:-5}
if [ "${1-}" ]; then
    share=1/1
else
    share=1/3
    . tests/run/seed.sh
    export FUZZ_SEED="$seed"
    rm -rf $build/fuzz/work # earlier finds would lead another way
fi
targets=$(find $build/fuzz -maxdepth 1 -name 'fuzz_*' -type f -printf '%f\n' |
    tests/run/part.py $share "${FUZZ_SEED-}")
[ -n "$targets" ] || { echo "no targets were built"; exit 1; }
echo "$(echo "$targets" | wc -l) targets, $seconds s each"
for target in $targets; do printf '%s\0' "$build/fuzz/$target"; done |
    xargs -0 -P "$(nproc)" -n 1 "$0" "$seconds"
