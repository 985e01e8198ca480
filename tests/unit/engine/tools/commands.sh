#!/bin/sh
# flotilla-engine and flotilla-model as programs: framing, reports, exit codes.
#
# usage: commands.sh BIN_DIR [EMULATOR...]   (from the root folder)
set -u
engine=$1/flotilla-engine
model=$1/flotilla-model
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

run() {
    "$@" >"$work/out" 2>"$work/err"
}

# expect CODE PATTERN ARGUMENT...: exit code, and a line of either output
expect() {
    code=$1
    pattern=$2
    shift 2
    run "$@" </dev/null
    got=$?
    if [ "$got" -ne "$code" ] ||
        ! cat "$work/out" "$work/err" | grep -q -- "$pattern"; then
        echo "exit $got, $code with '$pattern' expected: $*"
        cat "$work/out" "$work/err"
        failed=1
    fi
}

tiny=tests/models/tiny-v1.Q4_1.gguf
expect 2 "did you mean \`inspect\`" "$@" "$engine" inspekt
# A command of the other program: which one has it.
expect 2 'flotilla-model quantize .*package flotilla-cli' "$@" "$engine" \
    quantize a b Q8_0
expect 2 'flotilla-engine run .*package flotilla-engine' "$@" "$model" run
expect 2 "did you mean \`--model\`" "$@" "$model" tokenize --modell x
expect 2 '^error\[cli.usage\]' "$@" "$model" tokenize
expect 0 '^usage' "$@" "$model" tokenize --help
expect 0 'avx2 .*ref$\|neon .*ref$' "$@" "$engine" run --help
# Numbers that are too large are told with their limit.
huge=99999999999999999999
expect 2 "ctx is .$huge., not a number from 0 to 4294967295" "$@" "$engine" plan \
    --model $tiny --ctx $huge
expect 2 'ctx is .4294967296., not a number from 0 to 4294967295' "$@" "$engine" plan \
    --model $tiny --ctx 4294967296
expect 2 'sessions is .4294967297., not a number' "$@" "$engine" plan \
    --model $tiny --sessions 4294967297
# A kernel that is not there is refused alike where nothing is computed.
for command in plan 'run --prompt x'; do
    # shellcheck disable=SC2086
    expect 2 '^error\[cli.usage\].*kernel abacus: not known' "$@" "$engine" \
        $command --model $tiny --kernel abacus
done
expect 2 'threads is .65., not a number from 1 to 64' "$@" "$model" quantize $tiny \
    "$work/none" Q8_0 --threads 65
expect 2 'judge needs --pin-grid' "$@" "$model" quantize $tiny \
    "$work/q" Q8_0 --judge tests/models/ops-eval.jsonl
expect 2 'old-floats needs --pin-grid' "$@" "$model" quantize $tiny \
    "$work/none" Q8_0 --old-floats $tiny
# Help stands in two columns: the option with its value, what it is.  Then the
# example.
for command in engine:run engine:bench engine:pack model:eval model:quantize \
    model:merge-lora model:embed; do
    "$@" "${engine%engine}${command%:*}" "${command#*:}" --help |
        sed '1,4d; /^Example:$/,$d' |
        grep -v '^  -.\{24\}[^ ]\|^ \{27\}[^ ]\|^$' &&
        failed=1
done
expect 3 '^error\[absent\]' "$@" "$engine" inspect "$work/none"
expect 7 '^error\[gguf.magic\]' "$@" "$engine" inspect tests/models/README.md
expect 0 '^tensors    47 in bounds: 11 F32 36 Q4_1' "$@" "$engine" inspect $tiny
expect 0 '"parameters":3017472,' "$@" "$engine" inspect $tiny --json
expect 0 '"issues":\[\]' "$@" "$engine" inspect $tiny --json
expect 0 '^ranks      documents, by a head of 2 labels' "$@" "$engine" inspect \
    tests/models/tiny-rerank.Q8_0.gguf
expect 2 'the model ranks documents and writes no text' "$@" "$engine" run \
    tests/models/tiny-rerank.Q8_0.gguf hello
expect 0 '"id":"model.nonfinite"' \
    "$@" "$engine" inspect tests/models/tiny-v3-bad-nan.Q4_0.gguf --json

# A dash is the prompt on standard input.
"$@" "$engine" run --model $tiny --prompt hello -n 4 >"$work/out" 2>/dev/null
printf hello | "$@" "$engine" run --model $tiny --prompt - -n 4 \
    >"$work/out2" 2>/dev/null
[ -s "$work/out" ] && cmp "$work/out" "$work/out2" || failed=1

# Two frames in, two lines out; the golden ids of 'hello' and ' hello'.
printf '5\nhello6\n hello' | "$@" "$model" tokenize --model $tiny --framed \
    >"$work/out"
printf '282 785\n223 282 785\n' | cmp - "$work/out" || failed=1
printf '9\nhello' | "$@" "$model" tokenize --model $tiny --framed \
    >"$work/out" 2>"$work/err"
[ $? -eq 2 ] && grep -q 'ends inside a frame' "$work/err" || {
    echo "a cut frame is not refused"
    failed=1
}

# A pair: the ids of both texts, and the segment of each id.
printf hello | "$@" "$model" tokenize --model $tiny --pair ' hello' >"$work/out"
printf '282 785 223 282 785\n0 0 0 0 0\n' | cmp - "$work/out" || failed=1

# A conversation becomes the template's text; without one it is refused.
printf '{"messages": [{"role": "user", "content": "hi"}]}' |
    "$@" "$model" render --model $tiny >"$work/out"
grep -q '<|im_start|>user' "$work/out" && grep -q '^hi<|im_end|>' "$work/out" ||
    failed=1
printf '{"messages": 3}' | "$@" "$model" render --model $tiny 2>"$work/err"
[ $? -eq 2 ] && grep -q "'messages' must be a list" "$work/err" || {
    echo "no conversation is refused"
    failed=1
}

# Packing: the same bytes on every CPU, whole or not at all; a stale file is
# told and not used, a named one fails.
expect 2 'pack. needs MODEL' "$@" "$engine" pack
expect 0 '"tensors":36,.*"written":true' \
    "$@" "$engine" pack $tiny -o "$work/packed" --threads 3 --json
digest=e6ea3ed12108e3dc2cb70deb2f1638c882d6bc9968215a36d650528bf1522222
[ "$(sha256sum <"$work/packed")" = "$digest  -" ] || {
    echo "packed bytes changed: a new FLO_PACK_LAYOUT, and this digest"
    failed=1
}
expect 7 'gguf.magic' "$@" "$engine" pack "$work/packed" -o "$work/none"
expect 2 'not.built' "$@" "$engine" pack tests/models/tiny-v1.F16.gguf -o \
    "$work/none"
[ ! -e "$work/none" ] && [ ! -e "$work/none.part" ] || failed=1
expect 0 'mapped' "$@" "$engine" plan --model $tiny --packed "$work/packed"

# A command never writes over its inputs, nor over anything that is no file.
cp $tiny "$work/own.gguf"
cp tests/models/tiny-v1-site-lora.gguf "$work/lora.gguf"
ln -s own.gguf "$work/link.gguf"
mkfifo "$work/pipe"
expect 2 'which is read' "$@" "$model" quantize "$work/own.gguf" \
    "$work/own.gguf" Q8_0
expect 2 'which is read' "$@" "$model" quantize "$work/own.gguf" \
    "$work/link.gguf" Q8_0
expect 2 'which is read' "$@" "$model" quantize $tiny "$work/own.gguf" Q4_1 \
    --pin-grid "$work/own.gguf"
expect 2 'which is read' "$@" "$engine" pack "$work/own.gguf" -o \
    "$work/own.gguf"
expect 2 'which is read' "$@" "$model" merge-lora --model "$work/own.gguf" \
    --lora "$work/lora.gguf" --out "$work/own.gguf"
expect 2 'which is read' "$@" "$model" merge-lora --model $tiny \
    --lora "$work/lora.gguf" --out "$work/lora.gguf"
expect 2 'which is read' "$@" "$model" logits --model "$work/own.gguf" \
    --tokens 1 --out "$work/own.gguf"
head -n 1 tests/models/ops-eval.jsonl >"$work/own.jsonl"
expect 2 'which is read' "$@" "$model" eval "$work/own.jsonl" \
    --model "$work/own.gguf" --report "$work/own.jsonl"
expect 2 'which is read' "$@" "$model" eval "$work/own.jsonl" \
    --model "$work/own.gguf" --report "$work/own.gguf"
# Nor is an input that has the name of the unfinished output.
cp $tiny "$work/o.part"
expect 2 'which is read' "$@" "$model" quantize "$work/o.part" "$work/o" Q8_0
expect 2 'which is read' "$@" "$engine" pack "$work/o.part" -o "$work/o"
cmp $tiny "$work/o.part" || failed=1
# An adapter is read, with a scale or without.
cp tests/models/tiny-v1.F16.gguf "$work/f16.gguf"
for lora in "$work/lora.gguf" "$work/lora.gguf:0.5"; do
    expect 2 'which is read' "$@" "$model" logits --model "$work/f16.gguf" \
        --lora "$lora" --tokens 1 --out "$work/lora.gguf"
    expect 2 'which is read' "$@" "$model" eval "$work/own.jsonl" \
        --model "$work/f16.gguf" --lora "$lora" --report "$work/lora.gguf"
done
# Packed weights are read, named or next to the model.
"$@" "$engine" pack "$work/own.gguf" >/dev/null
cp "$work/own.gguf.packed" "$work/w.part"
expect 2 'which is read' "$@" "$model" logits --model "$work/own.gguf" \
    --packed "$work/w.part" --tokens 1 --out "$work/w"
expect 2 'which is read' "$@" "$model" eval "$work/own.jsonl" \
    --model "$work/own.gguf" --packed "$work/w.part" --report "$work/w"
expect 2 'which is read' "$@" "$model" logits --model "$work/own.gguf" \
    --tokens 1 --out "$work/own.gguf.packed"
expect 2 'which is read' "$@" "$engine" run --model "$work/own.gguf" --raw \
    --prompt 'a long text, so that its beginning is worth keeping' --n 1 \
    --packed "$work/w.part" --prefix-file "$work/w"
cmp "$work/own.gguf.packed" "$work/w.part" || failed=1
expect 1 'not a regular file' "$@" "$model" quantize $tiny "$work/pipe" Q8_0
cmp $tiny "$work/own.gguf" &&
    cmp tests/models/tiny-v1-site-lora.gguf "$work/lora.gguf" &&
    [ -L "$work/link.gguf" ] && [ -p "$work/pipe" ] || failed=1

# When two write the same output, one is refused.
expect 1 'another process is writing it' flock "$work/held.gguf.part" \
    "$@" "$model" quantize $tiny "$work/held.gguf" Q8_0
[ ! -e "$work/held.gguf" ] || failed=1
expect 0 'Q8_0' "$@" "$model" quantize $tiny "$work/held.gguf" Q8_0

# Answers of a form.
printf '{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}' >"$work/schema"
printf 'root ::= "a" root' >"$work/endless"
printf 'root ::= root' >"$work/bad"
expect 0 '^{"ok": [a-z]*e}$' "$@" "$engine" run --model $tiny --ctx 64 \
    --raw --prompt hello --json-schema "$work/schema" --temp 2
expect 0 '^{"ok": [a-z]*e}$' "$@" "$model" generate --model $tiny --ctx 64 \
    --tokens 1,2 --json-schema "$work/schema" --n 32
expect 0 '^aaaaa*$' "$@" "$engine" run --model $tiny --ctx 64 \
    --raw --prompt hello --grammar "$work/endless" --n 8
expect 2 "rule 'root' is left recursive" "$@" "$engine" run --model $tiny \
    --raw --prompt hello --grammar "$work/bad"
expect 2 'exclude each other' "$@" "$engine" run --model $tiny --raw \
    --prompt hello --grammar "$work/bad" --json-schema "$work/schema"

# Who computes.
for command in "engine run --prompt a" "engine bench" \
    "model generate --tokens 1" "model logits --tokens 1 --out $work/none" \
    "model perplexity --tokens $work/none" \
    "model eval tests/models/golden-tiny-v2.json"; do
    # shellcheck disable=SC2086
    expect 2 "no backend 'onnx', there are: native" "$@" \
        "${engine%engine}"$command --model $tiny --backend onnx
done
expect 0 '^[0-9]* [0-9]*$' "$@" "$model" generate --model $tiny --ctx 64 \
    --tokens 1,2 --ids --n 2 --backend native

# A bench that is asked test by test, and golden cases among the tests.
asked() {
    code=$1
    pattern=$2
    lines=$3
    shift 3
    # shellcheck disable=SC2059
    printf "$lines" >"$work/asked"
    "$@" <"$work/asked" >"$work/out" 2>"$work/err"
    got=$?
    if [ "$got" -ne "$code" ] || ! cat "$work/out" "$work/err" | grep -q -- "$pattern"; then
        echo "exit $got, $code with '$pattern' expected of '$lines': $*"
        cat "$work/out" "$work/err"
        failed=1
    fi
}
v2=tests/models/tiny-v2.Q4_0.gguf
golden=tests/models/golden-tiny-v2.json
asked 0 '"cases":26' '' "$@" "$engine" bench --model $v2 --tests - --golden $golden --json
asked 0 '^{"c1":1}$' 'p8\nc0\nc1\n' "$@" "$engine" bench --model $v2 --tests - \
    --golden $golden
asked 0 '^{"c3":0}$' 'c3\n' "$@" "$engine" bench --tests - --golden $golden \
    --model tests/models/tiny-v3-bad-swap.Q4_0.gguf
asked 2 'c26: no such golden case, there are 26' 'c26\n' "$@" "$engine" bench --model $v2 \
    --tests - --golden $golden
asked 2 'c-1: no such golden case, there are 0' 'c-1\n' "$@" "$engine" bench --model $v2 --tests -
expect 2 'sandbox is required or preferred, with --to' "$@" "$engine" bench \
    --model $v2 --tests - --sandbox required
expect 2 'no open descriptor' "$@" "$engine" bench --model $v2 --tests - --to 77

# Quantizing: the report, the same bytes on every CPU, the pinned grid.
f16=tests/models/tiny-v1.F16.gguf
expect 2 "type 'Q9' is not known" "$@" "$model" quantize $f16 "$work/q" Q9
expect 2 "^error.not.built.*'IQ2_XS' is read, but not written" "$@" "$model" \
    quantize $f16 "$work/q" IQ2_XS
expect 2 'quantize. needs IN OUT' "$@" "$model" quantize $f16
expect 0 '"rms_relative":0.0' \
    "$@" "$model" quantize $f16 "$work/old" Q4_1 --json
expect 0 '^Q4_K_M: ' "$@" "$model" quantize $f16 "$work/q" Q4_K_M
expect 0 '^tensors    47 in bounds:' "$@" "$engine" inspect "$work/q"
q8=tests/models/tiny-v1.Q8_0.gguf # the floats with a small change
expect 0 '^kept 0.9[3-9]. of the update (estimated), 87936 of 87936 blocks' \
    "$@" "$model" quantize $q8 "$work/new" Q4_1 --pin-grid "$work/old"
expect 2 'no tensor whose grid could be kept' "$@" "$model" \
    quantize $f16 "$work/new" Q8_0 --pin-grid "$work/old"
"$@" "$model" quantize $f16 "$work/old" Q5_0 >/dev/null # a fitted grid
expect 10 '^error\[model.update_lost\]' "$@" "$model" quantize $q8 \
    "$work/lost" Q5_0 --pin-grid "$work/old" --old-floats $f16
[ ! -e "$work/lost" ] && [ ! -e "$work/lost.part" ] || failed=1
while read -r digest type; do
    "$@" "$model" quantize $f16 "$work/q" "$type" >/dev/null
    got=$(sha256sum <"$work/q" | cut -d' ' -f1)
    [ "$got" = "$digest" ] || {
        echo "quantize $type: $got, $digest expected"
        failed=1
    }
done <tests/golden/quant/tiny-v1.sha256

# A folder that is absent.
expect 1 '^error\[io.open\]' "$@" "$model" merge-lora --model $tiny \
    --lora tests/models/tiny-v1-site-lora.gguf --out "$work/no/folder"

# Adapters at run time.
site=tests/models/tiny-v1-site-lora.gguf
ask="Classify: 23:45 oven-95 voltage drop temp=35C"
for lora in "$site" "$site:1" "$site:0" none; do
    [ $lora = none ] && lora= || lora="--lora $lora"
    # shellcheck disable=SC2086
    "$@" "$engine" run --model $f16 $lora --prompt "$ask" --n 24
done >"$work/answers"
printf 'severity: %s\n' P1 P1 critical critical | cmp - "$work/answers" ||
    failed=1
expect 7 '^error\[model.adapter\]' "$@" "$model" generate --model $f16 \
    --lora $tiny --tokens 1 --ids
expect 3 '^error\[absent\]' "$@" "$model" generate --model $f16 \
    --lora "$work/none" --tokens 1 --ids
expect 0 '^requests  *[1-9]' "$@" "$engine" plan --model $f16 --sessions 5
expect 0 '"request_bytes":0,' "$@" "$engine" plan --model $f16 --json
expect 0 '"adapter_bytes":[1-9]' "$@" "$engine" plan --model $f16 \
    --lora $site --json

# A prompt's beginning, kept between runs.
# One of a recurrent model, whose state is another by the end of the answer.
hybrid=tests/oracle/tiny/qwen3_5-q8_0.gguf
for i in 1 2; do
    "$engine" run --model $hybrid --raw --prompt "How does a valve close a pipe of steel?" \
        --n 40 --stats --prefix-file "$work/hybrid" >"$work/hybrid.$i" 2>"$work/err" || failed=1
done
grep -q '^prefix [1-9][0-9]* tokens of the file' "$work/err" && cmp "$work/hybrid.1" "$work/hybrid.2" ||
    failed=1
rm -f "$work"/hybrid*
q4=tests/models/tiny-v2.Q4_0.gguf
kept() { # PATTERN: of the statistics; the answer is always the same
    "$engine" run --model $q4 --prompt "$ask" --n 24 --stats \
        --prefix-file "$work/prefix" >"$work/out" 2>"$work/err" &&
        grep -q -- "$1" "$work/err" && grep -q '^severity: critical$' \
        "$work/out" || {
        echo "prefix: '$1' expected"
        cat "$work/out" "$work/err"
        failed=1
    }
}
kept '^prefix 0 tokens .*No such file'
kept '^prefix 16 tokens of the file in [0-9.]* ms$'
printf x | dd of="$work/prefix" bs=1 seek=999 conv=notrunc 2>/dev/null
kept '^prefix 0 tokens .*: the kept prefix is damaged$'
kept '^prefix 16 tokens '
truncate -s 500 "$work/prefix"
kept '^prefix 0 tokens .*damaged'
if ! grep -q 'kernel ref$' "$work/err"; then
    FLOTILLA_KERNEL=ref kept '^prefix 0 tokens .*another kernel'
    FLOTILLA_KERNEL=ref kept '^prefix 16 tokens '
    kept '^prefix 0 tokens .*another kernel'
fi
: >"$work/prefix"
kept '^prefix 0 tokens '
kept '^prefix 16 tokens '
cp tests/models/README.md "$work/other"
expect 2 'holds no kept prefix' "$@" "$engine" run --model $q4 --prompt "$ask" \
    --prefix-file "$work/other"
cmp tests/models/README.md "$work/other" || failed=1
expect 2 'exclude each other' "$@" "$engine" run --model $f16 --lora $site \
    --prompt "$ask" --prefix-file "$work/prefix"
exit $failed
