# Cross build for 32-bit Arm with a floating-point unit (ARMv7, Debian's armhf)
# against build/sysroot/armhf (deploy/sysroot.sh); tests run under emulation.
set(FLOTILLA_TRIPLET arm-linux-gnueabihf)
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(FLOTILLA_DEBIAN_ARCH armhf)
set(FLOTILLA_EMULATOR qemu-arm-static)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
