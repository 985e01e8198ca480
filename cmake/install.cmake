# `make install`, next to the programs (cmake/library.cmake): documents, and the
# units, which are written for /usr and get the prefix of the installation.
install(FILES deploy/systemd/flotilla-agent.service
    deploy/systemd/flotilla-controller.service
    DESTINATION lib/systemd/system)
install(CODE [[
    foreach(name flotilla-agent flotilla-controller)
        set(unit "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/lib/systemd/system/${name}.service")
        file(READ "${unit}" text)
        string(REPLACE "/usr/bin/" "${CMAKE_INSTALL_PREFIX}/bin/" text "${text}")
        file(WRITE "${unit}" "${text}")
    endforeach()
]])
install(FILES README.md LICENSE DESTINATION share/doc/flotilla)
install(DIRECTORY docs DESTINATION share/doc/flotilla)
# The engine's library, its public headers and the example that they compile.
set(FLOTILLA_LIBDIR lib CACHE STRING "the library's folder below the prefix")
install(TARGETS flotilla_engine flotilla_base
    ARCHIVE DESTINATION ${FLOTILLA_LIBDIR})
install(DIRECTORY engine/include/flotilla base/include/flotilla
    DESTINATION include FILES_MATCHING PATTERN "*.h"
    PATTERN engine_wire.h EXCLUDE)
install(FILES base/errors.def base/exits.def DESTINATION include/flotilla/base)
file(RELATIVE_PATH FLOTILLA_PREFIX "/${FLOTILLA_LIBDIR}/pkgconfig" /)
string(REGEX REPLACE "/$" "" FLOTILLA_PREFIX "${FLOTILLA_PREFIX}")
configure_file(cmake/flotilla-engine.pc.in flotilla-engine.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/flotilla-engine.pc
    DESTINATION ${FLOTILLA_LIBDIR}/pkgconfig)
install(FILES engine/example/answer.c DESTINATION share/doc/flotilla/example)
