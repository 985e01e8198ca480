#!/bin/sh
# libFuzzer targets over their corpora, as many at a time as there are CPUs.
#
# usage: fuzz.sh [SECONDS]
# Without SECONDS a tenth of them, which the tree draws (tests/run/draw.py), for 5 s
# each; with SECONDS all of them, which go on from what earlier runs found. The seed is
# the tree's.
set -eu
cd "$(dirname "$0")/../.."
build=build/asan
if [ "${2-}" ]; then # one target, called by xargs below
    name=$(basename "$2")
    work="$build/fuzz/work/$name"
    mkdir -p "$work"
    "$2" -seed="$FUZZ_SEED" -max_total_time="$1" -timeout=600 \
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
. tests/run/seed.sh
export FUZZ_SEED=$((seed + 1)) # libFuzzer draws one for 0
if [ "${1-}" ]; then
    export FLOTILLA_PART=all
else
    rm -rf $build/fuzz/work # earlier finds would lead another way
fi
targets=$(tests/run/draw.py list fuzz)
echo "FLOTILLA_SEED=$seed tests/lanes/fuzz.sh${1:+ $1} plays this alone"
echo "$(echo "$targets" | wc -l) targets, $seconds s each"
for target in $targets; do printf '%s\0' "$build/fuzz/$target"; done |
    xargs -0 -P "$(nproc)" -n 1 "$0" "$seconds"
