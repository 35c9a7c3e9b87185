#include "protocol/page/connection.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/page/large_io.h"

/*
 * SQLite's page cache in KiB. What a transaction changes beyond it goes to the disk before the
 * commit, with an fsync of the journal for each time the cache fills; to write all of a 456 MB
 * database takes 23 MB of memory and no more. In WAL mode nothing is synced before the commit, and a
 * cache costs more for its memory, each page of which is new to the process, than it saves: to write
 * 25,740 pages took 0.135 s with 16 MiB and 0.083 s with one. One that only reads is best served by a cache that
 * fits in the processor's: a pass over the 456 MB took 0.13 to 0.14 s of processor time with 256
 * KiB, 0.14 to 0.18 s with 16 MiB, and 0.16 to 0.22 s where each page was asked for by its number.
 */
#define CACHE_KIB_WRITE 16384
#define CACHE_KIB_WAL   1024
#define CACHE_KIB_READ  256

struct connection {
    sqlite3 *handle;
    const char *path;     /* for the texts of errors */
    char *file;           /* what was opened */
    uint32_t timeout_ms;  /* for each wait for a lock */
    uint64_t wait_began;  /* clock_monotonic_ms of the wait under way */
    int gave_up;          /* a wait of this transaction reached the time-out */
    int overwrites;       /* this transaction's pages are written without being read */
    int is_set_up;        /* pragmas were run, the temp table made */
    sqlite3_stmt *select; /* one page, by number; NULL outside of a transaction */
    sqlite3_stmt *insert; /* one page; NULL unless in a write transaction */
};

/* ---- errors ---- */

/* Why SQLite could not open the file, its journal or its WAL. */
static int explain_cannot_open(struct connection *c, const char *doing, struct error *error)
{
    int errno_value = c->handle != NULL ? sqlite3_system_errno(c->handle) : 0;
    struct stat status;

    if (stat(c->path, &status) != 0)
        return error_set_errno(error, errno == ENOENT ? ERR_NO_DATABASE : ERR_NOT_ALLOWED, errno,
                               "%s %s", doing, c->path);
    if (access(c->path, R_OK) != 0)
        return error_set(error, ERR_NOT_ALLOWED, "%s %s: no permission to read it", doing, c->path);
    if (strlen(c->file) > 500)
        return error_set(error, ERR_NOT_ALLOWED,
                         "%s %s: the path is longer than SQLite takes (512 bytes)", doing, c->path);
    if (errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EMFILE ||
        errno_value == ENFILE)
        return error_set_errno(error, ERR_IO, errno_value, "%s %s", doing, c->path);
    return error_set(error, ERR_NOT_ALLOWED,
                     "%s %s: its -journal, -wal or -shm file cannot be opened or made%s%s; a "
                     "database in WAL mode, and one that is written, needs a writable directory",
                     doing, c->path, errno_value != 0 ? ": " : "",
                     errno_value != 0 ? strerror(errno_value) : "");
}

static int explain_read_only(struct connection *c, int rc, const char *doing, struct error *error)
{
    switch (rc) {
    case SQLITE_READONLY_ROLLBACK:
    case SQLITE_READONLY_RECOVERY:
        return error_set(error, ERR_NOT_ALLOWED,
                         "%s %s: a writer died in the middle of a change, and without permission "
                         "to write it cannot be undone; open it once with a user who may",
                         doing, c->path);
    case SQLITE_READONLY_CANTLOCK:
    case SQLITE_READONLY_CANTINIT:
        return error_set(error, ERR_NOT_ALLOWED,
                         "%s %s: it is in WAL mode, and its -shm file cannot be made or written; "
                         "make its directory writable",
                         doing, c->path);
    case SQLITE_READONLY_DBMOVED:
        return error_set(error, ERR_IO, "%s %s: the file was moved or deleted while it was open",
                         doing, c->path);
    default:
        return error_set(error, ERR_NOT_ALLOWED,
                         "%s %s: no permission to write the file or its directory", doing, c->path);
    }
}

/* The code and the text for what SQLite returned, "DOING PATH: why". */
static int fail(struct connection *c, int rc, const char *doing, struct error *error)
{
    int errno_value = c->handle != NULL ? sqlite3_system_errno(c->handle) : 0;
    const char *text = c->handle != NULL ? sqlite3_errmsg(c->handle) : sqlite3_errstr(rc);

    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return error_set(error, ERR_BUSY,
                         "%s %s: another program has locked it, and did so for %u ms; try again "
                         "when it is done, or wait longer (--timeout)",
                         doing, c->path, c->timeout_ms);
    case SQLITE_FULL:
        return error_set(error, ERR_DISK_FULL, "%s %s: no space left on its file system; make room there, then run the same command again",
                         doing, c->path);
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return error_set(error, ERR_INTERNAL, "%s %s: out of memory", doing, c->path);
        if (errno_value == EACCES || errno_value == EPERM || errno_value == EROFS)
            return explain_read_only(c, SQLITE_READONLY, doing, error);
        if (errno_value != 0)
            return error_set_errno(error, ERR_IO, errno_value, "%s %s: %s", doing, c->path, text);
        return error_set(error, ERR_IO, "%s %s: %s (%s)", doing, c->path, text, sqlite3_errstr(rc));
    case SQLITE_READONLY:
        return explain_read_only(c, rc, doing, error);
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return error_set(error, ERR_NOT_ALLOWED, "%s %s: %s", doing, c->path, text);
    case SQLITE_NOTADB:
        return error_set(error, ERR_NOT_A_DATABASE,
                         "%s %s: not an SQLite database, or an encrypted one; is it the right path?", doing,
                         c->path);
    case SQLITE_CORRUPT:
        return error_set(error, ERR_NOT_A_DATABASE,
                         "%s %s: the database is damaged or truncated (%s): take a copy that is whole, or save what "
                         "can be read with sqlite3's .recover",
                         doing, c->path, text);
    case SQLITE_CANTOPEN:
        return explain_cannot_open(c, doing, error);
    case SQLITE_ERROR: /* our SQL has no mistakes: it is the schema that cannot be used */
        return error_set(error, ERR_NOT_A_DATABASE, "%s %s: SQLite cannot use it: %s", doing,
                         c->path, text);
    default:
        return error_set(error, ERR_INTERNAL, "%s %s: %s (SQLite's code %d)", doing, c->path, text,
                         rc);
    }
}

/* ---- opening and closing ---- */

/* SQLite's busy handler: whether to try again, after a short sleep. */
static int wait_for_lock(void *arg, int count)
{
    static const uint8_t delays[] = {1, 2, 5, 10, 15, 20, 25};
    struct connection *c = arg;
    uint64_t now = clock_monotonic_ms();
    uint64_t waited, delay;

    if (count == 0)
        c->wait_began = now;
    waited = now - c->wait_began;
    if (c->gave_up || waited >= c->timeout_ms) {
        c->gave_up = 1;
        return 0;
    }
    delay = delays[count < (int)sizeof(delays) ? count : (int)sizeof(delays) - 1];
    if (delay > c->timeout_ms - waited)
        delay = c->timeout_ms - waited;
    nanosleep(&(struct timespec){.tv_nsec = (long)delay * 1000000}, NULL);
    return 1;
}

static void finalize(struct connection *c)
{
    sqlite3_finalize(c->select);
    sqlite3_finalize(c->insert);
    c->select = c->insert = NULL;
}

int connection_open(struct connection **out, const char *path, const char *file, unsigned flags,
                    uint32_t timeout_ms, struct error *error)
{
    int sqlite_flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    struct connection *c = calloc(1, sizeof(*c));
    int rc;

    *out = NULL;
    /* A name like ":memory:" or "file:x" means something else to SQLite unless it begins so. */
    if (c == NULL || asprintf(&c->file, "%s%s", file[0] == '/' ? "" : "./", file) < 0) {
        free(c);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    c->path = path;
    c->timeout_ms = timeout_ms;
    if ((flags & CONNECTION_WRITE) && (flags & CONNECTION_CREATE))
        sqlite_flags |= SQLITE_OPEN_CREATE;
    rc = sqlite3_open_v2(c->file, &c->handle, sqlite_flags, large_io_vfs());
    if (rc != SQLITE_OK) {
        rc = fail(c, rc, "opening", error);
        goto out;
    }
    sqlite3_busy_handler(c->handle, wait_for_lock, c);
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if ((flags & CONNECTION_WRITE) && sqlite3_db_readonly(c->handle, "main") == 1)
        rc = error_set(error, ERR_NOT_ALLOWED, "opening %s: no permission to write it", path);
out:
    if (rc != 0)
        connection_close(c);
    else
        *out = c;
    return rc;
}

void connection_close(struct connection *c)
{
    int rc;

    if (c == NULL)
        return;
    finalize(c);
    rc = sqlite3_close(c->handle);
    assert(rc == SQLITE_OK);
    (void)rc;
    free(c->file);
    free(c);
}

void connection_set_timeout(struct connection *c, uint32_t timeout_ms)
{
    c->timeout_ms = timeout_ms;
}

int connection_has_moved(struct connection *c)
{
    int moved = 0;

    return sqlite3_file_control(c->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

/* ---- statements ---- */

/* An SQLite code. */
static int run(struct connection *c, const char *sql, uint32_t *value)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(c->handle, sql, -1, &statement, NULL);

    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW && value != NULL)
        *value = (uint32_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int connection_run(struct connection *c, const char *sql, uint32_t *value, const char *doing,
                   struct error *error)
{
    int rc = run(c, sql, value);

    return rc == SQLITE_OK ? 0 : fail(c, rc, doing, error);
}

static void overlook_schema(struct connection *c, int on)
{
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_WRITABLE_SCHEMA, on, NULL);
}

/* An SQLite code. */
static int set_cache_size(struct connection *c, int kib)
{
    char sql[48];

    snprintf(sql, sizeof(sql), "PRAGMA main.cache_size = -%d", kib);
    return run(c, sql, NULL);
}

int connection_set_up(struct connection *c, struct error *error)
{
    int rc;

    if (c->is_set_up)
        return 0;
    c->gave_up = 0;
    overlook_schema(c, 1);
    /* EXTRA also makes the removal of the journal durable, which is what commits. */
    rc = run(c, "PRAGMA main.synchronous = EXTRA", NULL);
    if (rc == SQLITE_OK)
        rc = run(c, "PRAGMA main.mmap_size = 0", NULL);
    if (rc == SQLITE_OK)
        rc = run(c, "CREATE VIRTUAL TABLE temp.lockstep_page USING sqlite_dbpage", NULL);
    if (rc == SQLITE_OK)
        rc = run(c, "CREATE VIRTUAL TABLE temp.lockstep_end USING sqlite_dbpage", NULL);
    overlook_schema(c, 0);
    if (rc != SQLITE_OK)
        return fail(c, rc, "reading", error);
    c->is_set_up = 1;
    return 0;
}

/* ---- transactions ---- */

static int begin(struct connection *c, int writes, uint32_t *data_version, struct error *error)
{
    int rc;

    assert(c->is_set_up);
    c->gave_up = 0;
    rc = run(c, writes ? "BEGIN IMMEDIATE" : "BEGIN", NULL);
    /* Needs no schema, and is what takes the lock of a read transaction. */
    if (rc == SQLITE_OK)
        rc = run(c, "PRAGMA main.data_version", data_version);
    if (rc != SQLITE_OK)
        goto out;
    overlook_schema(c, 1);
    rc = set_cache_size(c, writes ? CACHE_KIB_WRITE : CACHE_KIB_READ);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(c->handle, "SELECT data FROM temp.lockstep_page WHERE pgno = ?1",
                                -1, &c->select, NULL);
    if (rc == SQLITE_OK && writes)
        rc = sqlite3_prepare_v2(c->handle,
                                "INSERT INTO temp.lockstep_page(pgno, data) VALUES(?1, ?2)", -1,
                                &c->insert, NULL);
    large_io_read_near(c->handle);
    if (writes)
        large_io_write_behind(c->handle);
out:
    if (rc == SQLITE_OK)
        return 0;
    rc = fail(c, rc, writes ? "locking" : "reading", error);
    connection_roll_back(c);
    return rc;
}

int connection_begin_read(struct connection *c, uint32_t *data_version, struct error *error)
{
    return begin(c, 0, data_version, error);
}

int connection_begin_write(struct connection *c, uint32_t *data_version, struct error *error)
{
    return begin(c, 1, data_version, error);
}

int connection_commit(struct connection *c, struct error *error)
{
    int rc;

    c->gave_up = 0; /* readers that hold the commit up are waited for anew */
    rc = run(c, "COMMIT", NULL);
    if (rc != SQLITE_OK)
        rc = fail(c, rc, "committing to", error);
    connection_roll_back(c);
    return rc;
}

void connection_roll_back(struct connection *c)
{
    c->overwrites = 0;
    finalize(c);
    if (!sqlite3_get_autocommit(c->handle))
        run(c, "ROLLBACK", NULL);
    large_io_end(c->handle);
    overlook_schema(c, 0);
}

void connection_checkpoint(struct connection *c)
{
    large_io_checkpoint(c->handle);
    sqlite3_wal_checkpoint_v2(c->handle, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    large_io_end(c->handle);
}

/* ---- pages ---- */

int connection_page(struct connection *c, uint32_t pgno, const uint8_t **page, uint32_t *page_size,
                    struct error *error)
{
    int rc;

    sqlite3_reset(c->select);
    sqlite3_bind_int64(c->select, 1, pgno);
    rc = sqlite3_step(c->select);
    if (rc != SQLITE_ROW)
        return fail(c, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "reading", error);
    *page = sqlite3_column_blob(c->select, 0);
    *page_size = (uint32_t)sqlite3_column_bytes(c->select, 0);
    return *page != NULL ? 0 : fail(c, SQLITE_NOMEM, "reading", error);
}

int connection_visit_pages(struct connection *c, uint32_t page_count, uint32_t page_size,
                           connection_visit *visit, void *arg, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    uint32_t pgno = 0;
    int rc, visited = 0;

    large_io_read_ahead(c->handle);
    rc = sqlite3_prepare_v2(c->handle, "SELECT data FROM temp.lockstep_page", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    while (rc == SQLITE_ROW && visited == 0) {
        const uint8_t *page = sqlite3_column_blob(statement, 0);

        if (page == NULL || (uint32_t)sqlite3_column_bytes(statement, 0) != page_size) {
            rc = page == NULL ? SQLITE_NOMEM : SQLITE_CORRUPT;
            break;
        }
        visited = visit(arg, ++pgno, page, error);
        rc = sqlite3_step(statement);
    }
    if (visited == 0 && rc == SQLITE_DONE && pgno != page_count)
        rc = SQLITE_CORRUPT;
    if (visited == 0 && rc != SQLITE_DONE)
        visited = fail(c, rc, "reading", error);
    sqlite3_finalize(statement);
    large_io_read_near(c->handle);
    return visited;
}

int connection_visit_trees(struct connection *c, connection_tree *visit, void *arg, struct error *error)
{
    static const char question[] =
        "SELECT t.name, coalesce(s.type = 'index', 0), coalesce(s.tbl_name, t.name), t.pageno"
        " FROM temp.lockstep_tree t LEFT JOIN main.sqlite_schema s ON s.name = t.name AND s.rootpage <> 0";
    sqlite3_stmt *statement = NULL;
    int visited = 0;
    /* A table of our own, for the schema may hold another one with the name dbstat. */
    int rc = run(c, "CREATE VIRTUAL TABLE IF NOT EXISTS temp.lockstep_tree USING dbstat(main)", NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(c->handle, question, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    while (rc == SQLITE_ROW && visited == 0) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        const char *table = (const char *)sqlite3_column_text(statement, 2);

        visited = visit(arg, name != NULL ? name : "", sqlite3_column_int(statement, 1), table != NULL ? table : "",
                        (uint32_t)sqlite3_column_int64(statement, 3), error);
        rc = sqlite3_step(statement);
    }
    if (visited == 0 && rc != SQLITE_DONE)
        visited = fail(c, rc, "looking which table each page belongs to in", error);
    sqlite3_finalize(statement);
    return visited;
}

int connection_write_to_wal(struct connection *c, struct error *error)
{
    int rc = set_cache_size(c, CACHE_KIB_WAL);

    c->overwrites = 1;
    return rc == SQLITE_OK ? 0 : fail(c, rc, "writing", error);
}

int connection_write_page(struct connection *c, uint32_t pgno, const uint8_t *page,
                          uint32_t page_size, struct error *error)
{
    const struct large_io_page overwritten = {(int64_t)(pgno - 1) * page_size, (int)page_size};
    const struct large_io_page none = {0};
    int rc;

    if (c->overwrites)
        large_io_overwrite(c->handle, &overwritten);
    sqlite3_bind_int64(c->insert, 1, pgno);
    sqlite3_bind_blob(c->insert, 2, page, (int)page_size, SQLITE_STATIC);
    rc = sqlite3_step(c->insert);
    /* A cache that could not be spilled for a reader's lock is no error to SQLite: it would grow
     * on. */
    if (rc != SQLITE_DONE || c->gave_up)
        rc = fail(c, rc != SQLITE_DONE ? rc : SQLITE_BUSY, "writing", error);
    else
        rc = 0;
    sqlite3_reset(c->insert);
    sqlite3_clear_bindings(c->insert);
    if (c->overwrites)
        large_io_overwrite(c->handle, &none);
    return rc;
}

int connection_write_last(struct connection *c, const uint8_t *page1, uint32_t page_size,
                          uint32_t page_count, struct error *error)
{
    char sql[96];
    int rc;

    if (page_count != 0) {
        snprintf(sql, sizeof(sql), "INSERT INTO temp.lockstep_end(pgno, data) VALUES(%llu, NULL)",
                 (unsigned long long)page_count + 1);
        rc = run(c, sql, NULL);
        if (rc != SQLITE_OK)
            return fail(c, rc, "writing", error);
    }
    return page1 != NULL ? connection_write_page(c, 1, page1, page_size, error) : 0;
}

/* ---- another page size, another journal mode ---- */

int connection_vacuum(struct connection *c, uint32_t page_size, const char *doing,
                      struct error *error)
{
    char size[48];
    int rc;

    assert(!c->is_set_up);
    c->gave_up = 0;
    snprintf(size, sizeof(size), "PRAGMA main.page_size = %u", page_size);
    rc = run(c, "PRAGMA main.synchronous = EXTRA", NULL);
    if (rc == SQLITE_OK)
        rc = set_cache_size(c, CACHE_KIB_WRITE);
    if (rc == SQLITE_OK)
        rc = run(c, size, NULL);
    if (rc == SQLITE_OK)
        rc = run(c, "VACUUM", NULL);
    return rc == SQLITE_OK ? 0 : fail(c, rc, doing, error);
}

/* One attempt. SQLite does not wait here, and answers with the mode that stays. An SQLite code. */
static int try_journal_mode(struct connection *c, const char *mode)
{
    sqlite3_stmt *statement = NULL;
    char sql[48];
    int rc;

    c->gave_up = 0;
    snprintf(sql, sizeof(sql), "PRAGMA main.journal_mode = %s", mode);
    rc = sqlite3_prepare_v2(c->handle, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const char *stays = (const char *)sqlite3_column_text(statement, 0);

        rc = sqlite3_stricmp(stays, mode) == 0 ? SQLITE_OK : SQLITE_BUSY;
    }
    sqlite3_finalize(statement);
    return rc;
}

int connection_set_journal_mode(struct connection *c, const char *mode, const char *doing,
                                struct error *error)
{
    uint64_t began = clock_monotonic_ms();
    int rc;

    for (;;) {
        rc = try_journal_mode(c, mode);
        if (rc == SQLITE_OK)
            return 0;
        if ((rc & 0xff) != SQLITE_BUSY || clock_monotonic_ms() - began >= c->timeout_ms)
            return fail(c, rc, doing, error);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}
