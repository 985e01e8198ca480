# Shipped targets, without the tests: `make build`.
add_custom_target(programs)

# Cores keep their assertions in shipped builds. A bound that is passed there is
# our own bug: an agent that starts again is better than one that goes on with a
# wrong state.
function(keep_assertions)
    foreach(source ${ARGN})
        file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR} ${source})
        if(path MATCHES "^(proto|(agent|updater|server-stub)/core)/")
            set_property(SOURCE ${source} APPEND PROPERTY
                COMPILE_OPTIONS -UNDEBUG)
        endif()
    endforeach()
endfunction()

# flotilla_library(NAME SOURCES-GLOB... [LINK libs...]): a static library whose
# includes are the repository root ("base/err.h") and the public headers.
function(flotilla_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${ARG_SOURCES})
    if(NOT sources)
        file(WRITE ${CMAKE_BINARY_DIR}/empty.c "typedef int flo_empty;\n")
        set(sources ${CMAKE_BINARY_DIR}/empty.c)
    endif()
    add_library(${name} STATIC ${sources})
    keep_assertions(${sources})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}
        ${CMAKE_SOURCE_DIR}/base/include ${CMAKE_SOURCE_DIR}/proto/include
        ${CMAKE_SOURCE_DIR}/engine/include ${CMAKE_SOURCE_DIR}/updater/include
        ${CMAKE_SOURCE_DIR}/agent/include)
    target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# flotilla_program(NAME SOURCES-GLOB... LINK libs...)
function(flotilla_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${ARG_SOURCES})
    if(NOT sources)
        message(STATUS "${name}: not built yet, no sources")
        return()
    endif()
    add_executable(${name} ${sources})
    target_link_libraries(${name} PRIVATE ${ARG_LINK})
    add_dependencies(programs ${name})
    install(TARGETS ${name} DESTINATION bin)
endfunction()

# The longest tests begin first, so that no CPU idles at the end.
set(FLOTILLA_LONG_TESTS test_probes_loaded test_pack_process test_share
    test_author test_bsdiff40_exchange
    test_bsdiff40_limits test_bundle test_stage test_mqtt test_grammar_answers
    test_job test_pack)
# Half a minute and more each under an emulator, and nothing in them is of a CPU.
set(FLOTILLA_SLOW_EMULATED test_job test_bundle test_adapter test_grammar_bounds
    test_bsdiff40_limits test_bsdiff40_exchange)

# flotilla_test(NAME SOURCES... LINK libs... [LABELS l...]): a cmocka program
# that runs in the source folder, so that tests/models/... paths work.
function(flotilla_test name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LABELS" ${ARGN})
    if(NOT ARG_LABELS)
        set(ARG_LABELS unit)
    endif()
    add_executable(${name} ${ARG_SOURCES}
        ${CMAKE_SOURCE_DIR}/tests/unit/no_sync.c)
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}
        ${CMAKE_SOURCE_DIR}/tests)
    target_link_libraries(${name} PRIVATE ${ARG_LINK} cmocka)
    set(seconds 300) # ends a hang; a busy machine takes its time
    if(FLOTILLA_SANITIZE)
        set(seconds 900)
    endif()
    if(CMAKE_CROSSCOMPILING)
        set(seconds 900) # an emulator is ten to thirty times slower
        if(name IN_LIST FLOTILLA_SLOW_EMULATED)
            list(APPEND ARG_LABELS slow)
        endif()
    endif()
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}"
        TIMEOUT ${seconds}
        ENVIRONMENT "FLOTILLA_BIN=${FLOTILLA_BIN}")
    if(name IN_LIST FLOTILLA_LONG_TESTS)
        set_tests_properties(${name} PROPERTIES COST 10)
    endif()
endfunction()
