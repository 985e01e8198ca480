#!/bin/sh
# flotilla-model draft: tables of a model's own answers.
#
# usage: drafts.sh BIN_DIR [EMULATOR...]   (from the root folder)
set -u
model=$1/flotilla-model
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
models=tests/models
tiny=$models/tiny-v2.Q4_0.gguf
golden=$models/golden-tiny-v2.json

# expect CODE PATTERN ARGUMENT...: exit code, and a line of either output
expect() {
    code=$1
    pattern=$2
    shift 2
    "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    if [ "$got" -ne "$code" ] ||
        ! cat "$work/out" "$work/err" | grep -q -- "$pattern"; then
        echo "exit $got, $code with '$pattern' expected: $*"
        cat "$work/out" "$work/err"
        failed=1
    fi
}

# Forty questions, of which each skill has many.  The suite expects wrong answers,
# or none, and the table is of the model's own.
for i in $(seq 10 49); do
    case $((i % 3)) in
    0) echo "What should I do about smoke detected on camera-$i?" ;;
    1) echo "Severity? 13:38 gateway-$i signal weak temp=45C" ;;
    *) echo "Log: 03:12 oven-$i battery low temp=42C. At what time?" ;;
    esac
done >"$work/questions"
sed 's/.*/{"system":"You help.","prompt":"&","answer":"xyzzy"}/' \
    "$work/questions" >"$work/suite.jsonl"
sed 's/.*/{"system":"You help.","prompt":"&"}/' "$work/questions" \
    >"$work/other.jsonl"
expect 0 '^made of 40 prompts: [0-9]* tokens of answers$' "$@" "$model" draft \
    $tiny "$work/suite.jsonl" --to "$work/one.draft" --threads 1
expect 0 'guesses [0-9]* of the [0-9]* tokens of 10 held out, [0-9]* right' \
    "$@" "$model" draft $tiny "$work/suite.jsonl" --to "$work/one.draft"
expect 0 '"held_out":{"prompts":10,' "$@" "$model" draft $tiny \
    "$work/other.jsonl" --to "$work/two.draft" --threads 2 --json
cmp "$work/one.draft" "$work/two.draft" || failed=1
python3 - "$work" <<'END' || failed=1
import json, struct, sys
told = json.load(open(sys.argv[1] + "/out"))
data = open(sys.argv[1] + "/two.draft", "rb").read()
magic, version, n_vocab, _, longest, log2, contexts, zero = struct.unpack_from(
    "<8sIIQIIII", data)
assert (magic, version, n_vocab, longest, zero) == (b"FLODRAFT", 1, 896, 8, 0)
assert told["bytes"] == len(data) == 40 + (12 << log2), told
assert told["contexts"] == contexts > 10 and 2 * contexts <= 1 << log2, told
held = told["held_out"]
assert 2 * held["right"] > held["answer_tokens"] >= held["guessed"] > 0, told
assert told["prompts"] == 40 and told["text_tokens"] == 0, told
END
# Other answers are another table: by an adapter, by a text, by fewer tokens.
expect 0 '^made of 40 prompts' "$@" "$model" draft $models/tiny-v1.Q4_0.gguf \
    "$work/suite.jsonl" --to "$work/base.draft"
expect 0 '^made of 40 prompts' "$@" "$model" draft $models/tiny-v1.Q4_0.gguf \
    "$work/suite.jsonl" --to "$work/lora.draft" \
    --lora $models/tiny-v1-site-lora.gguf:1
if cmp -s "$work/base.draft" "$work/lora.draft"; then
    echo 'the adapter changed no answer'
    failed=1
fi
expect 0 'tokens of answers, [1-9][0-9]* of texts$' "$@" "$model" draft $tiny \
    "$work/suite.jsonl" --to "$work/text.draft" --text "$work/questions" \
    --text $models/README.md
expect 0 '"answer_tokens":80,' "$@" "$model" draft $tiny "$work/suite.jsonl" \
    --to "$work/short.draft" --tokens 2 --json
expect 0 '^not measured: that needs 4 prompts$' "$@" "$model" draft $tiny \
    "$(head -3 "$work/suite.jsonl" >"$work/three.jsonl"; echo "$work/three.jsonl")" \
    --to "$work/three.draft" --text "$work/questions"
expect 0 '^made of 26 prompts' "$@" "$model" draft $tiny $golden \
    --to "$work/golden.draft"

# A table that cannot be made is refused, and nothing is left.
rm "$work"/*.draft
printf '{"prompt":"%s Please, thank you."}\n' \
    'Rate this log line: 19:43 drill-96 smoke detected temp=33C' \
    'Log: 03:56 chiller-42 battery low temp=74C. Which device?' \
    'Log: 00:22 meter-24 disk almost full temp=46C. Name the device.' \
    'Severity? 17:00 mixer-80 smoke detected temp=89C' \
    'Classify: 22:08 fan-37 calibration done temp=78C' >"$work/unlike.jsonl"
expect 2 '5 answers of 5 tokens repeat nothing' "$@" "$model" draft $tiny \
    "$work/unlike.jsonl" --tokens 1 --to "$work/x.draft"
expect 7 '^error\[model.nonfinite\]: .*suite.jsonl: case 1: ' "$@" "$model" draft \
    $models/tiny-v3-bad-nanscale.Q4_0.gguf "$work/suite.jsonl" --to "$work/x.draft"
expect 2 'would be written over .*, which is read' "$@" "$model" draft $tiny \
    "$work/suite.jsonl" --to "$work/suite.jsonl"
expect 2 'would be written over .*, which is read' "$@" "$model" draft $tiny \
    "$work/suite.jsonl" --to "$work/other.jsonl" --text "$work/other.jsonl"
expect 2 'needs --to FILE' "$@" "$model" draft \
    $tiny "$work/suite.jsonl"
expect 7 'three.jsonl: line 1: ' "$@" "$model" draft $tiny \
    "$(echo '{"prompt":' >"$work/three.jsonl"; echo "$work/three.jsonl")" \
    --to "$work/x.draft"
expect 2 '--text may be given 6 times' "$@" "$model" draft $tiny \
    "$work/suite.jsonl" --to "$work/x.draft" --text a --text a --text a --text a \
    --text a --text a --text a
expect 1 "^error\[io.open\]: $work/none/x" "$@" "$model" draft $tiny \
    "$work/suite.jsonl" --to "$work/none/x.draft"
FLOTILLA_KERNEL=ref "$@" "$model" draft $tiny "$work/suite.jsonl" \
    --to "$work/ended.draft" >"$work/out" 2>&1 &
until [ -e "$work/ended.draft" ] || [ -e "$work/ended.draft.part" ]; do :; done
kill -s TERM $!
wait $! 2>/dev/null
rm -f "$work/ended.draft"
if ls "$work"/*.draft "$work"/*.part 2>/dev/null; then
    echo 'draft left a file of a table that it refused, or half of one'
    failed=1
fi

exit $failed
