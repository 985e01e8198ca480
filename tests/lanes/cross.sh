#!/bin/sh
# All programs cross-built for Arm, and tests of them under user-mode emulation;
# of 64-bit Arm also the choice of the kernel on older CPUs and what it computes;
# then one device's whole story (arm_story.py).
#
# usage: cross.sh arm64|armhf
# The tree draws whether a run plays it (tests/run/draw.py): the tests of what a CPU
# computes, and a fifth of the others. FLOTILLA_PART=all: every test.
set -eu
cd "$(dirname "$0")/../.."
arch=$1
case $arch in
arm64) triplet=aarch64-linux-gnu qemu=qemu-aarch64-static ;;
armhf) triplet=arm-linux-gnueabihf qemu=qemu-arm-static ;;
*) echo "usage: cross.sh arm64|armhf" && exit 2 ;;
esac
for tool in $triplet-gcc $qemu; do
    command -v "$tool" >/dev/null || {
        echo "skipped: $tool is not installed (deploy/install-deps.sh --optional)"
        exit 77
    }
done
. tests/run/seed.sh
lane_is_drawn "lane_$arch" || exit 77
echo "FLOTILLA_SEED=$seed tests/lanes/cross.sh $arch plays this alone"
mkdir -p build
deploy/sysroot.sh "$arch"
root=build/sysroot/$arch
build=build/$arch
cmake --preset "$arch" >"build/$arch.log" 2>&1 ||
    { cat "build/$arch.log"; exit 1; }

of_a_cpu='^test_(oracle|kernel|quant|pack|step|tensor|tensor_create|blocks|histogram|bytes|upgrade|statistics|study)$'
tests=$(cd "$build" && ctest -N -L 'unit|oracle' | sed -n 's/^ *Test *#.*: //p')
tests=$({
    echo "$tests" | grep -E "$of_a_cpu"
    echo "$tests" | tests/run/draw.py part "$arch"
} | sort -u)
echo "$(echo "$tests" | wc -l) tests"
ninja -C "$build" -t targets all | sed 's/:.*//' >"$build/targets.txt"
targets=$(echo "$tests" | grep -Fx -f "$build/targets.txt")
# shellcheck disable=SC2086
cmake --build "$build" -j "$(nproc)" --target programs $targets \
    >"build/$arch.log" 2>&1 || { tail -40 "build/$arch.log"; exit 1; }
tests/run/run.py "$build" -R "^($(echo "$tests" | paste -sd'|'))\$"
python3 tests/lanes/arm_story.py "$build/bin" "$(command -v $qemu)" "$root"
[ "$arch" = arm64 ] || exit 0

model=tests/oracle/tiny/llama32-S-q4_0.gguf
packed=build/arm64/llama32-S-q4_0.packed
program() {
    $qemu -L "$root" -cpu "$cpu" "build/arm64/bin/flotilla-$@"
}
cpu=max
program engine pack "$model" --o "$packed"
for pair in cortex-a53:neon cortex-a76:neon-dotprod max:neon-i8mm; do
    cpu=${pair%:*} kernel=${pair#*:}
    program engine bench --model "$model" --packed none --threads 1 --tests g1 --json |
        grep -q "\"kernel\":\"$kernel\"" ||
        { echo "$cpu does not choose $kernel"; exit 1; }
    [ "$kernel" = neon ] && continue
    program model logits --model "$model" --packed "$packed" --tokens 1,2,3,4,5 \
        --out "build/arm64/$kernel.f32"
done
cmp build/arm64/neon-dotprod.f32 build/arm64/neon-i8mm.f32
