/* Exits 0 where the SQLite it is linked with can carry Lockstep; else says why not. Run by
 * SQLite.cmake. */
#include <sqlite3.h>
#include <stdio.h>

int main(void)
{
    int version = sqlite3_libversion_number();
    sqlite3 *db = NULL;

    if (version < 3051003 || version == 3052000) {
        printf("version %s has the WAL-reset bug or was withdrawn; 3.51.3 or later, not 3.52.0, is "
               "needed\n",
               sqlite3_libversion());
        return 1;
    }
    if (!sqlite3_threadsafe()) {
        printf("it was built without thread safety\n");
        return 1;
    }
    if (sqlite3_open(":memory:", &db) != SQLITE_OK) {
        printf("it cannot open a database: %s\n", sqlite3_errmsg(db));
        return 1;
    }
    /* Grow by one page through sqlite_dbpage, then cut it off again: what a sync does. */
    if (sqlite3_exec(db,
                     "CREATE TABLE t(x);"
                     "INSERT INTO sqlite_dbpage(pgno, data) VALUES(3, zeroblob(4096));"
                     "INSERT INTO sqlite_dbpage(pgno, data) VALUES(3, NULL);",
                     NULL, NULL, NULL) != SQLITE_OK) {
        printf("sqlite_dbpage cannot be written: %s\n", sqlite3_errmsg(db));
        return 1;
    }
    /* Ask which table each page belongs to: what `lockstep diff` does. */
    if (sqlite3_exec(db,
                     "CREATE VIRTUAL TABLE temp.tree USING dbstat(main);"
                     "SELECT name, pageno FROM temp.tree;",
                     NULL, NULL, NULL) != SQLITE_OK) {
        printf("dbstat cannot be read: %s\n", sqlite3_errmsg(db));
        return 1;
    }
    sqlite3_close(db);
    return 0;
}
