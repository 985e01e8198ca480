#!/bin/sh
# mosquitto with the files of the leader: waits for them, and reads them again
# when the list of retired devices changes.  The folder is the working one.
set -eu
until [ -s mosquitto.conf ]; do sleep 1; done
mosquitto -c mosquitto.conf &
broker=$!
trap 'kill -TERM $broker' TERM INT
seen=$(cksum acl broker.pem revoked.pem)
while kill -0 $broker 2>/dev/null; do
    sleep 1
    now=$(cksum acl broker.pem revoked.pem)
    [ "$now" = "$seen" ] || kill -HUP $broker || break
    seen=$now
done
wait $broker
