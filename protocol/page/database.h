/*
 * database: the pages of one SQLite database, read and written through SQLite itself.
 *
 * Pages come from and go to the sqlite_dbpage table, inside ordinary transactions of one connection: SQLite
 * does the locking, the journal, the WAL and the crash recovery, and live readers and writers of other
 * programs go on. Nothing here opens the file by other means while the connection is open: closing any
 * descriptor of it would drop this process's POSIX locks.
 *
 * A database object is used by one thread at a time. All waits for other programs' locks end after the
 * time-out with ERR_BUSY.
 */
#ifndef LOCKSTEP_PAGE_DATABASE_H
#define LOCKSTEP_PAGE_DATABASE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/page/page_hash.h"

struct error;
struct page_owners;
struct database;

#define DATABASE_WRITE  1u /* will be written; the file may be read-only otherwise */
#define DATABASE_CREATE 2u /* with DATABASE_WRITE: a missing file is made (empty) */

/*
 * Open the database at path (any file name: no URI syntax, spaces and UTF-8 are fine). ERR_NO_DATABASE: no
 * file there. ERR_NOT_A_DATABASE: a directory, or bytes that are no database or a truncated one, found when first read.
 * ERR_NOT_ALLOWED: no permission. timeout_ms bounds each later wait for a lock.
 */
int database_open(struct database **db, const char *path, unsigned flags, uint32_t timeout_ms, struct error *error);

/* Ends any transaction (undoing what was written) and closes. NULL is accepted. */
void database_free(struct database *db);

/* Bound each wait for a lock by so many milliseconds from now on. */
void database_set_timeout(struct database *db, uint32_t timeout_ms);

/* Whether its path leads to another file now than the one that is open, or to none. */
int database_has_moved(struct database *db);

/* The path as given, and with symbolic links resolved, which names the WAL and the sidecar. */
const char *database_path(const struct database *db);
const char *database_real_path(const struct database *db);

/* What the header of page 1 and SQLite say, within the transaction that is open. */
struct database_state {
    uint32_t page_size;   /* bytes; 0 for an empty file */
    uint32_t page_count;  /* 0 for an empty file */
    int is_wal;           /* journal mode is WAL */
    int is_empty;         /* no pages, or not a single row in sqlite_schema */
};

/*
 * Open a read transaction, so that what follows sees one state of the database (a snapshot). In WAL mode it
 * hinders nobody; else writers of other programs wait with their commit until database_end. ERR_NOT_A_DATABASE: also for a file
 * shorter than its pages. ERR_NOT_ALLOWED: a WAL database in a directory where no -shm file can be made, or what a dead writer left cannot
 * be undone, for lack of permission.
 */
int database_begin_read(struct database *db, struct database_state *state, struct error *error);

/*
 * Open a write transaction (BEGIN IMMEDIATE). Not from within a read transaction. ERR_BUSY after the time-out; ERR_NOT_ALLOWED where
 * the directory cannot be written.
 */
int database_begin_write(struct database *db, struct database_state *state, struct error *error);

/* End the transaction, undoing what was written. Harmless outside of one. */
void database_end(struct database *db);

/*
 * Commit what was written, durably (synchronous EXTRA). On failure the transaction is undone and over: ERR_BUSY, ERR_DISK_FULL, ERR_IO, or
 * ERR_NOT_A_DATABASE where page 1 speaks of another page count than there would be. Where SQLite could write but not finish
 * (ERR_IO), the next one to open the database may find either state; the root tells. Nothing is committed where nothing was written.
 */
int database_commit(struct database *db, struct error *error);

/* After a commit, outside of a transaction: connection_checkpoint, in WAL mode. Harmless at any other time. */
void database_checkpoint(struct database *db);

/*
 * SQLite's own word on whether other connections committed anything: the value changes when they did. Two equal
 * values, each read inside a transaction of this object, prove that the content is the same in both, apart from what
 * database_commit wrote itself. (PRAGMA data_version, counted on over new connections.) The value may change where no content
 * did: after another connection's checkpoint, rollback, or change and change back, and after database_change_page_size.
 */
int database_data_version(struct database *db, uint32_t *value, struct error *error);

/*
 * Hash every page within the open transaction into *index (which is released first). One pass, about 1.5 GB/s;
 * needs 16 bytes a page. `progress`, which may be NULL, is called with its argument every 4096 pages; non-zero from
 * it stops the scan with ERR_TIMEOUT.
 */
int database_scan(struct database *db, const struct page_hasher *hasher, struct page_index *index,
                  int (*progress)(void *, uint32_t done), void *progress_arg, struct error *error);

/*
 * Within the open transaction: find out which table or index each page belongs to. *owners is filled (page_owners.h); on failure it
 * needs no release. Reads the inner pages of every b-tree, and the leaves of those with overflow pages. ERR_NOT_A_DATABASE where
 * the schema does not parse or a b-tree is damaged.
 */
int database_find_owners(struct database *db, struct page_owners *owners, struct error *error);

/* SHA-256 over page size, page count (4 bytes each, big-endian) and every page's bytes, page_clear_volatile'd. For `verify`. */
int database_digest(struct database *db, uint8_t sha256[32], struct error *error);

/*
 * Copy page pgno to page (page_size bytes of room). The lock-byte page reads as zeros. Within a write transaction it is what was
 * written, if it was; pages beyond the end as the transaction began cannot be read before the commit. Page 1 comes with its true page
 * count in bytes 28-31, also where an old SQLite has left those stale, here and in database_scan and database_digest.
 * ERR_PROTOCOL: there is no such page.
 */
int database_read_page(struct database *db, uint32_t pgno, uint8_t *page, struct error *error);

/*
 * Write page pgno, within a write transaction; page numbers may go beyond the end, without gaps when ascending. Page 1's
 * volatile bytes are taken from what the database had (its journal mode stays what it was). The lock-byte page
 * is skipped. An empty file takes page_size from the first page written, which must be page 1; for that the lock is let go
 * and taken again, with ERR_MOVED where somebody else has written in between. Errors, after which the transaction is to be ended:
 * ERR_PROTOCOL for a page number that leaves a gap or lies behind where database_truncate said; ERR_PAGE_SIZE; ERR_NOT_A_DATABASE for a page
 * 1 that begins none of that page size; ERR_BUSY where a reader without WAL stays for longer than the time-out and SQLite's cache
 * is full; ERR_DISK_FULL, ERR_IO, ERR_NOT_ALLOWED.
 */
int database_write_page(struct database *db, uint32_t pgno, const uint8_t *page, uint32_t page_size, struct error *error);

/*
 * Make the database end after page_count pages (at least 1), within a write transaction: what was written stays below. ERR_PROTOCOL for more
 * than there are.
 */
int database_truncate(struct database *db, uint32_t page_count, struct error *error);

/*
 * Rebuild the file with another page size, in SQLite's own transaction (VACUUM; journal mode is left and restored
 * around it). Content stays. ERR_BUSY while any other connection is open in WAL mode. ERR_NOT_A_DATABASE where the schema does not parse:
 * VACUUM would lose part of it. A crash in the middle leaves the content whole, in one page size or the other, perhaps without WAL.
 */
int database_change_page_size(struct database *db, uint32_t page_size, struct error *error);

#endif
