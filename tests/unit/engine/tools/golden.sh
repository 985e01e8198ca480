#!/bin/sh
# flotilla-model golden: cases made by a model pass on it, and on no other.
#
# usage: golden.sh BIN_DIR [EMULATOR...]   (from the root folder)
set -u
model=$1/flotilla-model
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
models=tests/models
golden=$models/golden-tiny-v2.json
v2=$models/tiny-v2.Q4_0.gguf

# expect CODE PATTERN ARGUMENT...: exit code, and a line of either output
expect() {
    code=$1
    pattern=$2
    shift 2
    "$@" >"$work/out" 2>&1 </dev/null
    got=$?
    if [ "$got" -ne "$code" ] || ! grep -q -- "$pattern" "$work/out"; then
        echo "exit $got, $code with '$pattern' expected: $*"
        cat "$work/out"
        failed=1
    fi
}

python3 -c '
import json
for case in json.load(open("tests/models/golden-tiny-v2.json"))["cases"]:
    print(case["prompt"] + "\n")' >"$work/prompts"
echo "Tell me something that you are not sure of." >>"$work/prompts"

# All prompts that it was made for are certain, the last one is not.
expect 0 '^27 of 27 prompts became cases, 1 of them judged' "$@" "$model" golden create \
    "$work/golden.json" --model $v2 --prompts "$work/prompts"
cp "$work/out" "$work/said"
expect 0 '^played: 27 of 27 .* 1 thread' cat "$work/said"
expect 0 '^played: 27 of 27 .* cache q8_0' cat "$work/said"
expect 0 '^played: 27 of 27' "$@" "$model" golden play "$work/golden.json" \
    --model $v2
# The number of threads changes no case.
head -n 10 "$work/prompts" >"$work/few"
for threads in 2 1; do
    expect 0 'became cases' "$@" "$model" golden create \
        "$work/of-$threads.json" --model $v2 --prompts "$work/few" \
        --threads $threads
done
cmp "$work/of-1.json" "$work/of-2.json" || failed=1
# A release of the coarsest cache also passes on devices that keep to theirs.
expect 0 '^played: .* cache q8_0' "$@" "$model" golden create \
    "$work/coarse.json" --model $v2 --prompts "$work/few" --kv q4_0
for cache in q4_0 f16; do
    expect 0 "^played: .* cache $cache" "$@" "$model" golden play \
        "$work/coarse.json" --model $v2 --kv $cache --once
done

# Another model, a damaged one, an answer that was changed: two cases show it.
python3 -c '
import json, sys
golden = json.load(open(sys.argv[1]))
golden["cases"] = [case for case in golden["cases"]
                   if case["id"] in ("severity-1", "advice-1")]
json.dump(golden, sys.stdout, indent=1)' $golden >"$work/two.json"
expect 7 'cases fail' "$@" "$model" golden play $golden \
    --model $models/tiny-v1.Q4_0.gguf
expect 0 '^played: 2 of 2' "$@" "$model" golden play "$work/two.json" \
    --model $v2
expect 7 'failed: advice-1' "$@" "$model" golden play "$work/two.json" \
    --model $models/tiny-v3-bad-noise.Q4_0.gguf
sed 's/"severity: critical"/"severity: none"/' "$work/two.json" \
    >"$work/changed.json"
expect 7 'failed: severity-1' "$@" "$model" golden play "$work/changed.json" \
    --model $v2
sed 's/^    552/    553/' "$work/two.json" >"$work/changed.json"
expect 7 'failed: severity-1' "$@" "$model" golden play "$work/changed.json" \
    --model $v2
expect 7 'NaN' "$@" "$model" golden create "$work/none.json" \
    --model $models/tiny-v3-bad-nanscale.Q4_0.gguf

# Built-in prompts: most become cases, hold with every kernel and cache, and
# show a damaged model.
expect 0 '^1[2-6] of 16 prompts became cases' "$@" "$model" golden create \
    "$work/built-in.json" --model $v2
for cache in f32 q8_0; do
    expect 0 '^played: 1' "$@" "$model" golden play "$work/built-in.json" \
        --model $v2 --kv $cache --kernel ref
done
for bad in noise swap; do
    expect 7 'cases\? fails\? with' "$@" "$model" golden play \
        "$work/built-in.json" --model $models/tiny-v3-bad-$bad.Q4_0.gguf
done
# Damage that changes no answer: one matrix is doubled, one layer has another place.
for damage in "scale blk.1.attn_q.weight 2" "scale blk.2.attn_k.weight 0.5" "swap 2 3"; do
    # shellcheck disable=SC2086
    tests/lanes/weights.py $v2 "$work/damaged.gguf" $damage
    expect 7 'times as much as is allowed, over all cases\|cases\? fails\?' "$@" "$model" golden play \
        "$work/built-in.json" --model "$work/damaged.gguf" --once
done
expect 0 'of 1[2-6] .* [1-9][0-9]* % of the allowed difference' "$@" "$model" golden play \
    "$work/built-in.json" --model $v2 --kv q8_0 --once
# Few cases are worth a warning.
head -n 4 "$work/few" >"$work/two"
expect 0 'warning: 2 cases may miss' "$@" "$model" golden create \
    "$work/of-2.json" --model $v2 --prompts "$work/two"

# A prompt that is left out is shown in whole characters.
{ cat "$work/two" && echo && printf 'a'; i=0; while [ $i -lt 500 ]; do printf 'é'; i=$((i + 1)); done
    echo; } >"$work/long"
expect 0 '^left out: .*(aéé' "$@" "$model" golden create "$work/short.json" --model $v2 \
    --prompts "$work/long"
iconv -f utf-8 -t utf-8 "$work/out" >/dev/null || failed=1

# Format 2 is judged by its own matchers.
cat >"$work/format-2.json" <<'END'
{"format": "flotilla-golden-2", "cases": [
 {"id": "severity", "prompt": "Classify: 23:45 oven-95 voltage drop temp=35C",
  "max_new_tokens": 8, "expect": [{"exact": "severity: critical"}, {"lacks": "x"}]},
 {"id": "talk", "messages": [{"role": "user",
  "content": "Classify: 23:45 oven-95 voltage drop temp=35C"}],
  "max_new_tokens": 8, "expect": [{"pattern": "severity: c*"}]},
 {"id": "heard", "audio": "door.wav", "expect": [{"exact": "shut"}]}]}
END
expect 0 '^played: 2 of 2' "$@" "$model" golden play "$work/format-2.json" \
    --model $v2
expect 0 'passed over: 1 case' "$@" "$model" golden play \
    "$work/format-2.json" --model $v2
sed 's/severity: c\*/severity: d*/' "$work/format-2.json" >"$work/changed.json"
expect 7 'failed: talk: the pattern does not fit' "$@" "$model" golden play \
    "$work/changed.json" --model $v2

# Texts that are none, prompts without a case, words that are wrong.
expect 7 'not strict JSON in UTF-8 at byte 0' "$@" "$model" golden play README.md \
    --model $v2
echo '{"prompt":"a","answer":"b"}' >"$work/suite"
expect 7 'field .format. is missing' "$@" "$model" golden play \
    "$work/suite" --model $v2
# A prompt that fits no context is left out, and says so.
python3 -c 'print("too long " * 500)' >"$work/prompts"
expect 7 'left out: prompt-1 .*tokens' "$@" "$model" golden create \
    "$work/none.json" --model $v2 --prompts "$work/prompts"
expect 7 'no case is left of 1 prompt:' "$@" "$model" golden create \
    "$work/none.json" --model $v2 --prompts "$work/prompts"
: >"$work/prompts"
expect 2 'has no prompt' "$@" "$model" golden create "$work/none.json" \
    --model $v2 --prompts "$work/prompts"
expect 2 'did you mean .golden create' "$@" "$model" golden creat "$work/none.json" \
    --model $v2
[ ! -e "$work/none.json" ] || failed=1
# Paragraphs: a prompt may have lines.
printf 'Classify: 23:45 oven-95 voltage drop temp=35C\n\nSeverity?\n13:38\n' \
    >"$work/prompts"
expect 0 'of 2 prompts became cases' "$@" "$model" golden create \
    "$work/golden.json" --model $v2 --prompts "$work/prompts"
exit $failed
