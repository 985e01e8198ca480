#!/bin/sh
# The merged bytes are the same on every CPU: each tiny model with the site
# adapter, seed 1, against the committed digests.
#
# usage: merge_lora.sh FLOTILLA-ENGINE [EMULATOR...]   (from the root folder)
set -eu
engine=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
while read -r digest file; do
    "$@" "$engine" merge-lora --model "tests/models/$file" \
        --lora tests/models/tiny-v1-site-lora.gguf --seed 1 \
        --out "$work/$file" >"$work/report"
    grep -q '^kept 0\.9\|^kept 1\.0' "$work/report" || {
        cat "$work/report"
        echo "$file: the update is lost"
        exit 1
    }
    got=$(sha256sum <"$work/$file" | cut -d' ' -f1)
    [ "$got" = "$digest" ] || {
        echo "$file: $got, $digest expected"
        exit 1
    }
done <tests/golden/merge/tiny-v1-site.sha256
if "$@" "$engine" merge-lora --model tests/models/tiny-v1.Q4_1.gguf \
    --lora tests/models/smollm2-ops-lora.gguf --out "$work/x" 2>"$work/report"
then
    echo "an adapter of another base was merged"
    exit 1
fi
grep -q '^error\[model.adapter\]' "$work/report"
[ ! -e "$work/x" ] && [ ! -e "$work/x.part" ]
