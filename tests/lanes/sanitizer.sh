#!/bin/sh
# Tests under a sanitizer preset: asan all unit and oracle tests, tsan those in
# which threads meet.  usage: sanitizer.sh asan|tsan
# The build of asan has the fuzz targets, too; without clang-14 gcc builds it.
# The tree draws whether a run plays tsan (tests/run/draw.py), and two of asan's scripts
# that call programs. FLOTILLA_PART=all: all of it; FLOTILLA_PART=drawn: of asan what is
# drawn alone.
set -eu
cd "$(dirname "$0")/../.."
. tests/run/seed.sh
preset=$1
[ "$preset" = asan ] || lane_is_drawn "lane_$preset" || exit 77
echo "FLOTILLA_SEED=$seed tests/lanes/sanitizer.sh $preset plays this alone"
labels='unit|oracle'
names=.
targets=all
run=
compiler=
if [ "$preset" = tsan ]; then
    # Probes (test_probes_loaded) only compute more of the same, for a minute.
    targets='launch test_server_lane test_mqtt test_mqtt_close test_mqtt_queue
        test_pool test_session test_step test_job test_serve_requests
        test_serve_apart test_serve_flips test_serve_crashes'
    # With the serving thread: both threads of an agent meet there.
    # shellcheck disable=SC2086
    names="^($(echo $targets | tr ' ' '|' |
        sed 's/_\(flips\|crashes\)/_\1_apart/g'))\$"
    labels=.
    # Randomised addresses with many bits confuse the shadow memory.
    run="setarch $(uname -m) -R"
elif ! command -v clang-14 >/dev/null; then
    compiler='-DCMAKE_C_COMPILER=gcc -DFLOTILLA_FUZZ=OFF'
fi
mkdir -p build
# shellcheck disable=SC2086
cmake --preset "$preset" $compiler >"build/$preset.log" 2>&1 || {
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
if [ "$preset" = asan ] && [ "${FLOTILLA_PART-}" = drawn ]; then
    names="^(simulate|$(tests/run/draw.py list scripts | paste -sd'|'))\$"
fi
left=$(tests/run/draw.py left scripts | paste -sd'|')
exec $run tests/run/run.py "build/$preset" -L "$labels" -R "$names" \
    -E "^(${left:-none})\$"
