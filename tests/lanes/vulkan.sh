#!/bin/sh
# llama.cpp's server as deploy/llamacpp builds it, behind the proxy: on the CPU,
# and on Vulkan by Mesa's driver in software (lavapipe), where no GPU is.
#
# usage: vulkan.sh
# FLOTILLA_LLAMA_SERVER: a folder with a server that is there already; else
# deploy/llamacpp/build.sh --server makes it, shaders included, which can take an
# hour of two CPUs. FLOTILLA_LLAMA_ARCHIVE: its archive, without a network.
set -eu
cd "$(dirname "$0")/../.."
here=$PWD
ls /usr/share/vulkan/icd.d/*.json >/dev/null 2>&1 || {
    echo "skipped: no Vulkan driver is installed (package mesa-vulkan-drivers)"
    exit 77
}
if [ -z "${FLOTILLA_LLAMA_SERVER-}" ]; then
    grep -qs LayerSettingEXT "${VULKAN_INCLUDE-/usr/include}/vulkan/vulkan_structs.hpp" &&
        [ -e /usr/bin/glslc ] || {
        echo "skipped: glslc or Vulkan's headers 1.3.272 are not there (Debian 13:" \
            "glslc libvulkan-dev spirv-headers; VULKAN_INCLUDE names newer headers)"
        exit 77
    }
    deploy/llamacpp/build.sh --server \
        ${FLOTILLA_LLAMA_ARCHIVE:+--archive "$FLOTILLA_LLAMA_ARCHIVE"}
    FLOTILLA_LLAMA_SERVER=$here/build/llamacpp/bin
fi
export FLOTILLA_LLAMA_SERVER
export FLOTILLA_BIN="${FLOTILLA_BIN:-$here/build/bin}"
exec python3 -m pytest -q -x -rfEs -p no:cacheprovider \
    tests/integration/test_llama_server.py
