#!/bin/sh
# No request fails while a device's engine is killed 50 times: another device of
# the site answers (test_route_fleet.py). The agent waits longer after each loss,
# half a minute at most, so this takes ten minutes.
#
# usage: routes.sh [KILLS]
set -eu
cd "$(dirname "$0")/../.."
export FLOTILLA_KILLS="${1-50}"
export FLOTILLA_BIN="${FLOTILLA_BIN-$PWD/build/bin}"
exec python3 -m pytest -q -x -s -rfEs -p no:cacheprovider \
    tests/integration/test_route_fleet.py -k killed
