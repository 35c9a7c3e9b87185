# What is installed beside the programs and their completions, and the Debian package: `cpack -G DEB` in build/release.
include(GNUInstallDirs)

install(FILES man/lockstep.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES man/lockstep-origin.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES README.md protocol/PROTOCOL.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.json")
file(GLOB licence_files LICENSE* LICENCE* COPYING* copyright)
install(FILES ${licence_files} DESTINATION ${CMAKE_INSTALL_DOCDIR})
# Where systemd looks for what packages bring. The service names the program where it is installed, which is known then.
install(FILES deploy/systemd/lockstep-origin.socket DESTINATION lib/systemd/system)
install(CODE "
    set(CMAKE_INSTALL_FULL_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
    configure_file(\"${CMAKE_CURRENT_SOURCE_DIR}/deploy/systemd/lockstep-origin.service.in\" \"${CMAKE_BINARY_DIR}/lockstep-origin.service\" @ONLY)
    file(INSTALL \"${CMAKE_BINARY_DIR}/lockstep-origin.service\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\")")

set(CPACK_PACKAGE_NAME lockstep)
set(CPACK_PACKAGE_CONTACT "Lockstep maintainers <maintainers@lockstep.invalid>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/DebianFiles.cmake)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# dpkg-shlibdeps does not see what is loaded late (protocol/base/late_library.h).
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libcurl4t64 (>= 7.88) | libcurl4 (>= 7.88), libmicrohttpd12t64 (>= 0.9.75) | libmicrohttpd12 (>= 0.9.75)")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/debian/postinst ${CMAKE_CURRENT_LIST_DIR}/debian/prerm
    ${CMAKE_CURRENT_LIST_DIR}/debian/postrm)
# Certificates of stores and origins are held against the system's CAs.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "sqlite3, openssh-client")
# Below the summary, which is the project's. (No link is named sqlite3_rsync: SQLite's own program has that name.)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "A canonical database lives on one machine. Jobs on other machines each take a
copy, work on it, and bring it back: what crosses the link is what changed,
SQLite itself reads and writes the pages while other programs use the
database, and contents are compared before each commit.

A lease in an S3 bucket or a file says who may push, with fencing tokens that
the origin checks. This package has both sides, lockstep and lockstep-origin.")
include(CPack)
