#!/bin/sh
# Unit and oracle tests under a sanitizer preset.  usage: sanitizer.sh asan|tsan
set -eu
cd "$(dirname "$0")/../.."
preset=$1
labels='unit|oracle'
[ "$preset" = tsan ] && labels=threads
mkdir -p build
cmake --preset "$preset" >"build/$preset.log" 2>&1 || { cat "build/$preset.log"; exit 1; }
cmake --build "build/$preset" -j "$(nproc)" >"build/$preset.log" 2>&1 ||
    { tail -40 "build/$preset.log"; exit 1; }
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1
run=
# Address randomisation with many bits confuses the thread sanitizer's shadow.
[ "$preset" = tsan ] && run="setarch $(uname -m) -R"
cd "build/$preset"
exec $run ctest -L "$labels" -j "$(nproc)" --output-on-failure
