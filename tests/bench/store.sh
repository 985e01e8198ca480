#!/bin/sh
# SQLite against PostgreSQL on this machine, in turns: bench_store.c.
#
# usage: store.sh   (after: cmake --build build/release --target bench_store)
set -eu
cd "$(dirname "$0")/../.."
dir=$(mktemp -d /tmp/flotilla-bench-XXXXXX)
mkdir "$dir/sqlite" "$dir/pg"
chmod 755 "$dir"
tests/postgresql.sh init "$dir/pg"
tests/postgresql.sh run "$dir/pg" on &
server=$!
trap 'kill -INT $server; wait $server || true; rm -rf "$dir"' EXIT
until tests/postgresql.sh ready "$dir/pg"; do sleep 0.2; done
build/bin/bench_store "$dir/sqlite" \
    "postgresql:///postgres?host=$dir/pg&user=flotilla"
