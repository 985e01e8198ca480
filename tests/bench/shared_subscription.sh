#!/bin/bash
# Shared subscriptions of mosquitto, when one of two members is killed: messages
# of QoS 1 that the broker acknowledged to their sender, and who got them.
#
#   tests/bench/shared_subscription.sh [MESSAGES]
#
# Three ways: members without a session; with one that lasts an hour; the same,
# and the killed one comes back.
set -eu
count=${1:-20000}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

a_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

member() { # name, life of its session
    exec mosquitto_sub -p "$port" -V 5 -q 1 -c -i "$1" -x "$2" -F %p \
        -t "\$share/fleet/tele/+" >> "$1"
}

lines() { wc -l < "$1"; }

try() { # life of sessions in seconds, does it come back?
    port=$(a_port)
    printf '%s\n' "listener $port 127.0.0.1" 'allow_anonymous true' \
        'max_queued_messages 0' > broker.conf
    mosquitto -c broker.conf 2> broker.log &
    broker=$!
    : > one
    : > two
    until mosquitto_pub -p "$port" -t up -m 1 2> /dev/null; do sleep 0.05; done
    member one "$1" &
    first=$!
    member two "$1" &
    second=$!
    until [ "$(grep -c 'as one\|as two' broker.log)" -ge 2 ]; do sleep 0.05; done
    sleep 0.3 # their subscriptions
    seq "$count" | mosquitto_pub -p "$port" -V 5 -q 1 -t tele/x -l &
    sender=$!
    until [ "$(lines two)" -gt $((count / 8)) ]; do sleep 0.01; done
    kill -9 "$second"
    wait "$second" 2> /dev/null || true
    wait "$sender" # all are acknowledged
    third=
    if [ "$2" = yes ]; then
        member two "$1" &
        third=$!
    fi
    before=-1
    while [ "$(cat one two | wc -l)" != "$before" ]; do
        before=$(cat one two | wc -l)
        sleep 1
    done
    printf 'session %4s s, comes back: %-3s  acknowledged %d, came %d\n' "$1" \
        "$2" "$count" "$(cat one two | grep -E '^[0-9]+$' | sort -nu | wc -l)"
    # shellcheck disable=SC2086
    kill "$first" $third "$broker"
    wait "$first" $third "$broker" 2> /dev/null || true
}

try 0 no
try 3600 no
try 3600 yes
