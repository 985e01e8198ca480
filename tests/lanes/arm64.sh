#!/bin/sh
# Base and engine cross-built for 64-bit Arm, their tests under qemu: on a CPU
# that has everything (each kernel is tested), then on older ones the choice of
# the kernel and what it computes.
set -eu
cd "$(dirname "$0")/../.."
for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
    command -v "$tool" >/dev/null || {
        echo "skipped: $tool is not installed (deploy/install-deps.sh --optional)"
        exit 77
    }
done
mkdir -p build
cmake --preset arm64 >build/arm64.log 2>&1 || { cat build/arm64.log; exit 1; }
cmake --build build/arm64 -j "$(nproc)" >build/arm64.log 2>&1 ||
    { tail -40 build/arm64.log; exit 1; }
cd build/arm64
ctest -L 'unit|oracle' -j "$(nproc)" --output-on-failure
cd ../..
model=tests/oracle/tiny/llama32-S-q4_0.gguf
packed=build/arm64/llama32-S-q4_0.packed
engine() {
    qemu-aarch64-static -cpu "$cpu" build/arm64/bin/flotilla-engine "$@"
}
cpu=max
engine pack "$model" --o "$packed"
for pair in cortex-a53:neon cortex-a76:neon-dotprod max:neon-i8mm; do
    cpu=${pair%:*} kernel=${pair#*:}
    engine bench --model "$model" --packed none --threads 1 --tests g1 --json |
        grep -q "\"kernel\":\"$kernel\"" ||
        { echo "$cpu does not choose $kernel"; exit 1; }
    [ "$kernel" = neon ] && continue
    engine logits --model "$model" --packed "$packed" --tokens 1,2,3,4,5 \
        --out "build/arm64/$kernel.f32"
done
cmp build/arm64/neon-dotprod.f32 build/arm64/neon-i8mm.f32
