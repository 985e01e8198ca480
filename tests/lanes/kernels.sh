#!/bin/sh
# Tests with an engine in them, on the kernels of older CPUs: FLOTILLA_KERNEL is ref,
# sse42, avx and avx2, as far as this CPU has them.
#
# usage: kernels.sh BUILD BIN
# tests/run/engines.py finds the tests. The tree draws whether a run plays the lane, and a
# twelfth of the unit tests (tests/run/draw.py). Tests and stories that compare numbers are
# in each draw; the other stories come with FLOTILLA_PART=all.
set -eu
cd "$(dirname "$0")/../.."
build=$1 bin=$2
. tests/run/seed.sh
lane_is_drawn lane_kernels || exit 77
compares='^(test_(oracle|kernel|pack|step|session|rank|adapter|states|prefix)|oracle_.*|golden_.*|engine_golden|e2e_(rerank|adapters))$'
tests=$(tests/run/engines.py "$build")
has=$(tests/run/kernels.py "$bin")
red=
for kernel in ref sse42 avx avx2; do
    if ! echo "$has" | grep -qx "$kernel"; then
        echo "$kernel: not played, this CPU has $(echo "$has" | paste -sd' ')"
        continue
    fi
    drawn=$({ echo "$tests" | grep -E "$compares"
              [ "${FLOTILLA_PART-}" = all ] || without=e2e_
              echo "$tests" | grep -v "^${without:-none}" | sed "s/^/$kernel:/" |
                  tests/run/draw.py part kernels |
                  sed 's/^.*://'; } | sort -u)
    echo "$kernel: $(echo "$drawn" | wc -l) of $(echo "$tests" | wc -l) tests"
    FLOTILLA_KERNEL=$kernel tests/run/run.py "$build" \
        -R "^($(echo "$drawn" | paste -sd'|'))\$" || red="$red $kernel"
done
[ -z "$red" ] || { echo "red with:$red" && exit 1; }
