# A tree that builds, tests and installs: all of Flotilla (CMakeLists.txt), or the engine
# alone (engine/), or a publisher's programs (engine/publish/).
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_STANDARD_REQUIRED ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT DEFINED FLOTILLA_BIN)
    set(FLOTILLA_BIN ${CMAKE_BINARY_DIR}/bin)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${FLOTILLA_BIN})

option(FLOTILLA_FUZZ "build the libFuzzer targets (needs clang)" OFF)
set(FLOTILLA_SANITIZE "" CACHE STRING "sanitizers, as address,undefined")

include(${CMAKE_CURRENT_LIST_DIR}/options.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/library.cmake)
enable_testing()
include(${CMAKE_CURRENT_LIST_DIR}/tests.cmake)
set_property(DIRECTORY PROPERTY TEST_INCLUDE_FILES
    ${FLOTILLA_SOURCE}/tests/environment.cmake)
