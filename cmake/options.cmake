# Warnings, hardening and sanitizers of every target.
get_filename_component(FLOTILLA_SOURCE ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
find_program(CCACHE ccache)
if(CCACHE)
    # A clone finds the objects of another: paths count from the build folder.
    set(CMAKE_C_COMPILER_LAUNCHER
        env CCACHE_BASEDIR=${FLOTILLA_SOURCE} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

add_compile_options(
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wundef -Wcast-qual -Wpointer-arith
    -Wwrite-strings -Wformat=2 -Wno-sign-conversion
    -fno-common -fstack-protector-strong
    -ffile-prefix-map=${FLOTILLA_SOURCE}/=)
add_compile_definitions(_GNU_SOURCE)
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
    add_compile_definitions(_FILE_OFFSET_BITS=64)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack)
# Guards of the compiler against jumps into the middle of code and past a stack's end.
include(CheckCCompilerFlag)
set(flags -fstack-clash-protection)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|i.86")
    list(APPEND flags -fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    list(APPEND flags -mbranch-protection=standard)
endif()
foreach(flag ${flags})
    string(MAKE_C_IDENTIFIER "FLOTILLA_HAS${flag}" has)
    check_c_compiler_flag(${flag} ${has})
    if(${has})
        add_compile_options(${flag})
    endif()
endforeach()

# Kernels, whatever the build type; with a sanitizer's checks in them -O3 takes
# a compiler minutes and gains the tests little.
set(FLOTILLA_KERNEL_FLAGS -O3)
if(FLOTILLA_SANITIZE)
    set(FLOTILLA_KERNEL_FLAGS -O1)
    set(sanitizers ${FLOTILLA_SANITIZE})
    if(FLOTILLA_FUZZ) # one build for the unit tests and the fuzz targets
        string(APPEND sanitizers ,fuzzer-no-link)
        # A check of the pointer at each vector load takes clang minutes a file;
        # ASan sees where such a load reads.
        list(APPEND FLOTILLA_KERNEL_FLAGS
            -fno-sanitize=null,alignment,object-size,pointer-overflow)
        find_program(LLD NAMES ld.lld-14 ld.lld)
        if(LLD) # hundreds of large programs are linked
            add_link_options(-fuse-ld=${LLD})
        endif()
    endif()
    if(CMAKE_C_COMPILER_ID MATCHES Clang AND FLOTILLA_SANITIZE MATCHES address)
        add_compile_definitions(__SANITIZE_ADDRESS__) # as gcc says it
        # Checks that stand in the code of a large kernel take clang half a
        # minute a file; there they are calls.
        add_compile_options(
            "SHELL:-mllvm -asan-instrumentation-with-call-threshold=200")
    endif()
    add_compile_options(-fsanitize=${sanitizers}
        -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${sanitizers})
else()
    add_compile_options($<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
endif()
