/*
 * local_copy: the copy of the database on this machine: its file, its sidecar, and what a scan of it found.
 *
 * Both sides of a sync hold one. The scan reads every page once, in one read transaction. What it found stays
 * good as long as SQLite says that no other connection committed (database_data_version); local_copy_hold and
 * local_copy_lock check exactly that, so nothing has to stay locked in between.
 *
 * The scan can also be somebody else's, which is borrowed (local_copy_borrow). Then the copy's own connection cannot tell by itself whether
 * it sees what was scanned; whoever lends the scan says how that is proven.
 */
#ifndef LOCKSTEP_SYNC_LOCAL_COPY_H
#define LOCKSTEP_SYNC_LOCAL_COPY_H

#include <stdint.h>

#include "protocol/page/database.h"
#include "protocol/page/page_hash.h"
#include "protocol/sync/sidecar.h"
#include "protocol/wire/message.h"

struct error;
struct first_copy;
struct local_copy;
struct page_scan;

/* Whether the transaction that is open on copy->db sees what was scanned. Called by local_copy_hold and local_copy_lock. */
typedef int local_copy_prove(void *arg, struct local_copy *copy);

struct local_copy {
    char *path;                /* as given, for messages */
    char *real_path;           /* with symbolic links resolved; the file itself may be missing */
    struct database *db;       /* NULL while there is no file */
    struct sidecar *sidecar;
    int read_only;             /* this user may not write the file */
    uint32_t timeout_ms;
    struct sidecar_state book; /* as read at the last scan */
    struct database_state state;
    uint8_t hash_key[HASH_KEY_SIZE]; /* that the index was made with */
    struct page_index index;
    struct geometry geometry;  /* of the index */
    uint32_t data_version;     /* SQLite's, in a transaction of this connection that saw what was scanned */
    int is_proven;             /* there was one: data_version means something */
    struct page_scan *borrowed; /* whose hashes index has; NULL: they are the copy's own */
    local_copy_prove *prove;   /* for a borrowed scan; with prove_arg */
    void *prove_arg;
    int held;                  /* a read transaction is open that sees the scanned content */
    struct first_copy *partial; /* where there is no database yet: the one that is coming into being; NULL before local_copy_open_partial */
};

/*
 * Find the database at path and its sidecar. A missing file is not an error (copy->db stays NULL); a missing folder is.
 * timeout_ms bounds each wait for another program's lock. On failure *copy needs no release.
 */
int local_copy_open(struct local_copy *copy, const char *path, uint32_t timeout_ms, struct error *error);

void local_copy_release(struct local_copy *copy);

/*
 * The same in two steps: the first only resolves the path. What was scanned stays good over local_copy_disconnect, which ends the read
 * transaction, where the scan is a borrowed one; one's own is ERR_MOVED for local_copy_hold afterwards.
 */
int local_copy_name(struct local_copy *copy, const char *path, uint32_t timeout_ms, struct error *error);
int local_copy_connect(struct local_copy *copy, struct error *error);
void local_copy_disconnect(struct local_copy *copy);

/*
 * Instead of scanning: take over what scan says, one user more of which is kept. No read transaction is open afterwards. book: the sidecar's,
 * copied.
 */
void local_copy_borrow(struct local_copy *copy, struct page_scan *scan, const struct sidecar_state *book, local_copy_prove *prove,
                       void *arg);

/* Exchange the index: the copy has what *index had, and *index what the copy had, or nothing where that was borrowed. */
void local_copy_swap_index(struct local_copy *copy, struct page_index *index);

/* ERR_NOT_ALLOWED where the file is there and may only be read. */
int local_copy_check_writable(const struct local_copy *copy, struct error *error);

/*
 * Read the sidecar and hash the whole database with key. In WAL mode the snapshot is kept (held), because that hinders
 * nobody; in rollback mode it is let go, so that writers can commit. ERR_BUSY, ERR_NOT_A_DATABASE, ERR_IO.
 */
int local_copy_scan(struct local_copy *copy, const uint8_t key[HASH_KEY_SIZE], struct error *error);

/* Make sure that a read transaction is open that sees what was scanned. ERR_MOVED where somebody committed since. */
int local_copy_hold(struct local_copy *copy, struct error *error);

/* Scan again, and keep the read transaction in every journal mode, until local_copy_let_go. */
int local_copy_scan_and_hold(struct local_copy *copy, struct error *error);

/*
 * Where there is no database: open the file that it will come into being in (first_copy.h). With resume, what an earlier attempt left in
 * it, of this page size, counts as this copy's pages from now on, hashed with the key of the last scan. ERR_BUSY: another
 * process is at it.
 */
int local_copy_open_partial(struct local_copy *copy, uint32_t page_size, int resume, struct error *error);

/* Put the finished partial into the place of the database and open it. */
int local_copy_finish_partial(struct local_copy *copy, uint32_t page_count, struct error *error);

/* After a commit: leave nothing in the WAL that could be in the database, and close that; its sidecar stays open. */
void local_copy_close_database(struct local_copy *copy);

/* End the read transaction, if one is open. */
void local_copy_let_go(struct local_copy *copy);

/*
 * Open a write transaction on exactly the scanned content. Where SQLite says that somebody committed since, everything is
 * hashed again, because not every commit changes content. ERR_MOVED where the content did change; the write
 * transaction is then over. End it with database_commit or database_end.
 */
int local_copy_lock(struct local_copy *copy, struct error *error);

/*
 * Rebuild the file, if nobody changed it since the scan (ERR_MOVED), with another page size; its content stays. Scans it again, keeps
 * the read transaction in every journal mode, and notes in the sidecar that this is what became of the content before.
 */
int local_copy_change_page_size(struct local_copy *copy, uint32_t page_size, struct error *error);

/*
 * Whether the scanned content is the base: what the origin gave, or took, last. If not, and there is content, it has
 * changes that were never pushed. Meaningful when the scan was made with the lineage's key.
 */
int local_copy_is_at_base(const struct local_copy *copy);

#endif
