#!/bin/sh
# Benchmarks of the shipped programs; JSON into a folder, a table on stdout.
# usage: run.sh BIN_DIR OUT_DIR
set -eu
here=$(dirname "$0")
bin=$1
out=$2
mkdir -p "$out"
python3 "$here/delta.py" "$bin" "$out/delta.json"
python3 "$here/engine.py" "$bin" "$out/engine.json"
python3 "$here/agent.py" "$bin" "$out/agent.json"
python3 "$here/models.py" "$bin" "$out/models.json"
