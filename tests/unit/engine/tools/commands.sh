#!/bin/sh
# flotilla-engine as a program: framing, reports, exit codes.
#
# usage: commands.sh FLOTILLA-ENGINE [EMULATOR...]   (from the root folder)
set -u
engine=$1
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
expect 2 "did you mean 'inspect'" "$@" "$engine" inspekt
expect 2 "did you mean '--model'" "$@" "$engine" tokenize --modell x
expect 2 '^error\[cli.usage\]' "$@" "$engine" tokenize
expect 0 '^usage' "$@" "$engine" tokenize --help
expect 3 '^error\[absent\]' "$@" "$engine" inspect "$work/none"
expect 7 '^error\[gguf.magic\]' "$@" "$engine" inspect tests/models/README.md
expect 0 '^tensors    47 in bounds: 11 F32 36 Q4_1' "$@" "$engine" inspect $tiny
expect 0 '"parameters":3017472,' "$@" "$engine" inspect $tiny --json
expect 0 '"issues":\[\]' "$@" "$engine" inspect $tiny --json
expect 0 '"id":"model.nonfinite"' \
    "$@" "$engine" inspect tests/models/tiny-v3-bad-nan.Q4_0.gguf --json

# Two frames in, two lines out; the golden ids of 'hello' and ' hello'.
printf '5\nhello6\n hello' | "$@" "$engine" tokenize --model $tiny --framed \
    >"$work/out"
printf '282 785\n223 282 785\n' | cmp - "$work/out" || failed=1
printf '9\nhello' | "$@" "$engine" tokenize --model $tiny --framed \
    >"$work/out" 2>"$work/err"
[ $? -eq 2 ] && grep -q 'ends inside a frame' "$work/err" || {
    echo "a cut frame is not refused"
    failed=1
}

# A folder that is absent.
expect 1 '^error\[io.open\]' "$@" "$engine" merge-lora --model $tiny \
    --lora tests/models/tiny-v1-site-lora.gguf --out "$work/no/folder"
exit $failed
