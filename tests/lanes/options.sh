#!/bin/sh
# A build with one room left out: options.py, when FLOTILLA_SEED draws it
# (tests/run/seed.sh); FLOTILLA_PART=all: with each. With a warm ccache one takes two
# minutes of two CPUs, without one as long as a whole build.
set -eu
cd "$(dirname "$0")/../.."
. tests/run/seed.sh
if [ "$seed_lane" != options ] && [ "${FLOTILLA_PART-}" != all ] &&
    [ -z "${FLOTILLA_OPTION-}" ]; then
    echo "skipped: seed $seed plays $seed_lane"
    exit 77
fi
export FLOTILLA_SEED=$seed
exec python3 tests/lanes/options.py
