#!/bin/sh
# A build with one room left out: options.py, when the tree draws it
# (tests/run/draw.py); FLOTILLA_PART=all: with each. With a warm ccache one takes two
# minutes of two CPUs, without one as long as a whole build.
set -eu
cd "$(dirname "$0")/../.."
. tests/run/seed.sh
[ -n "${FLOTILLA_OPTION-}" ] || lane_is_drawn lane_options || exit 77
echo "FLOTILLA_SEED=$seed tests/lanes/options.sh plays this alone"
exec python3 tests/lanes/options.py
