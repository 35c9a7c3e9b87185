# The SQLite that Lockstep is linked with, as the target lockstep_sqlite.
#
# Lockstep reads and writes pages through sqlite_dbpage, asks dbstat whose they are, and trusts a checkpoint that races a
# writer. Debian's library is built without the first; truncation through it needs 3.47; every version before 3.51.3 has the
# WAL-reset bug, and 3.52.0 was withdrawn. So, in this order:
#   1. the directory with an amalgamation (sqlite3.c, sqlite3.h) that LOCKSTEP_SQLITE_DIR names;
#   2. a system library that a run at configure time shows to be good;
#   3. the amalgamation inside a pinned npm package, fetched into the build tree and checked against its hash.

set(LOCKSTEP_SQLITE_DIR "" CACHE PATH "A directory with sqlite3.c and sqlite3.h to build SQLite from")
set(LOCKSTEP_SQLITE_NPM "better-sqlite3@13.2.0")
set(LOCKSTEP_SQLITE_NPM_FOLDER "package/deps/sqlite3")
set(LOCKSTEP_SQLITE_SHA256 "75a4760a7b9727a4c4c877aec92eacf39e52a8f2921ce00bd33be6d3a8e8e254")

set(sqlite_dir "${LOCKSTEP_SQLITE_DIR}")
set(sqlite_check_source ${CMAKE_CURRENT_LIST_DIR}/sqlite_check.c)

if(NOT sqlite_dir)
    pkg_check_modules(SYSTEM_SQLITE QUIET IMPORTED_TARGET sqlite3>=3.51.3)
    if(SYSTEM_SQLITE_FOUND)
        try_run(SQLITE_CHECK_RAN SQLITE_CHECK_BUILT ${CMAKE_BINARY_DIR}/sqlite_check ${sqlite_check_source}
            LINK_LIBRARIES PkgConfig::SYSTEM_SQLITE RUN_OUTPUT_VARIABLE sqlite_check_output)
        if(SQLITE_CHECK_BUILT AND SQLITE_CHECK_RAN EQUAL 0)
            message(STATUS "SQLite: the system's, ${SYSTEM_SQLITE_VERSION}")
            add_library(lockstep_sqlite INTERFACE)
            target_link_libraries(lockstep_sqlite INTERFACE PkgConfig::SYSTEM_SQLITE)
            return()
        endif()
        message(STATUS "SQLite: the system's ${SYSTEM_SQLITE_VERSION} will not do: ${sqlite_check_output}")
    endif()

    set(sqlite_dir ${CMAKE_BINARY_DIR}/sqlite/${LOCKSTEP_SQLITE_NPM_FOLDER})
    if(NOT EXISTS ${sqlite_dir}/sqlite3.c)
        find_program(NPM npm)
        if(NOT NPM)
            message(FATAL_ERROR "SQLite: neither a good system library nor npm to fetch one with. "
                "Install npm, or give -DLOCKSTEP_SQLITE_DIR=DIR with the amalgamation of SQLite 3.51.3 or later.")
        endif()
        file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/sqlite)
        message(STATUS "SQLite: fetching ${LOCKSTEP_SQLITE_NPM} with npm")
        execute_process(COMMAND ${NPM} pack ${LOCKSTEP_SQLITE_NPM} --silent
            WORKING_DIRECTORY ${CMAKE_BINARY_DIR}/sqlite
            OUTPUT_VARIABLE sqlite_tarball OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
        if(failed)
            message(FATAL_ERROR "SQLite: 'npm pack ${LOCKSTEP_SQLITE_NPM}' failed: ${failed}. "
                "Without npm, give -DLOCKSTEP_SQLITE_DIR=DIR with the amalgamation of SQLite 3.51.3 or later.")
        endif()
        file(ARCHIVE_EXTRACT INPUT ${CMAKE_BINARY_DIR}/sqlite/${sqlite_tarball}
            DESTINATION ${CMAKE_BINARY_DIR}/sqlite PATTERNS ${LOCKSTEP_SQLITE_NPM_FOLDER}/*)
        file(REMOVE ${CMAKE_BINARY_DIR}/sqlite/${sqlite_tarball})
    endif()
    file(SHA256 ${sqlite_dir}/sqlite3.c sqlite_hash)
    if(NOT sqlite_hash STREQUAL LOCKSTEP_SQLITE_SHA256)
        file(REMOVE ${sqlite_dir}/sqlite3.c)
        message(FATAL_ERROR "SQLite: sqlite3.c of ${LOCKSTEP_SQLITE_NPM} has SHA-256 ${sqlite_hash}, "
            "not ${LOCKSTEP_SQLITE_SHA256}: it is not what Lockstep was tested with, and was removed.")
    endif()
endif()

message(STATUS "SQLite: built from ${sqlite_dir}")
add_library(lockstep_sqlite STATIC ${sqlite_dir}/sqlite3.c)
target_include_directories(lockstep_sqlite SYSTEM PUBLIC ${sqlite_dir})
set(sqlite_tables SQLITE_ENABLE_DBPAGE_VTAB SQLITE_ENABLE_DBSTAT_VTAB)
# FTS5 and R-tree are there so that databases that use them can be opened whole (a change of page size runs VACUUM).
target_compile_definitions(lockstep_sqlite PRIVATE
    ${sqlite_tables} SQLITE_ENABLE_FTS3 SQLITE_ENABLE_FTS4 SQLITE_ENABLE_FTS5
    SQLITE_ENABLE_RTREE SQLITE_ENABLE_GEOPOLY SQLITE_ENABLE_MATH_FUNCTIONS
    SQLITE_THREADSAFE=2 SQLITE_DEFAULT_MEMSTATUS=0 SQLITE_DQS=0 SQLITE_OMIT_LOAD_EXTENSION SQLITE_USE_URI=0)
# UBSan is for our code: in SQLite's it finds nothing and triples the longest compile there is.
target_compile_options(lockstep_sqlite PRIVATE -w -fno-sanitize=undefined)
target_link_libraries(lockstep_sqlite PUBLIC Threads::Threads m)
if(LOCKSTEP_SQLITE_DIR)
    list(TRANSFORM sqlite_tables PREPEND -D)
    try_run(SQLITE_CHECK_RAN SQLITE_CHECK_BUILT ${CMAKE_BINARY_DIR}/sqlite_check
        SOURCES ${sqlite_check_source} ${sqlite_dir}/sqlite3.c
        COMPILE_DEFINITIONS ${sqlite_tables} -DSQLITE_OMIT_LOAD_EXTENSION
        CMAKE_FLAGS -DINCLUDE_DIRECTORIES=${sqlite_dir}
        LINK_LIBRARIES Threads::Threads m RUN_OUTPUT_VARIABLE sqlite_check_output)
    if(NOT SQLITE_CHECK_BUILT OR NOT SQLITE_CHECK_RAN EQUAL 0)
        message(FATAL_ERROR "SQLite: the amalgamation in ${LOCKSTEP_SQLITE_DIR} will not do: ${sqlite_check_output}")
    endif()
endif()
