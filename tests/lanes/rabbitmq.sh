#!/bin/sh
# A fleet on three nodes of RabbitMQ 4, from Debian 13's package in a root of its
# own; rabbitmq_story.py says what happens there.
#
# usage: rabbitmq.sh [DEVICES]
# As root. The root stays in build/roots; FLOTILLA_RABBITMQ_ROOT names another.
set -eu
cd "$(dirname "$0")/../.."
. deploy/root.sh
for tool in debootstrap unshare mosquitto_pub; do
    command -v "$tool" >/dev/null || {
        echo "skipped: $tool is not installed (packages debootstrap" \
            "util-linux mosquitto-clients)"
        exit 77
    }
done
[ "$(id -u)" -eq 0 ] || {
    echo "skipped: a root is made and entered by root alone"
    exit 77
}
root=${FLOTILLA_RABBITMQ_ROOT-$PWD/build/roots/rabbitmq}
[ -n "${FLOTILLA_RABBITMQ_ROOT-}" ] ||
    make_root trixie "$root" --include=rabbitmq-server || {
    echo "skipped: RabbitMQ of Debian 13 could not be had"
    exit 77
}
exec python3 tests/lanes/rabbitmq_story.py "$root" "${FLOTILLA_BIN-build/bin}" \
    build/release "${1-60}"
