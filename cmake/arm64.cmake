# Cross build for 64-bit Arm against build/sysroot/arm64 (deploy/sysroot.sh);
# tests run under user-mode emulation.
set(FLOTILLA_TRIPLET aarch64-linux-gnu)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(FLOTILLA_DEBIAN_ARCH arm64)
set(FLOTILLA_EMULATOR qemu-aarch64-static)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
