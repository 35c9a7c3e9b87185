/*
 * How the transactions work, beyond what SQLite documents:
 *
 * - sqlite_dbpage is reached through a virtual table of our own in the temp schema, lockstep_page:
 * a database whose schema holds a real table with the name sqlite_dbpage would otherwise be read
 * and written in place of its pages.
 * - Every statement makes SQLite parse the schema first. For one that this build cannot parse (a
 * damaged row, an unknown keyword) writable_schema makes it go on after one failed attempt, hence
 * the retries in prepare() and step(). But writable_schema also makes SQLite accept a file that is
 * shorter than its header says, so it is off while a transaction begins.
 * - Page 1 is held back until the commit. Written earlier, its new schema cookie would make SQLite
 * parse a schema of which half is not there yet. It goes in one statement with the truncation,
 * which SQLite forgets when another page is written after it.
 * - With auto_vacuum FULL, COMMIT would move pages about, by the old pointer map on the new
 * content. So the connection is told that the vacuum is incremental; what that changes in page 1 is
 * overwritten in the commit.
 */
#include "protocol/page/database.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <sqlite3.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

/* SQLite's page cache in KiB. What a transaction changes beyond it goes to the disk before the
 * commit. */
#define CACHE_KIB 16384

#define PROGRESS_PAGES 4096

enum transaction { NO_TRANSACTION, READ_TRANSACTION, WRITE_TRANSACTION };

struct database {
    char *path;           /* as given */
    char *real_path;      /* symbolic links resolved */
    unsigned flags;       /* DATABASE_WRITE, DATABASE_CREATE */
    uint32_t timeout_ms;  /* for each wait for a lock */
    uint64_t wait_began;  /* clock_monotonic_ms of the wait under way */
    int gave_up;          /* a wait of this transaction reached the time-out */
    sqlite3 *handle;      /* NULL until first needed and after close_connection() */
    int is_set_up;        /* pragmas were run, the temp table made */
    sqlite3_stmt *select; /* one page, by number */
    sqlite3_stmt *insert; /* one page */
    enum transaction transaction;
    struct database_state state; /* as the transaction began */
    uint8_t
        page1[LIMIT_PAGE_SIZE_MAX]; /* page 1 as it is to be read, with what was written to it */
    int page1_pending;              /* page1 is to be written in the commit */
    int has_written;                /* SQLite holds changes of this transaction */
    uint32_t end;                   /* page count with what was written */
    uint32_t truncate_to;           /* page count asked for, 0: none */
    uint32_t raw_version;           /* SQLite's data_version, of this handle, when last looked at */
    int has_raw_version;
    uint32_t version; /* what database_data_version says */
};

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

/* ---- errors ---- */

/* Why SQLite could not open the file, its journal or its WAL. */
static int explain_cannot_open(struct database *db, const char *doing, struct error *error)
{
    int errno_value = db->handle != NULL ? sqlite3_system_errno(db->handle) : 0;
    struct stat status;

    if (stat(db->path, &status) != 0)
        return error_set_errno(error, errno == ENOENT ? ERR_NO_DATABASE : ERR_NOT_ALLOWED, errno,
                               "%s %s", doing, db->path);
    if (access(db->path, R_OK) != 0)
        return error_set(error, ERR_NOT_ALLOWED, "%s %s: no permission to read it", doing,
                         db->path);
    if (strlen(db->real_path != NULL ? db->real_path : db->path) > 500)
        return error_set(error, ERR_NOT_ALLOWED,
                         "%s %s: the path is longer than SQLite takes (512 bytes)", doing,
                         db->path);
    if (errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EMFILE ||
        errno_value == ENFILE)
        return error_set_errno(error, ERR_IO, errno_value, "%s %s", doing, db->path);
    return error_set(error, ERR_NOT_ALLOWED,
                     "%s %s: its -journal, -wal or -shm file cannot be opened or made%s%s; a "
                     "database in WAL mode, and one that is written, needs a writable directory",
                     doing, db->path, errno_value != 0 ? ": " : "",
                     errno_value != 0 ? strerror(errno_value) : "");
}

static int explain_read_only(struct database *db, int rc, const char *doing, struct error *error)
{
    switch (rc) {
    case SQLITE_READONLY_ROLLBACK:
    case SQLITE_READONLY_RECOVERY:
        return error_set(error, ERR_NOT_ALLOWED,
                         "%s %s: a writer died in the middle of a change, and without permission "
                         "to write it cannot be undone; open it once with a user who may",
                         doing, db->path);
    case SQLITE_READONLY_CANTLOCK:
    case SQLITE_READONLY_CANTINIT:
        return error_set(error, ERR_NOT_ALLOWED,
                         "%s %s: it is in WAL mode, and its -shm file cannot be made or written; "
                         "make its directory writable",
                         doing, db->path);
    case SQLITE_READONLY_DBMOVED:
        return error_set(error, ERR_IO, "%s %s: the file was moved or deleted while it was open",
                         doing, db->path);
    default:
        return error_set(error, ERR_NOT_ALLOWED,
                         "%s %s: no permission to write the file or its directory", doing,
                         db->path);
    }
}

/* The code and the text for what SQLite returned, "DOING PATH: why". */
static int fail(struct database *db, int rc, const char *doing, struct error *error)
{
    int errno_value = db->handle != NULL ? sqlite3_system_errno(db->handle) : 0;
    const char *text = db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);

    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return error_set(error, ERR_BUSY,
                         "%s %s: another program has locked it, and did so for %u ms; try again "
                         "when it is done, or wait longer (--timeout)",
                         doing, db->path, db->timeout_ms);
    case SQLITE_FULL:
        return error_set(error, ERR_DISK_FULL, "%s %s: no space left on its file system", doing,
                         db->path);
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return error_set(error, ERR_INTERNAL, "%s %s: out of memory", doing, db->path);
        if (errno_value == EACCES || errno_value == EPERM || errno_value == EROFS)
            return explain_read_only(db, SQLITE_READONLY, doing, error);
        if (errno_value != 0)
            return error_set_errno(error, ERR_IO, errno_value, "%s %s: %s", doing, db->path, text);
        return error_set(error, ERR_IO, "%s %s: %s (%s)", doing, db->path, text,
                         sqlite3_errstr(rc));
    case SQLITE_READONLY:
        return explain_read_only(db, rc, doing, error);
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return error_set(error, ERR_NOT_ALLOWED, "%s %s: %s", doing, db->path, text);
    case SQLITE_NOTADB:
        return error_set(error, ERR_NOT_A_DATABASE,
                         "%s %s: not an SQLite database, or an encrypted one", doing, db->path);
    case SQLITE_CORRUPT:
        return error_set(error, ERR_NOT_A_DATABASE,
                         "%s %s: the database is damaged or truncated (%s)", doing, db->path, text);
    case SQLITE_CANTOPEN:
        return explain_cannot_open(db, doing, error);
    case SQLITE_ERROR: /* our SQL has no mistakes: it is the schema that cannot be used */
        return error_set(error, ERR_NOT_A_DATABASE, "%s %s: SQLite cannot use it: %s", doing,
                         db->path, text);
    default:
        return error_set(error, ERR_INTERNAL, "%s %s: %s (SQLite's code %d)", doing, db->path, text,
                         rc);
    }
}

/* ---- the connection ---- */

/* SQLite's busy handler: whether to try again, after a short sleep. */
static int wait_for_lock(void *arg, int count)
{
    static const uint8_t delays[] = {1, 2, 5, 10, 15, 20, 25};
    struct database *db = arg;
    uint64_t now = clock_monotonic_ms();
    uint64_t waited, delay;

    if (count == 0)
        db->wait_began = now;
    waited = now - db->wait_began;
    if (db->gave_up || waited >= db->timeout_ms) {
        db->gave_up = 1;
        return 0;
    }
    delay = delays[count < (int)sizeof(delays) ? count : (int)sizeof(delays) - 1];
    if (delay > db->timeout_ms - waited)
        delay = db->timeout_ms - waited;
    nanosleep(&(struct timespec){.tv_nsec = (long)delay * 1000000}, NULL);
    return 1;
}

static void close_connection(struct database *db)
{
    int rc;

    sqlite3_finalize(db->select);
    sqlite3_finalize(db->insert);
    db->select = db->insert = NULL;
    rc = sqlite3_close(db->handle);
    assert(rc == SQLITE_OK);
    (void)rc;
    db->handle = NULL;
    db->is_set_up = 0;
    db->has_raw_version = 0;
}

/* Open the connection; nothing is read yet. */
static int open_connection(struct database *db, struct error *error)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    const char *path = db->real_path != NULL ? db->real_path : db->path;
    char *name = NULL;
    int rc;

    if ((db->flags & DATABASE_WRITE) && (db->flags & DATABASE_CREATE) && db->real_path == NULL)
        flags |= SQLITE_OPEN_CREATE;
    /* A name like ":memory:" or "file:x" means something else to SQLite unless it begins so. */
    if (asprintf(&name, "%s%s", path[0] == '/' ? "" : "./", path) < 0)
        return error_set(error, ERR_INTERNAL, "out of memory");
    rc = sqlite3_open_v2(name, &db->handle, flags, NULL);
    free(name);
    if (rc != SQLITE_OK) {
        rc = fail(db, rc, "opening", error);
        goto out;
    }
    sqlite3_busy_handler(db->handle, wait_for_lock, db);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if ((db->flags & DATABASE_WRITE) && sqlite3_db_readonly(db->handle, "main") == 1)
        rc = error_set(error, ERR_NOT_ALLOWED, "opening %s: no permission to write it", db->path);
out:
    if (rc != 0)
        close_connection(db);
    return rc;
}

/* Whether a statement can fail once because of a schema that does not parse, and then no more. */
static int is_schema_failure(int rc)
{
    return (rc & 0xff) == SQLITE_ERROR || (rc & 0xff) == SQLITE_CORRUPT;
}

static int prepare(struct database *db, const char *sql, sqlite3_stmt **statement)
{
    int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);

    if (is_schema_failure(rc))
        rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    return rc;
}

/* The first step of a statement. SQLITE_ROW, SQLITE_DONE or an error. */
static int step(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);

    if (is_schema_failure(rc)) {
        sqlite3_reset(statement);
        rc = sqlite3_step(statement);
    }
    return rc;
}

/* Run one statement; what its first row says is put in *value, where that is wanted. */
static int run(struct database *db, const char *sql, uint32_t *value)
{
    sqlite3_stmt *statement = NULL;
    int rc = prepare(db, sql, &statement);

    if (rc != SQLITE_OK)
        return rc;
    rc = step(statement);
    if (rc == SQLITE_ROW && value != NULL)
        *value = (uint32_t)sqlite3_column_int64(statement, 0);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        rc = SQLITE_OK;
    sqlite3_finalize(statement);
    return rc;
}

static void set_writable_schema(struct database *db, int on)
{
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_WRITABLE_SCHEMA, on, NULL);
}

/* What must be done once on a connection, outside of a transaction. */
static int set_up(struct database *db)
{
    char cache_size[48];
    int rc;

    snprintf(cache_size, sizeof(cache_size), "PRAGMA main.cache_size = -%d", CACHE_KIB);
    set_writable_schema(db, 1);
    /* EXTRA also makes the removal of the journal durable, which is what commits. */
    if ((rc = run(db, "PRAGMA main.synchronous = EXTRA", NULL)) == SQLITE_OK &&
        (rc = run(db, cache_size, NULL)) == SQLITE_OK &&
        (rc = run(db, "PRAGMA main.mmap_size = 0", NULL)) == SQLITE_OK &&
        (rc = run(db, "CREATE VIRTUAL TABLE temp.lockstep_page USING sqlite_dbpage", NULL)) ==
            SQLITE_OK)
        db->is_set_up = 1;
    set_writable_schema(db, 0);
    return rc;
}

/* ---- opening and closing ---- */

int database_open(struct database **out, const char *path, unsigned flags, uint32_t timeout_ms,
                  struct error *error)
{
    struct database *db = calloc(1, sizeof(*db));
    struct stat status;
    int rc;

    *out = NULL;
    if (db == NULL || (db->path = strdup(path)) == NULL) {
        rc = error_set(error, ERR_INTERNAL, "out of memory");
        goto out;
    }
    db->flags = flags;
    db->timeout_ms = timeout_ms;
    if (stat(path, &status) == 0) {
        if (!S_ISREG(status.st_mode)) {
            rc = error_set(error, ERR_NOT_A_DATABASE, "opening %s: %s", path,
                           S_ISDIR(status.st_mode) ? "it is a directory" : "it is no file");
            goto out;
        }
    } else if (errno != ENOENT || !(flags & DATABASE_CREATE)) {
        rc = error_set_errno(error, errno == ENOENT ? ERR_NO_DATABASE : ERR_NOT_ALLOWED, errno,
                             "opening %s", path);
        goto out;
    }
    rc = open_connection(db, error);
    if (rc != 0)
        goto out;
    db->real_path = realpath(path, NULL);
    if (db->real_path == NULL)
        rc = error_set_errno(error, ERR_IO, errno, "opening %s", path);
out:
    if (rc != 0)
        database_free(db);
    else
        *out = db;
    return rc;
}

void database_free(struct database *db)
{
    if (db == NULL)
        return;
    database_end(db);
    close_connection(db);
    free(db->real_path);
    free(db->path);
    free(db);
}

const char *database_path(const struct database *db)
{
    return db->path;
}

const char *database_real_path(const struct database *db)
{
    return db->real_path;
}

/* ---- transactions ---- */

void database_end(struct database *db)
{
    db->transaction = NO_TRANSACTION;
    db->page1_pending = 0;
    db->has_written = 0;
    db->truncate_to = 0;
    db->gave_up = 0;
    db->state = (struct database_state){0};
    if (db->handle == NULL)
        return;
    sqlite3_finalize(db->select);
    sqlite3_finalize(db->insert);
    db->select = db->insert = NULL;
    if (!sqlite3_get_autocommit(db->handle))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    set_writable_schema(db, 0);
}

/* Look at SQLite's data_version, and count it as new unless this handle has said the same before.
 */
static int note_version(struct database *db)
{
    uint32_t raw = 0;
    int rc = run(db, "PRAGMA main.data_version", &raw);

    if (rc != SQLITE_OK)
        return rc;
    if (!db->has_raw_version || raw != db->raw_version)
        db->version++;
    db->raw_version = raw;
    db->has_raw_version = 1;
    return SQLITE_OK;
}

/* Read page 1 and the page count of the transaction that is open. An SQLite code. */
static int read_state(struct database *db, int is_empty_file)
{
    uint8_t *page = db->page1;
    uint32_t size;
    int rc;

    db->state = (struct database_state){0};
    db->state.is_empty = 1;
    rc = prepare(db, "SELECT data FROM temp.lockstep_page WHERE pgno = ?1", &db->select);
    if (rc == SQLITE_OK && db->transaction == WRITE_TRANSACTION)
        rc = prepare(db, "INSERT INTO temp.lockstep_page(pgno, data) VALUES(?1, ?2)", &db->insert);
    if (rc != SQLITE_OK || is_empty_file)
        return rc;
    rc = run(db, "PRAGMA main.page_count", &db->state.page_count);
    if (rc != SQLITE_OK || db->state.page_count == 0)
        return rc;

    sqlite3_bind_int64(db->select, 1, 1);
    rc = step(db->select);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
    size = (uint32_t)sqlite3_column_bytes(db->select, 0);
    assert(size >= LIMIT_PAGE_SIZE_MIN && size <= LIMIT_PAGE_SIZE_MAX);
    memcpy(page, sqlite3_column_blob(db->select, 0), size);
    sqlite3_reset(db->select);
    db->state.page_size = size;
    db->state.is_wal = page[19] == 2;
    /* The schema's b-tree: a leaf (13) without cells. */
    db->state.is_empty = page[100] == 13 && page[103] == 0 && page[104] == 0;
    /* Before 3.7.0 SQLite left the count in the header stale; later ones mend it when they write.
     */
    put_u32(page + 28, db->state.page_count);
    return SQLITE_OK;
}

/* Without a WAL, a file that is shorter than its pages has lost its end. */
static int check_length(struct database *db, struct error *error)
{
    struct stat status;

    if (db->state.is_wal || db->state.page_count == 0)
        return 0;
    if (stat(db->real_path, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "reading %s", db->path);
    if ((uint64_t)status.st_size < (uint64_t)db->state.page_count * db->state.page_size)
        return error_set(error, ERR_NOT_A_DATABASE,
                         "reading %s: the file is truncated: it has %llu bytes, and its %u pages "
                         "of %u bytes need %llu",
                         db->path, (unsigned long long)status.st_size, db->state.page_count,
                         db->state.page_size,
                         (unsigned long long)db->state.page_count * db->state.page_size);
    return 0;
}

/* One attempt at opening a transaction. On failure there is none, and *sqlite_rc is what SQLite
 * said, or 0. */
static int try_begin(struct database *db, enum transaction transaction, int *sqlite_rc,
                     struct error *error)
{
    const char *doing = transaction == WRITE_TRANSACTION ? "locking" : "reading";
    struct stat status;
    int is_empty_file = 0;
    int rc = 0;

    *sqlite_rc = SQLITE_OK;
    db->gave_up = 0;
    if (db->handle == NULL && (rc = open_connection(db, error)) != 0)
        return rc;
    if (!db->is_set_up && (*sqlite_rc = set_up(db)) != SQLITE_OK)
        goto out;
    *sqlite_rc = run(db, transaction == WRITE_TRANSACTION ? "BEGIN IMMEDIATE" : "BEGIN", NULL);
    if (*sqlite_rc != SQLITE_OK)
        goto out;
    /* Needs no schema, and is what takes the lock of a read transaction. */
    *sqlite_rc = note_version(db);
    if (*sqlite_rc != SQLITE_OK)
        goto out;
    db->transaction = transaction;
    set_writable_schema(db, 1);
    /* In an empty file BEGIN IMMEDIATE has made a page 1, which is on no disk yet. */
    if (transaction == WRITE_TRANSACTION && stat(db->real_path, &status) == 0)
        is_empty_file = status.st_size == 0;
    *sqlite_rc = read_state(db, is_empty_file);
    if (*sqlite_rc == SQLITE_OK)
        rc = check_length(db, error);
out:
    if (*sqlite_rc != SQLITE_OK)
        rc = fail(db, *sqlite_rc, doing, error);
    if (rc != 0)
        database_end(db);
    return rc;
}

static int begin(struct database *db, enum transaction transaction, struct database_state *state,
                 struct error *error)
{
    int was_set_up = db->is_set_up;
    int sqlite_rc, rc;

    assert(db->transaction == NO_TRANSACTION);
    rc = try_begin(db, transaction, &sqlite_rc, error);
    if (rc != 0 && was_set_up && is_schema_failure(sqlite_rc)) {
        /* A connection keeps to the text encoding that it saw first; the content may have another
         * now. */
        close_connection(db);
        rc = try_begin(db, transaction, &sqlite_rc, error);
    }
    if (rc != 0)
        return rc;
    db->end = db->state.page_count;
    if (state != NULL)
        *state = db->state;
    return 0;
}

int database_begin_read(struct database *db, struct database_state *state, struct error *error)
{
    return begin(db, READ_TRANSACTION, state, error);
}

int database_begin_write(struct database *db, struct database_state *state, struct error *error)
{
    assert(db->flags & DATABASE_WRITE);
    return begin(db, WRITE_TRANSACTION, state, error);
}

int database_data_version(struct database *db, uint32_t *value, struct error *error)
{
    int rc;

    assert(db->transaction != NO_TRANSACTION);
    rc = note_version(db);
    if (rc != SQLITE_OK)
        return fail(db, rc, "reading", error);
    *value = db->version;
    return 0;
}

/* ---- reading ---- */

/* Called for each page in order, with its page_size bytes; non-zero ends the pass. */
typedef int page_visit(void *arg, uint32_t pgno, const uint8_t *page, struct error *error);

/* One pass over all pages of the open transaction, as it began. The lock-byte page is visited as
 * zeros. */
static int visit_pages(struct database *db, page_visit *visit, void *arg, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    uint32_t pgno = 0;
    int rc;

    assert(db->transaction != NO_TRANSACTION && !db->has_written && !db->page1_pending);
    if (db->state.page_count == 0)
        return 0;
    rc = prepare(db, "SELECT data FROM temp.lockstep_page", &statement);
    if (rc != SQLITE_OK)
        return fail(db, rc, "reading", error);
    rc = step(statement);
    while (rc == SQLITE_ROW) {
        const uint8_t *page = sqlite3_column_blob(statement, 0);

        if (page == NULL || (uint32_t)sqlite3_column_bytes(statement, 0) != db->state.page_size) {
            rc = SQLITE_NOMEM;
            break;
        }
        pgno++;
        rc = visit(arg, pgno, pgno == 1 ? db->page1 : page, error);
        if (rc != 0) {
            sqlite3_finalize(statement);
            return rc;
        }
        rc = sqlite3_step(statement);
    }
    if (rc == SQLITE_DONE && pgno != db->state.page_count)
        rc = SQLITE_CORRUPT;
    rc = rc == SQLITE_DONE ? 0 : fail(db, rc, "reading", error);
    sqlite3_finalize(statement);
    return rc;
}

struct scan {
    const struct page_hasher *hasher;
    struct page_index *index;
    uint32_t page_size;
    int (*progress)(void *, uint32_t);
    void *progress_arg;
};

static int scan_page(void *arg, uint32_t pgno, const uint8_t *page, struct error *error)
{
    struct scan *scan = arg;

    scan->index->hashes[pgno - 1] = page_hash(scan->hasher, pgno, page, scan->page_size);
    if (pgno % PROGRESS_PAGES == 0 && scan->progress != NULL &&
        scan->progress(scan->progress_arg, pgno) != 0)
        return error_set(error, ERR_TIMEOUT, "reading the pages was stopped at page %u", pgno);
    return 0;
}

int database_scan(struct database *db, const struct page_hasher *hasher, struct page_index *index,
                  int (*progress)(void *, uint32_t done), void *progress_arg, struct error *error)
{
    struct scan scan = {hasher, index, db->state.page_size, progress, progress_arg};
    int rc;

    page_index_release(index);
    rc = page_index_resize(index, db->state.page_count, error);
    if (rc != 0)
        return rc;
    index->page_size = db->state.page_size;
    rc = visit_pages(db, scan_page, &scan, error);
    if (rc != 0)
        page_index_release(index);
    return rc;
}

struct digest {
    EVP_MD_CTX *context;
    uint32_t page_size;
};

static int digest_page(void *arg, uint32_t pgno, const uint8_t *page, struct error *error)
{
    struct digest *digest = arg;
    uint8_t copy[LIMIT_PAGE_SIZE_MAX];

    if (pgno == 1) {
        memcpy(copy, page, digest->page_size);
        page_clear_volatile(1, copy);
        page = copy;
    }
    if (!EVP_DigestUpdate(digest->context, page, digest->page_size))
        return error_set(error, ERR_INTERNAL, "SHA-256 failed");
    return 0;
}

int database_digest(struct database *db, uint8_t sha256[32], struct error *error)
{
    struct digest digest = {EVP_MD_CTX_new(), db->state.page_size};
    uint8_t sizes[8];
    int rc;

    put_u32(sizes, db->state.page_size);
    put_u32(sizes + 4, db->state.page_count);
    if (digest.context == NULL || !EVP_DigestInit_ex(digest.context, EVP_sha256(), NULL) ||
        !EVP_DigestUpdate(digest.context, sizes, sizeof(sizes))) {
        rc = error_set(error, ERR_INTERNAL, "SHA-256 failed");
        goto out;
    }
    rc = visit_pages(db, digest_page, &digest, error);
    if (rc == 0 && !EVP_DigestFinal_ex(digest.context, sha256, NULL))
        rc = error_set(error, ERR_INTERNAL, "SHA-256 failed");
out:
    EVP_MD_CTX_free(digest.context);
    return rc;
}

int database_read_page(struct database *db, uint32_t pgno, uint8_t *page, struct error *error)
{
    uint32_t size = db->state.page_size;
    int rc;

    assert(db->transaction != NO_TRANSACTION);
    if (pgno == 0 || pgno > db->state.page_count)
        return error_set(error, ERR_PROTOCOL, "reading %s: there is no page %u among its %u",
                         db->path, pgno, db->state.page_count);
    if (pgno == 1) {
        memcpy(page, db->page1, size);
        return 0;
    }
    if (pgno == page_lock_byte_page(size)) {
        memset(page, 0, size);
        return 0;
    }
    sqlite3_bind_int64(db->select, 1, pgno);
    rc = step(db->select);
    if (rc == SQLITE_ROW && (uint32_t)sqlite3_column_bytes(db->select, 0) == size) {
        memcpy(page, sqlite3_column_blob(db->select, 0), size);
        rc = 0;
    } else {
        rc =
            fail(db, rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "reading", error);
    }
    sqlite3_reset(db->select);
    return rc;
}

/* ---- writing ---- */

/* Before the first change: keep COMMIT from moving pages, see the head. */
static int start_writing(struct database *db)
{
    uint32_t auto_vacuum = 0;
    int rc;

    if (db->has_written)
        return SQLITE_OK;
    rc = run(db, "PRAGMA main.auto_vacuum", &auto_vacuum);
    if (rc == SQLITE_OK && auto_vacuum == 1) {
        rc = run(db, "PRAGMA main.auto_vacuum = INCREMENTAL", NULL);
        db->page1_pending = 1;
    }
    if (rc == SQLITE_OK)
        db->has_written = 1;
    return rc;
}

/*
 * An empty file's transaction has SQLite's own page size. Begin again with the right one; between
 * the two, somebody else may have put something there.
 */
static int begin_with_page_size(struct database *db, uint32_t page_size, struct error *error)
{
    char sql[48];
    int rc;

    database_end(db);
    close_connection(db);
    rc = open_connection(db, error);
    if (rc != 0)
        return rc;
    snprintf(sql, sizeof(sql), "PRAGMA main.page_size = %u", page_size);
    rc = run(db, sql, NULL);
    if (rc != SQLITE_OK)
        return fail(db, rc, "setting the page size of", error);
    rc = begin(db, WRITE_TRANSACTION, NULL, error);
    if (rc != 0)
        return rc;
    if (db->state.page_count != 0) {
        database_end(db);
        return error_set(error, ERR_MOVED,
                         "writing %s: it was empty, and another program wrote to it", db->path);
    }
    return 0;
}

/* The first page into an empty file. */
static int write_to_empty(struct database *db, uint32_t pgno, uint32_t page_size,
                          struct error *error)
{
    int rc;

    if (pgno != 1)
        return error_set(error, ERR_PROTOCOL, "writing %s: the first page of an empty file is %u",
                         db->path, pgno);
    rc = begin_with_page_size(db, page_size, error);
    if (rc != 0)
        return rc;
    /* What SQLite has in the page 1 that it made: its journal mode is what counts. */
    memset(db->page1, 0, sizeof(db->page1));
    db->page1[18] = db->page1[19] = 1;
    db->state.page_size = page_size;
    db->state.page_count = db->end = 1;
    return 0;
}

static int is_page_size(uint32_t page_size)
{
    return page_size >= LIMIT_PAGE_SIZE_MIN && page_size <= LIMIT_PAGE_SIZE_MAX &&
           (page_size & (page_size - 1)) == 0;
}

/* Take page 1 for the commit, if it can be the first page of a database of this page size. */
static int hold_page1(struct database *db, const uint8_t *page, struct error *error)
{
    uint32_t size = (uint32_t)page[16] << 8 | (uint32_t)page[17] << 16;
    uint8_t own[100];

    if (memcmp(page, "SQLite format 3", 16) != 0 || size != db->state.page_size)
        return error_set(error, ERR_NOT_A_DATABASE,
                         "writing %s: what came as page 1 does not begin a database of page size "
                         "%u",
                         db->path, db->state.page_size);
    memcpy(own, db->page1, sizeof(own));
    memcpy(db->page1, page, db->state.page_size);
    page_keep_volatile(db->page1, own);
    db->page1_pending = 1;
    return 0;
}

int database_write_page(struct database *db, uint32_t pgno, const uint8_t *page, uint32_t page_size,
                        struct error *error)
{
    uint32_t lock_byte_page;
    int rc;

    assert(db->transaction == WRITE_TRANSACTION && db->truncate_to == 0);
    if (!is_page_size(page_size))
        return error_set(error, ERR_PROTOCOL, "writing %s: %u is no page size", db->path,
                         page_size);
    if (db->state.page_count == 0 && (rc = write_to_empty(db, pgno, page_size, error)) != 0)
        return rc;
    if (page_size != db->state.page_size)
        return error_set(error, ERR_PAGE_SIZE, "writing %s: its page size is %u, not %u", db->path,
                         db->state.page_size, page_size);
    lock_byte_page = page_lock_byte_page(page_size);
    if (pgno == lock_byte_page)
        return 0;
    if (pgno == 0 || pgno > LIMIT_PAGE_COUNT ||
        (pgno > db->end && pgno - db->end > (db->end + 1 == lock_byte_page ? 2u : 1u)))
        return error_set(error, ERR_PROTOCOL, "writing %s: page %u would leave a gap after page %u",
                         db->path, pgno, db->end);
    if (pgno == 1)
        return hold_page1(db, page, error);

    rc = start_writing(db);
    if (rc != SQLITE_OK)
        return fail(db, rc, "writing", error);
    sqlite3_bind_int64(db->insert, 1, pgno);
    sqlite3_bind_blob(db->insert, 2, page, (int)page_size, SQLITE_STATIC);
    rc = step(db->insert);
    if (rc != SQLITE_DONE || db->gave_up)
        return fail(db, rc != SQLITE_DONE ? rc : SQLITE_BUSY, "writing", error);
    sqlite3_reset(db->insert);
    sqlite3_clear_bindings(db->insert);
    if (pgno > db->end)
        db->end = pgno;
    return 0;
}

int database_truncate(struct database *db, uint32_t page_count, struct error *error)
{
    assert(db->transaction == WRITE_TRANSACTION);
    if (page_count == 0 || page_count > db->end ||
        (page_count < db->end && db->end > db->state.page_count))
        return error_set(error, ERR_PROTOCOL,
                         "writing %s: it cannot end after page %u, having %u and being written up "
                         "to %u",
                         db->path, page_count, db->state.page_count, db->end);
    db->truncate_to = page_count;
    return 0;
}

/* Write page 1 and cut off the end, as far as either is wanted. An SQLite code. */
static int write_last(struct database *db)
{
    int cuts = db->truncate_to != 0 && db->truncate_to < db->end;
    sqlite3_stmt *statement = NULL;
    int rc;

    if (!cuts && !db->page1_pending)
        return SQLITE_OK;
    rc = start_writing(db);
    if (rc != SQLITE_OK)
        return rc;
    rc = prepare(db,
                 cuts && db->page1_pending
                     ? "INSERT INTO temp.lockstep_page(pgno, data) VALUES(1, ?1), (?2, NULL)"
                 : cuts ? "INSERT INTO temp.lockstep_page(pgno, data) VALUES(?2, NULL)"
                        : "INSERT INTO temp.lockstep_page(pgno, data) VALUES(1, ?1)",
                 &statement);
    if (rc != SQLITE_OK)
        return rc;
    if (db->page1_pending)
        sqlite3_bind_blob(statement, 1, db->page1, (int)db->state.page_size, SQLITE_STATIC);
    if (cuts)
        sqlite3_bind_int64(statement, 2, (sqlite3_int64)db->truncate_to + 1);
    rc = step(statement);
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int database_commit(struct database *db, struct error *error)
{
    uint32_t page_count = db->truncate_to != 0 ? db->truncate_to : db->end;
    int rc;

    assert(db->transaction == WRITE_TRANSACTION);
    if (!db->has_written && !db->page1_pending && page_count == db->state.page_count) {
        rc = 0; /* nothing to commit; in an empty file SQLite would make a page 1 */
        goto out;
    }
    if (get_u32(db->page1 + 28) != page_count) {
        rc = error_set(error, ERR_NOT_A_DATABASE,
                       "writing %s: page 1 says that there are %u pages, and there would be %u",
                       db->path, get_u32(db->page1 + 28), page_count);
        goto out;
    }
    rc = write_last(db);
    /* Readers that hold the commit up are waited for anew. */
    db->gave_up = 0;
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        rc = fail(db, rc, "committing to", error);
out:
    database_end(db);
    return rc;
}

/* ---- another page size ---- */

/* Set the journal mode, waiting for other connections to let go. An SQLite code. */
static int set_journal_mode(struct database *db, const char *mode)
{
    uint64_t began = clock_monotonic_ms();
    sqlite3_stmt *statement = NULL;
    char sql[48];
    int rc;

    snprintf(sql, sizeof(sql), "PRAGMA main.journal_mode = %s", mode);
    for (;;) {
        db->gave_up = 0;
        rc = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
            rc = sqlite3_stricmp((const char *)sqlite3_column_text(statement, 0), mode) == 0
                     ? SQLITE_OK
                     : SQLITE_BUSY;
        sqlite3_finalize(statement);
        statement = NULL;
        if ((rc & 0xff) != SQLITE_BUSY || clock_monotonic_ms() - began >= db->timeout_ms)
            return rc;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

/* VACUUM on a connection that has not been told to overlook a schema that does not parse. An SQLite
 * code. */
static int vacuum_with_page_size(struct database *db, uint32_t page_size)
{
    char sql[96];
    int rc;

    snprintf(sql, sizeof(sql), "PRAGMA main.cache_size = -%d; PRAGMA main.page_size = %u",
             CACHE_KIB, page_size);
    rc = sqlite3_exec(db->handle, "PRAGMA main.synchronous = EXTRA", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db->handle, "VACUUM", NULL, NULL, NULL);
    return rc;
}

int database_change_page_size(struct database *db, uint32_t page_size, struct error *error)
{
    static const char doing[] = "changing the page size of";
    struct database_state state;
    int sqlite_rc, rc;

    assert(db->transaction == NO_TRANSACTION && (db->flags & DATABASE_WRITE));
    if (!is_page_size(page_size))
        return error_set(error, ERR_PROTOCOL, "%s %s: %u is no page size", doing, db->path,
                         page_size);
    rc = database_begin_read(db, &state, error);
    database_end(db);
    if (rc != 0 || state.page_count == 0 || state.page_size == page_size)
        return rc;
    close_connection(db);
    rc = open_connection(db, error);
    if (rc != 0)
        return rc;
    sqlite_rc = state.is_wal ? set_journal_mode(db, "delete") : SQLITE_OK;
    if (sqlite_rc == SQLITE_OK) {
        db->gave_up = 0;
        sqlite_rc = vacuum_with_page_size(db, page_size);
        if (sqlite_rc != SQLITE_OK)
            rc = fail(db, sqlite_rc, doing, error);
        if (state.is_wal && (sqlite_rc = set_journal_mode(db, "wal")) != SQLITE_OK && rc == 0)
            rc = fail(db, sqlite_rc, "setting WAL mode again, after a change of page size, in",
                      error);
    } else {
        rc = fail(db, sqlite_rc, doing, error);
    }
    close_connection(db);
    if (rc != 0)
        return rc;
    rc = database_begin_read(db, &state, error);
    database_end(db);
    if (rc == 0 && state.page_size != page_size)
        rc = error_set(error, ERR_BUSY,
                       "%s %s: SQLite left it at %u; close the other programs that use it", doing,
                       db->path, state.page_size);
    return rc;
}
