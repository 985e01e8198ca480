# The engine's library, its public headers and the example that they compile.
set(FLOTILLA_LIBDIR lib CACHE STRING "the library's folder below the prefix")
install(TARGETS flotilla_engine flotilla_base
    ARCHIVE DESTINATION ${FLOTILLA_LIBDIR})
install(DIRECTORY ${FLOTILLA_SOURCE}/engine/include/flotilla
    ${FLOTILLA_SOURCE}/base/include/flotilla
    DESTINATION include FILES_MATCHING PATTERN "*.h"
    PATTERN engine_wire.h EXCLUDE)
install(FILES ${FLOTILLA_SOURCE}/base/exits.def DESTINATION include/flotilla/base)
file(RELATIVE_PATH FLOTILLA_PREFIX "/${FLOTILLA_LIBDIR}/pkgconfig" /)
string(REGEX REPLACE "/$" "" FLOTILLA_PREFIX "${FLOTILLA_PREFIX}")
configure_file(${FLOTILLA_SOURCE}/cmake/flotilla-engine.pc.in
    ${CMAKE_BINARY_DIR}/flotilla-engine.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/flotilla-engine.pc
    DESTINATION ${FLOTILLA_LIBDIR}/pkgconfig)
install(FILES ${FLOTILLA_SOURCE}/engine/example/answer.c DESTINATION share/doc/flotilla/example)
