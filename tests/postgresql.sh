#!/bin/sh
# A PostgreSQL server of a test's own: a socket in DIR, no network.
#
# usage: postgresql.sh init DIR        (77: Debian's postgresql is not here)
#        postgresql.sh run DIR [on]    replaces this process; ends with its parent;
#                                      `on`: it syncs, as in production
#        postgresql.sh ready DIR       0: it answers
# Its address: postgresql:///postgres?host=DIR&user=flotilla
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || {
    echo "skipped: PostgreSQL's server is not installed (package postgresql)"
    exit 77
}
as=""
if [ "$(id -u)" -eq 0 ]; then # the server refuses to be root
    as="--reuid=postgres --regid=postgres --clear-groups"
fi
case $1 in
init)
    [ -z "$as" ] || chown postgres "$2"
    setpriv $as "$bin/initdb" -D "$2/data" -A trust -U flotilla -E UTF8 \
        --locale=C --no-sync >"$2/init.log" 2>&1 || {
        cat "$2/init.log"
        exit 1
    }
    ;;
ready)
    exec "$bin/pg_isready" -q -h "$2"
    ;;
run)
    cd "$2" # a place that its user may enter
    exec setpriv $as --pdeathsig INT "$bin/postgres" -D "$2/data" -k "$2" \
        -c listen_addresses= -c "fsync=${3-off}" -c max_connections=20 \
        -c shared_buffers=32MB >"$2/server.log" 2>&1
    ;;
esac
