# What a Debian package wants done to the files that cpack has laid out: manual pages compressed,
# and the unit without the path of cpack's own folder.
file(GLOB pages ${CPACK_TEMPORARY_DIRECTORY}/usr/share/man/man*/*.[1-8])
foreach(page ${pages})
    execute_process(COMMAND gzip -9n ${page} RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "gzip ${page}: ${failed}")
    endif()
endforeach()
set(unit ${CPACK_TEMPORARY_DIRECTORY}/usr/lib/systemd/system/lockstep-origin.service)
file(READ ${unit} text)
string(REGEX REPLACE "ExecStart=[^ ]*/usr/bin/" "ExecStart=/usr/bin/" text "${text}")
file(WRITE ${unit} "${text}")
