# What is installed beside the programs and their completions, and the Debian package: `cpack -G DEB` in build/release.
include(GNUInstallDirs)

install(FILES man/lockstep.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES man/lockstep-origin.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES README.md protocol/PROTOCOL.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.json")
file(GLOB licence_files LICENSE* LICENCE* COPYING* copyright)
install(FILES ${licence_files} DESTINATION ${CMAKE_INSTALL_DOCDIR})
# Where systemd looks for what packages bring. The service names the program where it is installed.
configure_file(deploy/systemd/lockstep-origin.service.in lockstep-origin.service @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/lockstep-origin.service deploy/systemd/lockstep-origin.socket DESTINATION lib/systemd/system)
