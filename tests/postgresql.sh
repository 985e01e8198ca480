#!/bin/sh
# PostgreSQL servers of the tests: a socket in a folder below /tmp, no network.
#
# usage: postgresql.sh init DIR        (77: Debian's postgresql is not here)
#        postgresql.sh run DIR [on]    replaces this process; ends with its parent;
#                                      `on`: it syncs and tidies, as in production
#        postgresql.sh ready DIR       0: it answers
#        postgresql.sh share           the server that all tests of a build tree share
#        postgresql.sh begin|end       hold it from its first test to its last (ctest)
# Its address: postgresql:///postgres?host=DIR&user=flotilla
#
# FLOTILLA_BUILD names the build tree.  There, in postgresql-UID/, `data-*` is a
# data folder to copy, and `dir` names the shared server's DIR.  Whoever uses the
# server holds a shared lock of `users`.  It ends when the last of them is gone,
# however they ended; its keeper holds `kept` meanwhile.
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || {
    echo "skipped: PostgreSQL's server is not installed (package postgresql)"
    [ "$1" = begin ] || [ "$1" = end ] || exit 77
    exit 0 # what needs it says so
}
as=""
if [ "$(id -u)" -eq 0 ]; then # the server refuses to be root
    as="--reuid=postgres --regid=postgres --clear-groups"
fi
place=${FLOTILLA_BUILD:+$FLOTILLA_BUILD/postgresql-$(id -u)}

make_data() {
    setpriv $as "$bin/initdb" -D "$1/data" -A trust -U flotilla -E UTF8 \
        --locale=C --no-sync >"$1/init.log" 2>&1 || {
        cat "$1/init.log"
        exit 1
    }
}

# The first one leaves a copy for all others.
copy_data() {
    version=${bin%/bin}
    data=$place/data-${version##*/}-$(cksum <"$0" | tr ' ' -)
    exec 7>"$place/data.lock"
    flock 7
    if [ -d "$data" ]; then
        cp -a --sparse=always "$data" "$1/data"
    else
        make_data "$1"
        rm -rf "$place"/data-* "$place/new"
        cp -a --sparse=always "$1/data" "$place/new"
        mv "$place/new" "$data"
    fi
    exec 7>&-
}

# In a session of its own, behind `share`.
keep() {
    exec 8>"$place/kept" 9>"$place/users"
    flock 8 # the server has it too: a keeper that was killed is no free place
    case $(cat "$place/dir" 2>/dev/null) in
    /tmp/flotilla-pg-*) rm -rf "$(cat "$place/dir")" ;; # that one's
    esac
    dir=$(mktemp -d /tmp/flotilla-pg-XXXXXX)
    echo "$dir" >"$place/dir"
    "$0" init "$dir"
    "$0" run "$dir" 9>&- &
    server=$!
    # The lock stays with this process until the server has ended.  A server
    # that has just begun does not hear the first signal.
    setpriv --pdeathsig KILL sh -c 'flock 9
        while kill -INT "$1"; do sleep 0.1; done' - "$server" 8>&- &
    waiter=$!
    wait "$server" || :
    kill "$waiter" 2>/dev/null || :
    rm -rf "$dir" "$place/dir"
}

share() {
    exec 6>"$place/starting"
    flock 6
    keeper=
    if flock -n "$place/kept" true; then
        rm -f "$place/keeper.log"
        setsid "$0" keep </dev/null >"$place/keeper.log" 2>&1 6>&- 9>&- &
        keeper=$!
    fi
    until dir=$(cat "$place/dir" 2>/dev/null) && "$bin/pg_isready" -q -h "$dir"; do
        [ -z "$keeper" ] || kill -0 "$keeper" 2>/dev/null || {
            cat "$place/keeper.log"
            exit 1
        }
        sleep 0.02
    done
}

case $1 in
init)
    [ -z "$as" ] || chown postgres "$2"
    if [ -n "$place" ] && mkdir -p "$place" 2>/dev/null && [ -w "$place" ]; then
        copy_data "$2"
    else
        make_data "$2"
    fi
    ;;
ready)
    exec "$bin/pg_isready" -q -h "$2"
    ;;
run)
    cd "$2" # a place that its user may enter
    exec env --default-signal=INT setpriv $as --pdeathsig INT \
        "$bin/postgres" -D "$2/data" -k "$2" -c listen_addresses= \
        -c "fsync=${3-off}" -c "autovacuum=${3-off}" -c max_connections=100 \
        -c shared_buffers=32MB >"$2/server.log" 2>&1
    ;;
share) share ;;
keep) keep ;;
begin)
    mkdir -p "$place"
    exec 9>"$place/users"
    flock -s 9
    share
    setsid tail --pid="$PPID" -f /dev/null </dev/null >/dev/null 2>&1 6>&- &
    echo $! >"$place/ctest.$PPID"
    ;;
end)
    holder=$(cat "$place/ctest.$PPID") || exit 0
    rm "$place/ctest.$PPID"
    kill "$holder"
    flock -w 3 "$place/kept" true || : # others use it
    ;;
esac
