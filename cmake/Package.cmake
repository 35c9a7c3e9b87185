# What is installed beside the programs and their completions, and the Debian package: `cpack -G DEB` in build/release.
include(GNUInstallDirs)

install(FILES man/lockstep.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES man/lockstep-origin.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES README.md protocol/PROTOCOL.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.json")
file(GLOB licence_files LICENSE* LICENCE* COPYING* copyright)
install(FILES ${licence_files} DESTINATION ${CMAKE_INSTALL_DOCDIR})
# Where systemd and sysusers look for what packages bring; an empty list installs nothing.
file(GLOB systemd_units deploy/systemd/*.service deploy/systemd/*.socket)
install(FILES ${systemd_units} DESTINATION lib/systemd/system)
