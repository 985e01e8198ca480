#!/bin/sh
# The rules of CONTRIBUTING.md that a machine can check, in under ten seconds.
#
# usage: tools/check.sh [format|layers|headers|symbols|circles|exports|rows|docs|
#                        inputs|promises|mutants|stops|clocks|draws|lists|plurals|
#                        idioms|text|vendor|voice|spelling|rebuilds|growth|size ...]
# Without words all of them. A check whose tool is absent says so and is not
# counted as passed. Symbols, circles, exports and size need a build (build/release, build/asan).
set -u
cd "$(dirname "$0")/.."
failed=0
say() { echo "check: $1: $2"; }
bad() { say "$1" "FAILED"; failed=1; }

sources() { git ls-files -co --exclude-standard "$@" | grep -v '^build/'; }

check_format() {
    command -v clang-format-14 >/dev/null ||
        { say format "skipped: no clang-format-14"; return; }
    sources '*.c' '*.h' | xargs -P "$(nproc)" -n 40 \
        clang-format-14 --dry-run -Werror >/tmp/check-format.$$ 2>&1 &&
        say format ok || {
        sed -n 's/^\([^ :]*\):[0-9]*:.*clang-format.*/\1/p' /tmp/check-format.$$ |
            sort | uniq -c | head -20
        bad format
    }
    rm -f /tmp/check-format.$$
}

check_layers() { python3 tools/layers.py && say layers ok || bad layers; }

# Each header compiles alone, with the warnings of the build.
check_headers() {
    flags="-D_GNU_SOURCE -std=gnu17 -fsyntax-only -Wall -Wextra -Wno-psabi -I. -x c"
    for folder in base proto engine updater agent; do
        flags="$flags -I$folder/include"
    done
    # Headers of a CPU family need its compiler, engine/llama needs llama.cpp's.
    arm=aarch64-linux-gnu-gcc
    # shellcheck disable=SC2086
    out=$(sources '*.h' ':!*/arm/*' ':!engine/llama/*' | xargs -P "$(nproc)" -n 40 gcc $flags 2>&1
        ! command -v $arm >/dev/null || sources '*/arm/*.h' |
            xargs -r $arm -march=armv8.2-a+dotprod+i8mm $flags 2>&1)
    [ -z "$out" ] && say headers ok || { echo "$out" | head -20; bad headers; }
}

# The first build that is there; nothing: none.
built() {
    for build in build/release build/asan build/dev; do
        [ -d "$build/base" ] && echo "$build" && return
    done
}

# Libraries export flo_* only (and the fuzzers' entry).
check_symbols() {
    build=$(built)
    libs=$([ -z "$build" ] || find "$build" -name 'libflotilla_*.a')
    [ -n "$libs" ] || { say symbols "skipped: nothing is built"; return; }
    # shellcheck disable=SC2086
    out=$(nm -A --defined-only --extern-only $libs 2>/dev/null |
        awk '$2 ~ /^[TDBRCVW]$/ || $3 ~ /^[TDBRCVW]$/ {print $NF}' |
        grep -vE '^(flo_|__odr_asan|__asan|__ubsan|__start|__stop)' | sort -u)
    [ -z "$out" ] && say symbols ok || { echo "$out" | head -20; bad symbols; }
}

# No circle among object files, no exported name and no struct twice.
check_circles() {
    build=$(built)
    [ -n "$build" ] || { say circles "skipped: nothing is built"; return; }
    python3 tools/circles.py "$build" && say circles ok || bad circles
}

# No exported function that nobody, or only a test, calls.
check_exports() {
    build=$(built)
    [ -n "$build" ] || { say exports "skipped: nothing is built"; return; }
    python3 tools/exports.py "$build" && say exports ok || bad exports
}

# A new error id or metric compiles few objects again.
check_rebuilds() {
    build=$(built)
    [ -f "$build/.ninja_deps" ] || { say rebuilds "skipped: no build by ninja"; return; }
    python3 tools/rebuilds.py "$build" && say rebuilds ok || bad rebuilds
}

# No room above its budget of lines, and no budget that rose without a source.
check_growth() {
    out=$(python3 tools/growth.py) && say growth ok || { echo "$out"; bad growth; }
}

# The least builds are small enough; a room's stand-in has all its functions.
check_size() {
    build=$(built)
    [ -n "$build" ] || { say size "skipped: nothing is built"; return; }
    python3 tools/size.py "$build" --check && say size ok || bad size
}

# No row of a table that nothing uses.
check_rows() { python3 tools/rows.py && say rows ok || bad rows; }

# The page's files of others, by name, version, licence and digest.
check_vendor() { python3 tools/vendor.py && say vendor ok || bad vendor; }

# Comments and pages: rules, table cells, first words of sentences.
check_voice() { python3 tools/voice.py && say voice ok || bad voice; }

check_docs() { python3 tools/docs.py --check && say docs ok || bad docs; }

check_inputs() {
    python3 tools/bad_inputs.py && say inputs ok || bad inputs
}

# The files that pages name are there, and the pages that code names.
check_stops() { python3 tools/stops.py && say stops ok || bad stops; }

# No table of callbacks that lacks one.
check_callbacks() {
    python3 tools/callbacks.py && say callbacks ok || bad callbacks
}

# One clock for all tests, and no wait shorter than a hang.
check_clocks() { python3 tools/clocks.py && say clocks ok || bad clocks; }

# One way to read a set and its members, as of one moment.
check_lists() { python3 tools/lists.py && say lists ok || bad lists; }

# No test draws for itself what it plays.
check_draws() { python3 tools/draws.py && say draws ok || bad draws; }

check_mutants() {
    python3 tests/mutants/play.py --list >/dev/null && say mutants ok ||
        bad mutants
}
check_promises() {
    python3 tools/promises.py && say promises ok || bad promises
}

# No other way to stop at an error than two, no helper of JSON in a room.
check_idioms() {
    out=$(python3 tools/idioms.py) && say idioms ok || { echo "$out"; bad idioms; }
}

# No count with the plural that is wrong for one.
check_plurals() { python3 tools/plurals.py && say plurals ok || bad plurals; }

# Words that codespell knows to be wrong; two lists have those that are meant.
check_spelling() {
    command -v codespell >/dev/null ||
        { say spelling "skipped: no codespell (deploy/install-deps.sh --optional)"; return; }
    text=':!*/web/vendor/* :!*.gguf :!*.png :!tests/fuzz/corpora/* :!*.f32
        :!*.bin :!*spelling.txt :!tests/golden/token/* :!tests/models/*.json'
    # shellcheck disable=SC2086
    out=$(sources ':!tests' $text | xargs codespell -q 3 -I tools/spelling.txt
        sources tests $text | xargs codespell -q 3 -I tools/spelling.txt \
            -I tests/spelling.txt)
    [ -z "$out" ] && say spelling ok || { echo "$out" | head -20; bad spelling; }
}

# Words that must not land: pretended work, wide files.
check_text() {
    out=$(git grep -nIE '\b(TODO|FIXME|XXX|HACK)\b' -- '*.c' '*.h' '*.js' \
        '*.py' '*.sh' ':!tools/check.sh' ':!*/web/vendor/*' | head -8
    sources '*.c' '*.h' '*.js' '*.py' ':!*/web/vendor/*' | xargs -r wc -l |
        awk '$2 != "total" && $1 > 900 {
            print "too long: " $2 " " $1}' |
        grep -v '_table.c')
    [ -z "$out" ] && say text ok || { echo "$out"; bad text; }
}

for check in ${*:-format layers headers symbols circles exports rows docs \
    inputs promises mutants stops callbacks clocks draws lists plurals idioms
    text vendor voice spelling rebuilds growth size}; do
    "check_$check"
done
exit $failed
