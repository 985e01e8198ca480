# Warnings, hardening and sanitizers of every target.
find_program(CCACHE ccache)
if(CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_options(
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wundef -Wcast-qual -Wpointer-arith
    -Wwrite-strings -Wformat=2 -Wno-sign-conversion
    -fno-common -fstack-protector-strong
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
add_compile_definitions(_GNU_SOURCE)
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
    add_compile_definitions(_FILE_OFFSET_BITS=64)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack)

# Kernels, whatever the build type; with a sanitizer's checks in them -O3 takes
# a compiler minutes and gains the tests little.
set(FLOTILLA_KERNEL_FLAGS -O3)
if(FLOTILLA_SANITIZE)
    set(FLOTILLA_KERNEL_FLAGS -O1)
    add_compile_options(-fsanitize=${FLOTILLA_SANITIZE}
        -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${FLOTILLA_SANITIZE})
else()
    add_compile_options($<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
endif()
if(FLOTILLA_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
    # clang takes minutes for UBSan's checks in kernels; the asan lane has them.
    list(APPEND FLOTILLA_KERNEL_FLAGS -fno-sanitize=undefined)
endif()
