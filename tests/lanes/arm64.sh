#!/bin/sh
# Base and engine cross-built for 64-bit Arm, their tests under qemu.
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
exec ctest -L 'unit|oracle' -j "$(nproc)" --output-on-failure
