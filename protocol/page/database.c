/*
 * Three things that a transaction here does beyond what SQLite documents:
 *
 * - Page 1 is held back until the commit, see connection_write_last.
 * - In WAL mode what a page held is not read before it is written (large_io.h). A page whose write
 * failed can be left as zeros in SQLite's cache: with what was to be written, so with the
 * transaction, goes the connection.
 * - With auto_vacuum FULL, COMMIT would move pages about, by the old pointer map on the new
 * content. So the connection is told that the vacuum is incremental; what that changes in page 1 is
 * overwritten in the commit.
 */
#include "protocol/page/database.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/connection.h"
#include "protocol/page/page_owners.h"

#define PROGRESS_PAGES 4096

enum transaction { NO_TRANSACTION, READ_TRANSACTION, WRITE_TRANSACTION };

struct database {
    char *path;                    /* as given */
    char *real_path;               /* symbolic links resolved */
    unsigned flags;                /* DATABASE_WRITE, DATABASE_CREATE */
    uint32_t timeout_ms;           /* for each wait for a lock */
    struct connection *connection; /* NULL until first needed, and after a change of page size */
    enum transaction transaction;
    struct database_state state; /* as the transaction began */
    uint8_t
        page1[LIMIT_PAGE_SIZE_MAX]; /* page 1 as it is to be read, with what was written to it */
    int page1_pending;              /* page1 is to be written in the commit */
    int has_written;                /* SQLite holds changes of this transaction */
    uint32_t end;                   /* page count with what was written */
    uint32_t truncate_to;           /* page count asked for, 0: none */
    uint32_t raw_version;           /* data_version of this connection, when last looked at */
    uint32_t version;               /* what database_data_version says */
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

/* ---- opening and closing ---- */

static int open_connection(struct database *db, struct error *error)
{
    unsigned flags = db->flags & DATABASE_WRITE ? CONNECTION_WRITE : 0;

    /* Once it has been opened it is not made again. */
    if ((db->flags & DATABASE_CREATE) && db->real_path == NULL)
        flags |= CONNECTION_CREATE;
    return connection_open(&db->connection, db->path,
                           db->real_path != NULL ? db->real_path : db->path, flags, db->timeout_ms,
                           error);
}

/* The next connection counts its versions anew, so that nothing can be said of what happened in
 * between. */
static void close_connection(struct database *db)
{
    connection_close(db->connection);
    db->connection = NULL;
    db->version++;
}

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

void database_set_timeout(struct database *db, uint32_t timeout_ms)
{
    db->timeout_ms = timeout_ms;
    if (db->connection != NULL)
        connection_set_timeout(db->connection, timeout_ms);
}

int database_has_moved(struct database *db)
{
    return db->connection != NULL && connection_has_moved(db->connection);
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
    int undoes = db->has_written && db->state.is_wal;

    db->transaction = NO_TRANSACTION;
    db->page1_pending = 0;
    db->has_written = 0;
    db->truncate_to = 0;
    db->state = (struct database_state){0};
    if (db->connection != NULL)
        connection_roll_back(db->connection);
    if (undoes)
        close_connection(db);
}

static void note_version(struct database *db, uint32_t raw_version)
{
    if (raw_version != db->raw_version)
        db->version++;
    db->raw_version = raw_version;
}

/* Read page 1 and the page count of the transaction that is open. */
static int read_state(struct database *db, struct error *error)
{
    const uint8_t *page;
    uint32_t size;
    int rc;

    rc = connection_run(db->connection, "PRAGMA main.page_count", &db->state.page_count, "reading",
                        error);
    if (rc != 0 || db->state.page_count == 0)
        return rc;
    rc = connection_page(db->connection, 1, &page, &size, error);
    if (rc != 0)
        return rc;
    assert(size >= LIMIT_PAGE_SIZE_MIN && size <= LIMIT_PAGE_SIZE_MAX);
    memcpy(db->page1, page, size);
    db->state.page_size = size;
    db->state.is_wal = page[19] == 2;
    /* The schema's b-tree: a leaf (13) without cells. */
    db->state.is_empty = page[100] == 13 && page[103] == 0 && page[104] == 0;
    /* Before 3.7.0 SQLite left the count in the header stale; later ones mend it when they write.
     */
    put_u32(db->page1 + 28, db->state.page_count);
    return 0;
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

/* Whether BEGIN IMMEDIATE found a file of no bytes. It has then made a page 1, which is on no disk
 * yet. */
static int is_empty_file(const struct database *db)
{
    struct stat status;

    return db->transaction == WRITE_TRANSACTION && stat(db->real_path, &status) == 0 &&
           status.st_size == 0;
}

/* One attempt at opening a transaction. On failure there is none. */
static int try_begin(struct database *db, enum transaction transaction, struct error *error)
{
    uint32_t raw_version = 0;
    int rc = 0;

    if (db->connection == NULL)
        rc = open_connection(db, error);
    if (rc == 0)
        rc = connection_set_up(db->connection, error);
    if (rc != 0)
        return rc;
    if (transaction == WRITE_TRANSACTION)
        rc = connection_begin_write(db->connection, &raw_version, error);
    else
        rc = connection_begin_read(db->connection, &raw_version, error);
    if (rc != 0)
        return rc;
    db->transaction = transaction;
    note_version(db, raw_version);
    db->state = (struct database_state){.is_empty = 1};
    if (!is_empty_file(db)) {
        rc = read_state(db, error);
        if (rc == 0)
            rc = check_length(db, error);
    }
    if (rc != 0)
        database_end(db);
    return rc;
}

static int begin(struct database *db, enum transaction transaction, struct database_state *state,
                 struct error *error)
{
    int rc;

    assert(db->transaction == NO_TRANSACTION);
    rc = try_begin(db, transaction, error);
    if (rc == ERR_NOT_A_DATABASE) {
        /* Perhaps only to this connection, which keeps to the text encoding that it saw first. */
        close_connection(db);
        rc = try_begin(db, transaction, error);
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
    uint32_t raw_version = 0;
    int rc;

    assert(db->transaction != NO_TRANSACTION);
    rc = connection_run(db->connection, "PRAGMA main.data_version", &raw_version, "reading", error);
    if (rc != 0)
        return rc;
    note_version(db, raw_version);
    *value = db->version;
    return 0;
}

/* ---- reading ---- */

struct scan {
    struct database *db;
    const struct page_hasher *hasher;
    struct page_index *index;
    int (*progress)(void *, uint32_t);
    void *progress_arg;
};

static int scan_page(void *arg, uint32_t pgno, const uint8_t *page, struct error *error)
{
    struct scan *scan = arg;

    if (pgno == 1)
        page = scan->db->page1;
    scan->index->hashes[pgno - 1] = page_hash(scan->hasher, pgno, page, scan->index->page_size);
    if (pgno % PROGRESS_PAGES == 0 && scan->progress != NULL &&
        scan->progress(scan->progress_arg, pgno) != 0)
        return error_set(error, ERR_TIMEOUT, "reading the pages was stopped at page %u", pgno);
    return 0;
}

/* One pass over all pages of the open transaction, as it began. */
static int visit_pages(struct database *db, connection_visit *visit, void *arg, struct error *error)
{
    assert(db->transaction != NO_TRANSACTION && !db->has_written && !db->page1_pending);
    if (db->state.page_count == 0)
        return 0;
    return connection_visit_pages(db->connection, db->state.page_count, db->state.page_size, visit,
                                  arg, error);
}

int database_scan(struct database *db, const struct page_hasher *hasher, struct page_index *index,
                  int (*progress)(void *, uint32_t done), void *progress_arg, struct error *error)
{
    struct scan scan = {db, hasher, index, progress, progress_arg};
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
    struct database *db;
    EVP_MD_CTX *context;
};

static int digest_page(void *arg, uint32_t pgno, const uint8_t *page, struct error *error)
{
    struct digest *digest = arg;
    uint32_t page_size = digest->db->state.page_size;
    uint8_t copy[LIMIT_PAGE_SIZE_MAX];

    if (pgno == 1) {
        memcpy(copy, digest->db->page1, page_size);
        page_clear_volatile(1, copy);
        page = copy;
    }
    if (!EVP_DigestUpdate(digest->context, page, page_size))
        return error_set(error, ERR_INTERNAL, "SHA-256 failed");
    return 0;
}

int database_digest(struct database *db, uint8_t sha256[32], struct error *error)
{
    struct digest digest = {db, EVP_MD_CTX_new()};
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

static int own_page(void *arg, const char *name, int is_index, const char *table, uint32_t pgno,
                    struct error *error)
{
    return page_owners_add(arg, name, is_index, table, pgno, error);
}

int database_find_owners(struct database *db, struct page_owners *owners, struct error *error)
{
    int rc;

    assert(db->transaction != NO_TRANSACTION);
    rc = page_owners_init(owners, db->state.page_size, db->state.page_count,
                          db->state.page_count > 0 ? db->page1 : NULL, error);
    if (rc == 0 && db->state.page_count > 0)
        rc = connection_visit_trees(db->connection, own_page, owners, error);
    if (rc != 0)
        page_owners_release(owners);
    return rc;
}

int database_read_page(struct database *db, uint32_t pgno, uint8_t *page, struct error *error)
{
    uint32_t size = db->state.page_size, got;
    const uint8_t *bytes;
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
    rc = connection_page(db->connection, pgno, &bytes, &got, error);
    if (rc != 0)
        return rc;
    assert(got == size);
    memcpy(page, bytes, size);
    return 0;
}

/* ---- writing ---- */

/* Before the first change: keep COMMIT from moving pages, see the head. */
static int start_writing(struct database *db, struct error *error)
{
    uint32_t auto_vacuum = 0;
    int rc;

    if (db->has_written)
        return 0;
    rc = connection_run(db->connection, "PRAGMA main.auto_vacuum", &auto_vacuum, "writing", error);
    if (rc == 0 && auto_vacuum == 1) {
        rc = connection_run(db->connection, "PRAGMA main.auto_vacuum = INCREMENTAL", NULL,
                            "writing", error);
        db->page1_pending = 1;
    }
    if (rc == 0 && db->state.is_wal)
        rc = connection_write_to_wal(db->connection, error);
    if (rc == 0)
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
    rc = connection_run(db->connection, sql, NULL, "setting the page size of", error);
    if (rc == 0)
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

/* Whether page pgno lies behind the end with nothing, or with the lock-byte page alone, in between.
 */
static int leaves_gap(const struct database *db, uint32_t pgno)
{
    uint32_t next = db->end + 1;

    if (next == page_lock_byte_page(db->state.page_size))
        next++;
    return pgno > next;
}

int database_write_page(struct database *db, uint32_t pgno, const uint8_t *page, uint32_t page_size,
                        struct error *error)
{
    int rc;

    assert(db->transaction == WRITE_TRANSACTION);
    if (!is_page_size(page_size))
        return error_set(error, ERR_PROTOCOL, "writing %s: %u is no page size", db->path,
                         page_size);
    if (db->state.page_count == 0 && (rc = write_to_empty(db, pgno, page_size, error)) != 0)
        return rc;
    if (page_size != db->state.page_size)
        return error_set(error, ERR_PAGE_SIZE, "writing %s: its page size is %u, not %u", db->path,
                         db->state.page_size, page_size);
    if (pgno == 0 || pgno > LIMIT_PAGE_COUNT || leaves_gap(db, pgno))
        return error_set(error, ERR_PROTOCOL, "writing %s: page %u would leave a gap after page %u",
                         db->path, pgno, db->end);
    if (db->truncate_to != 0 && pgno > db->truncate_to)
        return error_set(error, ERR_PROTOCOL, "writing %s: page %u, where it shall end after %u",
                         db->path, pgno, db->truncate_to);
    if (pgno == page_lock_byte_page(page_size))
        return 0;
    if (pgno == 1)
        return hold_page1(db, page, error);
    rc = start_writing(db, error);
    if (rc == 0)
        rc = connection_write_page(db->connection, pgno, page, page_size, error);
    if (rc == 0 && pgno > db->end)
        db->end = pgno;
    return rc;
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

/* Write what was held back. */
static int write_last(struct database *db, struct error *error)
{
    int rc = start_writing(db, error); /* may want page 1 written, too */
    int cuts = db->truncate_to != 0 && db->truncate_to < db->end;

    if (rc != 0)
        return rc;
    return connection_write_last(db->connection, db->page1_pending ? db->page1 : NULL,
                                 db->state.page_size, cuts ? db->truncate_to : 0, error);
}

int database_commit(struct database *db, struct error *error)
{
    uint32_t page_count = db->truncate_to != 0 ? db->truncate_to : db->end;
    int rc = 0;

    assert(db->transaction == WRITE_TRANSACTION);
    /* Where nothing was written nothing is committed: of an empty file SQLite would make one page.
     */
    if (!db->has_written && !db->page1_pending && page_count == db->state.page_count)
        goto out;
    if (get_u32(db->page1 + 28) != page_count) {
        rc = error_set(error, ERR_NOT_A_DATABASE,
                       "writing %s: page 1 says that there are %u pages, and there would be %u",
                       db->path, get_u32(db->page1 + 28), page_count);
        goto out;
    }
    rc = write_last(db, error);
    if (rc == 0)
        rc = connection_commit(db->connection, error);
    if (rc == 0)
        db->has_written = 0;
out:
    database_end(db);
    return rc;
}

void database_checkpoint(struct database *db)
{
    assert(db->transaction == NO_TRANSACTION);
    if (db->connection != NULL && (db->flags & DATABASE_WRITE))
        connection_checkpoint(db->connection);
}

/* ---- another page size ---- */

/* Leave WAL mode, VACUUM, go back to WAL mode, whatever became of the VACUUM. */
static int vacuum(struct database *db, uint32_t page_size, int is_wal, struct error *error)
{
    static const char doing[] = "changing the page size of";
    struct error second = {0};
    int rc, second_rc;

    if (!is_wal)
        return connection_vacuum(db->connection, page_size, doing, error);
    rc = connection_set_journal_mode(db->connection, "delete", doing, error);
    if (rc != 0)
        return rc;
    rc = connection_vacuum(db->connection, page_size, doing, error);
    second_rc = connection_set_journal_mode(
        db->connection, "wal", "going back to WAL mode, after a change of page size, in", &second);
    if (rc == 0 && second_rc != 0)
        rc = error_set(error, second_rc, "%s", second.text);
    return rc;
}

int database_change_page_size(struct database *db, uint32_t page_size, struct error *error)
{
    struct database_state state;
    int rc;

    assert(db->transaction == NO_TRANSACTION && (db->flags & DATABASE_WRITE));
    if (!is_page_size(page_size))
        return error_set(error, ERR_PROTOCOL, "changing the page size of %s: %u is none", db->path,
                         page_size);
    rc = database_begin_read(db, &state, error);
    database_end(db);
    if (rc != 0 || state.page_count == 0 || state.page_size == page_size)
        return rc;
    /* A new connection, which has not been told to overlook what it cannot parse. */
    close_connection(db);
    rc = open_connection(db, error);
    if (rc != 0)
        return rc;
    rc = vacuum(db, page_size, state.is_wal, error);
    close_connection(db);
    if (rc != 0)
        return rc;
    rc = database_begin_read(db, &state, error);
    database_end(db);
    if (rc == 0 && state.page_size != page_size)
        rc = error_set(error, ERR_BUSY,
                       "changing the page size of %s: SQLite left it at %u; close the other "
                       "programs that use it",
                       db->path, state.page_size);
    return rc;
}
