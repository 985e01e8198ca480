# Shipped targets, without the tests: `make build`.
add_custom_target(programs)

# Cores keep their assertions in shipped builds. A bound that is passed there is
# our own bug: an agent that starts again is better than one that goes on with a
# wrong state.
function(keep_assertions)
    foreach(source ${ARGN})
        file(RELATIVE_PATH path ${FLOTILLA_SOURCE} ${source})
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
    flotilla_rooms_keep(sources ${sources})
    if(NOT sources)
        file(WRITE ${CMAKE_BINARY_DIR}/empty.c "typedef int flo_empty;\n")
        set(sources ${CMAKE_BINARY_DIR}/empty.c)
    endif()
    add_library(${name} STATIC ${sources})
    keep_assertions(${sources})
    target_include_directories(${name} PUBLIC ${FLOTILLA_SOURCE}
        ${FLOTILLA_SOURCE}/base/include ${FLOTILLA_SOURCE}/proto/include
        ${FLOTILLA_SOURCE}/engine/include ${FLOTILLA_SOURCE}/updater/include
        ${FLOTILLA_SOURCE}/agent/include)
    target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# flotilla_program(NAME SOURCES-GLOB... LINK libs...)
function(flotilla_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${ARG_SOURCES})
    flotilla_rooms_keep(sources ${sources})
    if(NOT sources)
        message(STATUS "${name}: not built yet, no sources")
        return()
    endif()
    add_executable(${name} ${sources})
    target_link_libraries(${name} PRIVATE ${ARG_LINK})
    add_dependencies(programs ${name})
    install(TARGETS ${name} DESTINATION bin)
endfunction()

# flotilla_numbers(LIBRARY NAME FOLDER HEADER): arrays of the folder's files, declared in HEADER.
function(flotilla_numbers library name folder header)
    file(GLOB files CONFIGURE_DEPENDS ${folder}/*)
    set(script ${FLOTILLA_SOURCE}/cmake/embed_numbers.cmake)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
    add_custom_command(OUTPUT ${source}
        COMMAND ${CMAKE_COMMAND} -DFOLDER=${folder} -DHEADER=${header} -DNAME=${name}
            -DOUT=${source} -P ${script}
        DEPENDS ${files} ${script} VERBATIM)
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Wno-sign-conversion)
    target_sources(${library} PRIVATE ${source})
endfunction()

# flotilla_web(LIBRARY NAME FOLDERS... [ALSO file]): the files of a page as the table
# NAME of the library (base/host/web.h).
function(flotilla_web library name)
    cmake_parse_arguments(ARG "" "ALSO" "" ${ARGN})
    set(folders ${ARG_UNPARSED_ARGUMENTS})
    set(files ${ARG_ALSO})
    foreach(folder ${folders})
        file(GLOB_RECURSE more CONFIGURE_DEPENDS ${folder}/*)
        list(APPEND files ${more})
    endforeach()
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
    add_custom_command(OUTPUT ${source}
        COMMAND ${CMAKE_COMMAND} "-DFOLDERS=${folders}" "-DALSO=${ARG_ALSO}"
            -DNAME=${name} -DOUT=${source} -P ${FLOTILLA_SOURCE}/cmake/embed.cmake
        DEPENDS ${files} ${FLOTILLA_SOURCE}/cmake/embed.cmake VERBATIM)
    target_sources(${library} PRIVATE ${source})
    target_link_libraries(${library} PUBLIC flotilla_web)
endfunction()
