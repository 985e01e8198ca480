# How tests run: each by the launcher (tests/run/launch.c), which keeps its
# output and measures it, and with the weight that tests/run/seconds.tsv says.

# A CPU has this many places (ctest -j): a test that computes takes all of them,
# one that waits takes one.  tests/run/run.py counts with the same number.
set(FLOTILLA_PLACES 4)
# Only a hang reaches it; tests/integration/waits.py gives up long before.
set(FLOTILLA_HANG_S 1800)

if(NOT CMAKE_CROSSCOMPILING)
    add_executable(launch ${FLOTILLA_SOURCE}/tests/run/launch.c)
    set_target_properties(launch PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endif()

# name, wall and CPU seconds of earlier runs, as `make tests-table` measured.
file(STRINGS ${FLOTILLA_SOURCE}/tests/run/seconds.tsv rows REGEX "^[a-z]")
foreach(row ${rows})
    string(REGEX MATCH "^([^\t]+)\t([0-9]+)[.]?[0-9]*\t([0-9]+)" row "${row}")
    set(FLOTILLA_WALL_${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
    set(FLOTILLA_CPU_${CMAKE_MATCH_1} ${CMAKE_MATCH_3})
endforeach()

# flotilla_add_test(NAME COMMAND program arguments...): in the source folder.  One that
# needs a room which is left out is there by name alone: disabled, and not built.
function(flotilla_add_test name word program)
    set(command ${program} ${ARGN})
    if(NOT CMAKE_CROSSCOMPILING)
        if(TARGET ${program})
            set(command $<TARGET_FILE:${program}> ${ARGN})
        endif()
        set(command $<TARGET_FILE:launch> ${CMAKE_BINARY_DIR}/tests/times.tsv
            ${CMAKE_BINARY_DIR}/tests/logs ${name} ${command})
    endif()
    add_test(NAME ${name} COMMAND ${command}
        WORKING_DIRECTORY ${FLOTILLA_SOURCE})
    set(wall "${FLOTILLA_WALL_${name}}")
    set(cpu "${FLOTILLA_CPU_${name}}")
    if(wall STREQUAL "" AND name MATCHES "^e2e_") # a new story
        set(wall 30)
        set(cpu 10)
    elseif(wall STREQUAL "")
        set(wall 1)
        set(cpu 1)
    endif()
    set(places ${FLOTILLA_PLACES})
    if(wall GREATER 2) # a share of a CPU, rounded up
        math(EXPR places "(${FLOTILLA_PLACES} * ${cpu} + ${wall} - 1) / ${wall}")
    endif()
    if(places LESS 1)
        set(places 1)
    elseif(places GREATER FLOTILLA_PLACES)
        set(places ${FLOTILLA_PLACES})
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${FLOTILLA_HANG_S}
        COST ${wall} PROCESSORS ${places} SKIP_RETURN_CODE 77)
    flotilla_rooms_test(${name} is_left_out ${needed_sources})
    set_tests_properties(${name} PROPERTIES DISABLED ${is_left_out})
    if(is_left_out AND TARGET ${name})
        set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL TRUE)
    endif()
endfunction()

# The linker that takes half the time for hundreds of small programs.
find_program(FLOTILLA_GOLD ld.gold)
if(FLOTILLA_GOLD AND NOT CMAKE_CROSSCOMPILING AND NOT FLOTILLA_SANITIZE)
    set(FLOTILLA_TEST_LINKER -fuse-ld=gold)
endif()

# Its object is the same in each test: syncs of the disk cost nothing.
add_library(flotilla_no_sync OBJECT ${FLOTILLA_SOURCE}/tests/unit/no_sync.c)

# Sources that several tests share are compiled once: their objects for one that
# is linked with these libraries.
function(flotilla_shared_parts out link)
    set(objects)
    foreach(source ${ARGN})
        get_filename_component(source ${source} ABSOLUTE)
        get_filename_component(word ${source} NAME_WE)
        string(MD5 key "${source} ${link}")
        string(SUBSTRING ${key} 0 8 key)
        set(part part_${word}_${key})
        if(NOT TARGET ${part})
            add_library(${part} OBJECT EXCLUDE_FROM_ALL ${source})
            target_include_directories(${part} PRIVATE ${FLOTILLA_SOURCE}
                ${FLOTILLA_SOURCE}/tests)
            target_link_libraries(${part} PRIVATE ${link})
        endif()
        list(APPEND objects $<TARGET_OBJECTS:${part}>)
    endforeach()
    set(${out} ${objects} PARENT_SCOPE)
endfunction()

# flotilla_test(NAME SOURCES... LINK libs... [LABELS l...]): a cmocka program
# that runs in the source folder, so that tests/models/... paths work.
function(flotilla_test name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LABELS" ${ARGN})
    if(NOT ARG_LABELS)
        set(ARG_LABELS unit)
    endif()
    set(needed_sources ${ARG_SOURCES}) # flotilla_add_test reads it
    flotilla_rooms_keep(ARG_SOURCES ${ARG_SOURCES})
    set(parts ${ARG_SOURCES})
    list(FILTER parts EXCLUDE REGEX "test_[^/]*$")
    list(REMOVE_ITEM ARG_SOURCES ${parts})
    flotilla_shared_parts(objects "${ARG_LINK}" ${parts})
    add_executable(${name} ${ARG_SOURCES} ${objects}
        $<TARGET_OBJECTS:flotilla_no_sync>)
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_include_directories(${name} PRIVATE ${FLOTILLA_SOURCE}
        ${FLOTILLA_SOURCE}/tests)
    target_link_libraries(${name} PRIVATE ${ARG_LINK} cmocka)
    target_link_options(${name} PRIVATE ${FLOTILLA_TEST_LINKER})
    flotilla_add_test(${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}"
        ENVIRONMENT "FLOTILLA_BIN=${FLOTILLA_BIN}")
endfunction()

# The clocks of what these tests are linked with are tests/unit/held_clock.h.
function(flotilla_held_clock)
    foreach(name ${ARGN})
        target_link_options(${name} PRIVATE
            -Wl,--wrap=flo_now_ms,--wrap=flo_now_us,--wrap=flo_wall_ms)
    endforeach()
endfunction()
