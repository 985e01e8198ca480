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
# Manual pages from docs/reference; completion of each program by its own file,
# because shells look for it by the program's name.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
    install(CODE "execute_process(COMMAND \"${Python3_EXECUTABLE}\"
        \"${FLOTILLA_SOURCE}/tools/man.py\" \"${CMAKE_BINARY_DIR}/man\"
        COMMAND_ERROR_IS_FATAL ANY)")
    foreach(section 1 5 7 8)
        install(DIRECTORY ${CMAKE_BINARY_DIR}/man/
            DESTINATION share/man/man${section}
            FILES_MATCHING PATTERN "*.${section}")
    endforeach()
endif()
foreach(PROGRAMS flotilla flotilla-agent flotilla-controller flotilla-engine
        flotilla-model flotilla-relay flotilla-updater)
    foreach(shell bash zsh fish)
        configure_file(server-stub/cli/shells/flotilla.${shell}
            completion/${PROGRAMS}.${shell} @ONLY)
    endforeach()
    install(FILES ${CMAKE_BINARY_DIR}/completion/${PROGRAMS}.bash
        DESTINATION share/bash-completion/completions RENAME ${PROGRAMS})
    install(FILES ${CMAKE_BINARY_DIR}/completion/${PROGRAMS}.zsh
        DESTINATION share/zsh/vendor-completions RENAME _${PROGRAMS})
    install(FILES ${CMAKE_BINARY_DIR}/completion/${PROGRAMS}.fish
        DESTINATION share/fish/vendor_completions.d)
endforeach()
include(${CMAKE_CURRENT_LIST_DIR}/install_engine.cmake)
