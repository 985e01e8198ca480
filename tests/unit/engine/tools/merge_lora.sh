#!/bin/sh
# The merged bytes are the same on every CPU: each tiny model with the site
# adapter, seed 1, against the committed digests.
#
# usage: merge_lora.sh BIN_DIR [EMULATOR...]   (from the root folder)
set -eu
model=$1/flotilla-model
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
while read -r digest file; do
    "$@" "$model" merge-lora --model "tests/models/$file" \
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
if "$@" "$model" merge-lora --model tests/models/tiny-v1.Q4_1.gguf \
    --lora tests/models/smollm2-ops-lora.gguf --out "$work/x" 2>"$work/report"
then
    echo "an adapter of another base was merged"
    exit 1
fi
grep -q '^error\[model.adapter\]' "$work/report"
[ ! -e "$work/x" ] && [ ! -e "$work/x.part" ]

# Weights that are no numbers are never written, also with --force.
strong=$work/strong
cp tests/models/tiny-v1-site-lora.gguf "$strong"
key=adapter.lora.alpha
at=$(grep -abo $key "$strong" | cut -d: -f1)
put() { # BYTES OFFSET
    # shellcheck disable=SC2059
    printf "$1" | dd of="$strong" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
put '\000\000\200\111' $((at + ${#key} + 4)) # 2^20
put '\377\173' $(($(wc -c <"$strong") - 2))    # 65504, of a half
for force in '' --force; do
    # shellcheck disable=SC2086
    if "$@" "$model" merge-lora --model tests/models/tiny-v1.F16.gguf \
        --lora "$strong" --method requantize $force --out "$work/x" \
        >"$work/report" 2>&1; then
        cat "$work/report"
        echo "weights that are not finite were written"
        exit 1
    fi
    grep -q '^error\[model.nonfinite\]' "$work/report"
done
[ ! -e "$work/x" ] && [ ! -e "$work/x.part" ]
