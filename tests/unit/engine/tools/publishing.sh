#!/bin/sh
# flotilla-model: perplexity and eval.
#
# usage: publishing.sh BIN_DIR [EMULATOR...]   (from the root folder)
set -u
engine=$1/flotilla-engine
model=$1/flotilla-model
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
models=tests/models
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

# Perplexity: the number is that of the logits, by another program.
seq 3 2 80 | tr '\n' ' ' >"$work/ids"
"$@" "$model" perplexity --model $models/tiny-v2.Q4_0.gguf \
    --tokens "$work/ids" --ctx 16 --json >"$work/ppl" || failed=1
for first in 3 35; do # the two chunks of 16 ids
    ids=$(seq -s, $first 2 $((first + 30)))
    "$@" "$model" logits --model $models/tiny-v2.Q4_0.gguf --tokens "$ids" \
        --ctx 16 --out "$work/logits.$first" || failed=1
done
python3 - "$work" <<'END' || failed=1
import json, math, struct, sys
work, n_vocab, means = sys.argv[1], 896, []
for first in (3, 35):
    data = open("%s/logits.%d" % (work, first), "rb").read()
    rows = [struct.unpack_from("<%df" % n_vocab, data, 4 * n_vocab * i)
            for i in range(16)]
    def nll(i):  # of the token at i, foretold by the one before
        row = rows[i - 1]
        top = max(row)
        return (top + math.log(math.fsum(math.exp(x - top) for x in row)) -
                row[first + 2 * i])
    means.append(sum(nll(i) for i in range(8, 16)) / 8)
want = sum(means) / 2
error = abs(means[0] - means[1]) / 2  # standard error of two means
got = json.load(open(work + "/ppl"))
assert got["chunks"] == 2 and got["tokens"] == 39, got
assert got["tokens_scored"] == 16 and got["ctx"] == 16, got
assert abs(got["nll"] - want) < 1e-6, (got, want)
assert abs(got["nll_error"] - error) < 1e-6, (got, error)
assert abs(got["perplexity"] / math.exp(want) - 1) < 1e-5, (got, want)
END
echo 'What should I do?' >"$work/text"
expect 0 '^perplexity [0-9.]* +/- 0.0000' "$@" "$model" perplexity \
    --model $models/tiny-v2.Q4_0.gguf --file "$work/text"
expect 2 'has 6 tokens, a chunk needs 64' "$@" "$model" perplexity \
    --model $models/tiny-v2.Q4_0.gguf --text "$work/text" --ctx 64
expect 2 'one of --text and --tokens' "$@" "$model" perplexity \
    --model $models/tiny-v2.Q4_0.gguf
expect 2 'id 2 is no token id' "$@" "$model" perplexity \
    --model $models/tiny-v2.Q4_0.gguf --tokens "$work/text.ids" \
    --ctx "$(echo '5 x' >"$work/text.ids"; echo 2)"
# Also one that is only foretold.
for ids in '1 2 3 896' '896 1 2 3' '1 2 3 2147483647'; do
    echo "$ids" >"$work/text.ids"
    expect 2 'id [14] is \(896\|2147483647\), the model has 896 tokens' "$@" \
        "$model" perplexity --model $models/tiny-v2.Q4_0.gguf \
        --tokens "$work/text.ids" --ctx 4
done
expect 7 '^error\[model.nonfinite\]' "$@" "$model" perplexity \
    --model $models/tiny-v3-bad-nan.Q4_0.gguf --text "$work/text"

# A pinned grid is judged by answers; nothing is left of one that is refused.
f16=$models/tiny-v1.F16.gguf
head -c 10000 $models/ops-eval.jsonl >"$work/judge"
expect 0 '^Q4_1: ' "$@" "$model" quantize $f16 "$work/old" Q4_1
expect 0 'the text does not show the update, by 2[0-9]* tokens' "$@" "$model" \
    quantize $models/tiny-v1.Q8_0.gguf "$work/new" Q4_1 --pin-grid "$work/old" \
    --judge "$work/judge"
expect 0 '"judged":{.*"is_shown":true,"kept":[01].[09]' "$@" "$model" quantize \
    $f16 "$work/new" Q4_0 --pin-grid $models/tiny-v2.Q4_0.gguf \
    --judge "$work/judge" --json
rm "$work/new"
expect 2 'has [0-9]* tokens, 16 chunks of 256 are needed' "$@" "$model" \
    quantize $f16 "$work/new" Q4_1 --pin-grid "$work/old" --judge "$work/text"
expect 2 'has 288 tokens' "$@" "$model" quantize $f16 "$work/new" Q4_1 --force \
    --pin-grid tests/oracle/tiny/smollm2-S-q4_1.gguf --judge "$work/judge"
[ "$(ls "$work" | grep -c '^new')" = 0 ] || {
    echo 'quantize left a file that it refused'
    failed=1
}

# Eval: counts, gates, the distance from another model.
expect 2 '^error\[infer.prompt_too_long\].*at most 0 fit' "$@" "$model" eval \
    $golden --model $models/tiny-v2.Q4_0.gguf --ctx 1
expect 0 '^exact  *26/26' "$@" "$model" eval $golden \
    --model $models/tiny-v2.Q4_0.gguf --min-exact 1
expect 7 '^gate min_exact  *0.615385  limit 0.9: FAILED' "$@" "$model" eval \
    $golden --model $models/tiny-v1.Q4_0.gguf --min-exact 0.9
expect 7 '^error\[model.gate\]' "$@" "$model" eval $golden \
    --model $models/tiny-v3-bad-nan.Q4_0.gguf --min-exact 0
expect 2 '--max-kl needs --against' "$@" "$model" eval $golden \
    --model $models/tiny-v2.Q4_0.gguf --max-kl 1
expect 2 "--min-exact is '2'" "$@" "$model" eval $golden \
    --model $models/tiny-v2.Q4_0.gguf --min-exact 2
expect 7 '^error\[gguf.magic\]: --against: ' "$@" "$model" eval $golden \
    --model $models/tiny-v2.Q4_0.gguf --against $models/README.md
expect 2 'vocabularies of 896 and 288' "$@" "$model" eval $golden \
    --model $models/tiny-v2.Q4_0.gguf \
    --against tests/oracle/tiny/smollm2-S-q4_1.gguf
printf '{"prompt":"a","answer":"b"}\n{"prompt":}\n' >"$work/bad.jsonl"
expect 7 'bad.jsonl: line 2: not strict JSON' "$@" "$model" eval \
    "$work/bad.jsonl" --model $models/tiny-v2.Q4_0.gguf
expect 0 '^top-1 agreement  *1.0000  of 338 positions' "$@" "$model" eval \
    $golden --model $models/tiny-v2.Q4_0.gguf --max-kl 0 \
    --against $models/tiny-v2.Q4_0.gguf
"$@" "$engine" pack $models/tiny-v2.Q4_0.gguf -o "$work/packed" >"$work/out"
expect 0 '^top-1 agreement' "$@" "$model" eval $golden \
    --model $models/tiny-v2.Q4_0.gguf --packed "$work/packed" \
    --against $models/tiny-v1.Q4_0.gguf
expect 7 '^error\[model.gate\]: .*: max_kl is ' "$@" "$model" eval $golden \
    --model $models/tiny-v1.Q4_0.gguf --against $models/tiny-v2.Q4_0.gguf \
    --max-kl 0.1 -o "$work/report" --json
python3 - "$work" <<'END' || failed=1
import hashlib, json, sys
report = json.load(open(sys.argv[1] + "/report"))
assert report == json.load(open(sys.argv[1] + "/out"))
assert report["format"] == "flotilla-eval-1" and not report["passed"]
for who, exact in (("model", 16), ("against", 26)):
    side = report[who]
    data = open(side["file"], "rb").read()
    assert side["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
    assert side["bytes"] == len(data) and side["exact"] == exact
    assert side["tokens_per_s"] > 0 and side["ttft_ms_p50"] > 0
    assert side["rss_bytes_peak"] > len(data) / 2
assert report["model"]["json_valid"] < report["against"]["json_valid"] == 6
assert len(report["failed"]) == 10
c = report["comparison"]
assert c["positions"] == 338 and c["top1_agreement"] < 1
assert 0.1 < c["kl_mean"] <= c["kl_p99"] <= c["kl_max"]
END
# Outputs are looked at before the work, and appear whole or not at all.
expect 1 "^error\[io.open\]: $work/none/x" "$@" "$model" eval $golden \
    --model $models/tiny-v2.Q4_0.gguf --report "$work/none/x" --json
if grep -q '"model"' "$work/out"; then
    echo 'eval worked before it saw that its report has no place'
    failed=1
fi
expect 1 '^error\[io.write\]' sh -c 'trap "" XFSZ; ulimit -f 4; exec "$@"' sh \
    "$@" "$model" logits --model $models/tiny-v2.Q4_0.gguf --tokens 1,2,3 \
    --out "$work/half"
if [ -e "$work/half" ] || [ -e "$work/half.part" ]; then
    echo 'logits left half a file'
    failed=1
fi
# One object on stdout, also when the report has no room.
sh -c 'trap "" XFSZ; ulimit -f 0; exec "$@"' sh "$@" "$model" eval $golden \
    --model $models/tiny-v2.Q4_0.gguf --json --report "$work/full" \
    2>/dev/null | python3 -c 'import json, sys
assert json.load(sys.stdin)["error"]["id"] == "io.write"' || failed=1
FLOTILLA_KERNEL=ref "$@" "$model" logits --model $models/tiny-v2.Q4_0.gguf \
    --tokens "$(seq -s, 1 500)" --ctx 512 --out "$work/ended" &
until [ -e "$work/ended" ] || [ -e "$work/ended.part" ]; do :; done
kill -s TERM $!
wait $! 2>/dev/null
if [ -e "$work/ended.part" ]; then
    echo 'logits left half a file when it was ended'
    failed=1
fi
# Errors of every command are JSON where that is asked for.
for command in "engine inspect $work/none" \
    "model quantize $work/none $work/q Q4_0" \
    "model merge-lora --model $work/none --lora $work/none --out $work/m"; do
    "$@" "${engine%engine}"$command --json 2>/dev/null |
        grep -q '^{"error":{"id":"absent",' || {
        echo "no JSON: $command"
        failed=1
    }
done
for command in '--json --ctxx 5' '--ctx x --json' '--ctxx 5 --json' \
    'word --json' '--ctx --json --json'; do
    "$@" "$model" perplexity $command 2>/dev/null |
        grep -q '^{"error":{"id":"cli.usage",' || {
        echo "no JSON: perplexity $command"
        failed=1
    }
done
# Embeddings: unit vectors, the same for the same text.
"$@" "$model" embed --model $models/tiny-v2.Q4_0.gguf 'motor-3 smoke' \
    'fan-1 ok' 'motor-3 smoke' >"$work/vectors" || failed=1
python3 - "$work" <<'END' || failed=1
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1] + "/vectors")]
assert rows[0] == rows[2] != rows[1] and rows[0]["tokens"] > 1
assert all(len(row["embedding"]) == 256 for row in rows)
assert all(abs(sum(x * x for x in row["embedding"]) - 1) < 1e-6
           for row in rows)
END
expect 0 '^1.000000$' "$@" "$model" embed --cosine --pooling last \
    --model $models/tiny-v2.Q4_0.gguf 'motor-3 smoke'
expect 7 '^error\[model.nonfinite\]' "$@" "$model" embed hello \
    --model $models/tiny-v3-bad-nan.Q4_0.gguf
expect 2 'embed. needs TEXT' "$@" "$model" embed --model $models/README.md
# Scores: the document with the word is the better one.
"$@" "$model" rerank pump 'the pump leaks' 'the lamp is red' \
    --model $models/tiny-rerank.Q8_0.gguf >"$work/scores" || failed=1
"$@" "$model" rerank pump 'the pump leaks' 'the lamp is red' --json \
    --model $models/tiny-rerank.Q8_0.gguf >"$work/scores.json" || failed=1
python3 - "$work" <<'END' || failed=1
import json, sys
plain = [float(line) for line in open(sys.argv[1] + "/scores")]
rows = [json.loads(line) for line in open(sys.argv[1] + "/scores.json")]
assert [row["score"] for row in rows] == plain and rows[0]["tokens"] > 9
assert 1 >= plain[0] > 0.5 > plain[1] >= 0
END
expect 2 'document 1: the model ranks no documents' "$@" "$model" rerank a b \
    --model $models/tiny-v2.Q4_0.gguf
expect 2 'rerank. needs QUERY DOCUMENT' "$@" "$model" rerank a --model $models/README.md
# Never more memory than the plan and 2 MB; a sanitizer's own does not count.
if [ $# -eq 0 ] && ! grep -q __asan_init "$engine"; then
    for kv in f16 q4_0; do
        "$engine" plan --model $models/tiny-v2.Q4_0.gguf --ctx 512 --kv $kv \
            --json >"$work/plan" || failed=1
        "$model" eval $golden --model $models/tiny-v2.Q4_0.gguf --ctx 512 \
            --kv $kv --json >"$work/eval" 2>/dev/null || failed=1
        python3 - "$work" <<'END' || failed=1
import json, sys
plan = json.load(open(sys.argv[1] + "/plan"))["total_bytes"]
peak = json.load(open(sys.argv[1] + "/eval"))["model"]["rss_bytes_peak"]
if not 0 < peak <= plan + (2 << 20):
    sys.exit("peak of %d bytes, planned were %d" % (peak, plan))
END
    done
fi

exit $failed
