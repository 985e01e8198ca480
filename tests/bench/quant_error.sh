#!/bin/sh
# The error of `flotilla-model quantize` next to llama.cpp's llama-quantize, type by
# type: rms of the differences over the rms of the weights, in percent, of the
# matrices that both wrote in that type.
# usage: quant_error.sh BIN_DIR QUANT_ERROR LLAMA_QUANTIZE FLOATS.gguf
set -eu
bin=$1 measure=$2 peer=$3 floats=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "type     ours %   llama.cpp %  ratio  matrices"
for type in Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL IQ4_XS Q2_K Q3_K Q4_K Q5_K Q6_K; do
    case $type in # both name the mixes
    Q3_K | Q4_K | Q5_K) named=${type}_M ;;
    *) named=$type ;;
    esac
    "$bin/flotilla-model" quantize "$floats" "$work/ours.gguf" "$named" >/dev/null
    "$peer" "$floats" "$work/peer.gguf" "$named" >"$work/log" 2>&1 ||
        { tail -3 "$work/log"; exit 1; }
    "$measure" "$type" "$floats" "$work/ours.gguf" "$work/peer.gguf" |
        awk -v type="$type" '{ e[NR] = $1; n = $2 }
            END { printf "%-8s %7.4f %12.4f %6.3f %5d\n", type, e[1], e[2], e[1] / e[2], n }'
done
