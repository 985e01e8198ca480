# External packages (docs/decisions/packages.md); each is linked by one wrapper.
find_package(PkgConfig REQUIRED)
foreach(package jansson libcrypto libssl sqlite3 libcurl libarchive libzstd
        libevent libevent_openssl libevent_pthreads yaml-0.1)
    string(MAKE_C_IDENTIFIER ${package} id)
    pkg_check_modules(${id} REQUIRED IMPORTED_TARGET ${package})
endforeach()
# The controller's other database; without it --store says not.built.
pkg_check_modules(libpq IMPORTED_TARGET libpq>=14)
find_library(MBEDCRYPTO mbedcrypto REQUIRED)
find_library(PAHO paho-mqtt3as REQUIRED)
find_library(BZIP2 bz2 REQUIRED)
find_library(DIVSUFSORT64 divsufsort64)
find_library(DIVSUFSORT divsufsort REQUIRED)
find_package(Threads REQUIRED)
