#!/bin/sh
# Tests under a sanitizer preset: asan all unit and oracle tests, tsan those in
# which threads meet.  usage: sanitizer.sh asan|tsan
set -eu
cd "$(dirname "$0")/../.."
preset=$1
labels='unit|oracle'
names=.
targets=all
run=
if [ "$preset" = tsan ]; then
    # Probes (test_probes_loaded) only compute more of the same, for a minute.
    targets='test_server_lane test_mqtt test_mqtt_close test_mqtt_queue test_pool test_session
        test_step test_job test_serve_requests test_serve_flips test_serve_crashes'
    # shellcheck disable=SC2086
    names="^($(echo $targets | tr ' ' '|'))\$"
    labels=.
    # Randomised addresses with many bits confuse the shadow memory.
    run="setarch $(uname -m) -R"
fi
mkdir -p build
cmake --preset "$preset" >"build/$preset.log" 2>&1 || {
    cat "build/$preset.log"
    exit 1
}
# shellcheck disable=SC2086
cmake --build "build/$preset" -j "$(nproc)" --target $targets \
    >"build/$preset.log" 2>&1 || {
    grep -E 'error|undefined|FAILED' "build/$preset.log" | tail -30
    exit 1
}
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1
cd "build/$preset"
exec $run ctest -L "$labels" -R "$names" -j "$(nproc)" --output-on-failure
