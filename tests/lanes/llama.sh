#!/bin/sh
# llama.cpp's library as a back end: the programs are built with the library of
# deploy/llamacpp; its stories and vectors are played, and 500 damaged files
# (llama_damage.py).
#
# usage: llama.sh
# FLOTILLA_LLAMA and FLOTILLA_LLAMA_LIBRARIES name a source and its libraries
# that are there already; else deploy/llamacpp/build.sh --library makes them,
# which takes minutes. FLOTILLA_LLAMA_ARCHIVE: its archive, without a network.
# FLOTILLA_BIN: programs of a tree that was built with -DFLOTILLA_LLAMA; nothing
# is built then, and test_llama_filler is one of that tree's own tests.
set -eu
cd "$(dirname "$0")/../.."
. tests/run/seed.sh
here=$PWD

# ---- programs with the library ----

build_programs() {
    cmake -S . -B build/llama -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DFLOTILLA_LLAMA="$FLOTILLA_LLAMA" \
        -DFLOTILLA_LLAMA_LIBRARIES="$FLOTILLA_LLAMA_LIBRARIES" >/dev/null
    cmake --build build/llama --target programs test_llama_filler
    FLOTILLA_BIN=$here/build/llama/bin
    build/llama/tests/test_llama_filler
}
is_built() {
    [ -x "${FLOTILLA_BIN-}/flotilla-engine-llama" ]
}
if ! is_built && [ -z "${FLOTILLA_LLAMA-}" ]; then
    deploy/llamacpp/build.sh --library \
        ${FLOTILLA_LLAMA_ARCHIVE:+--archive "$FLOTILLA_LLAMA_ARCHIVE"}
    FLOTILLA_LLAMA=$here/build/llamacpp/source
    FLOTILLA_LLAMA_LIBRARIES=$here/build/llamacpp/library
fi
is_built || build_programs
export FLOTILLA_BIN

# ---- damaged files, stories ----

python3 tests/lanes/llama_damage.py
python3 -m pytest -q -x -rfEs -p no:cacheprovider tests/integration/test_llama.py
