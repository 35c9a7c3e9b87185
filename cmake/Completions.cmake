# The completions of both programs, which print them, and where the shells look for them.
include(GNUInstallDirs)

set(completions ${CMAKE_BINARY_DIR}/completions)
foreach(program lockstep lockstep-origin)
    foreach(shell bash zsh fish)
        set(file ${completions}/${program}.${shell})
        add_custom_command(OUTPUT ${file}
            COMMAND ${CMAKE_COMMAND} -E make_directory ${completions}
            COMMAND $<TARGET_FILE:${program}> completion ${shell} > ${file}
            DEPENDS ${program} VERBATIM)
        list(APPEND completion_files ${file})
    endforeach()
    install(FILES ${completions}/${program}.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ${program})
    install(FILES ${completions}/${program}.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
    # zsh as Debian builds it looks into site-functions below /usr/local alone.
    install(CODE "
        set(folder site-functions)
        if(CMAKE_INSTALL_PREFIX MATCHES \"/usr$\")
            set(folder vendor-completions)
        endif()
        file(INSTALL \"${completions}/${program}.zsh\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/zsh/\${folder}\" RENAME _${program})")
endforeach()
add_custom_target(completions ALL DEPENDS ${completion_files})
