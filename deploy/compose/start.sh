#!/bin/sh
# A controller of several: its own folder, with the fleet's folders linked in.
#
# usage: start.sh NAME PUBLIC_HOST [FLAG...]
#   NAME         under which the other controllers reach this one
#   PUBLIC_HOST  under which people and devices reach any of them
# FLOTILLA_STORE, FLOTILLA_BROKER, FLOTILLA_PGPASS: others than compose.yaml's.
set -eu
name=$1 public=$2
shift 2
data=${FLOTILLA_DATA:-/var/lib/flotilla}
fleet=${FLOTILLA_FLEET:-/fleet}
store=${FLOTILLA_STORE:-postgresql://flotilla@database/fleet?passfile=$data/pgpass}
broker=${FLOTILLA_BROKER:-mqtts://$public:8883}
umask 077
# libpq takes no password file that a group may read, as mounted ones are.
cp "${FLOTILLA_PGPASS:-/run/secrets/pgpass}" "$data/pgpass"
for part in pki keys trust blobs broker; do
    mkdir -p "$fleet/$part"
    [ -e "$data/$part" ] || ln -s "$fleet/$part" "$data/$part"
done
[ -e "$data/audit.head" ] || ln -sf "$fleet/audit.head" "$data/audit.head"
exec flotilla-controller --data "$data" --store "$store" --broker "$broker" \
    --listen 0.0.0.0:8080 --listen-devices 0.0.0.0:8443 \
    --public-host "$public" --peer-host "$name" --host-name "$name" "$@"
