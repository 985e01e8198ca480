#!/bin/sh
# The part of the simulation that the tree draws (tests/run/draw.py): a third of sixty
# seeds, where it is slow, or with `mutants` a third of the broken rules.
# FLOTILLA_PART=all: all.  usage: drawn.sh FLOTILLA-SIMULATE [mutants]
set -eu
. tests/run/seed.sh
program=$1
if [ "${2-}" = mutants ]; then
    set -- --mutants --seeds 1000 --among "$(tests/run/draw.py list sim-mutants | paste -sd,)"
else
    seeds=$(tests/run/draw.py list seeds)
    last=$(echo "$seeds" | tail -n 1)
    set -- --from "${seeds%%-*}" --seeds "$((${last#*-} - ${seeds%%-*} + 1))"
fi
echo "$program --jobs 2 $* plays this alone"
exec "$program" --jobs 2 "$@"
