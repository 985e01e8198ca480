#!/bin/sh
# The simulation where it is slow: of sixty seeds a third, drawn by FLOTILLA_SEED;
# FLOTILLA_PART=all: all.  usage: drawn.sh FLOTILLA-SIMULATE
set -eu
. tests/run/seed.sh
from=$((seed % 3 * 20))
seeds=20
[ "${FLOTILLA_PART-}" != all ] || { from=0 seeds=60; }
exec "$1" --seeds "$seeds" --from "$from" --jobs 2
