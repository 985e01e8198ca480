#!/bin/sh
# The part of the simulation that the tree draws (tests/run/draw.py): a third of sixty
# seeds, where it is slow, or with `mutants` a third of the broken rules, or with
# `clocks` twelve wrong clocks of the controller.
# FLOTILLA_PART=all: all.  usage: drawn.sh FLOTILLA-SIMULATE [mutants|clocks]
set -eu
. tests/run/seed.sh
program=$1
if [ "${2-}" = mutants ]; then
    set -- --mutants --seeds 1000 --among "$(tests/run/draw.py list sim-mutants | paste -sd,)"
elif [ "${2-}" = clocks ]; then
    set -- --clocks --devices 6 --from "$((FLOTILLA_SEED % 1000000))" --seeds 12
else
    seeds=$(tests/run/draw.py list seeds)
    last=$(echo "$seeds" | tail -n 1)
    set -- --from "${seeds%%-*}" --seeds "$((${last#*-} - ${seeds%%-*} + 1))"
fi
echo "$program --jobs 2 $* plays this alone"
exec "$program" --jobs 2 "$@"
