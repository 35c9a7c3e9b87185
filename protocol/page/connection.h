/*
 * connection: one SQLite connection to one file, told what Lockstep needs. Only database.c uses it; only connection.c
 * knows SQLite.
 *
 * - sqlite_dbpage is reached through a virtual table of our own in the temp schema: a database whose schema holds a real table
 *   with the name sqlite_dbpage would otherwise be read and written in place of its pages.
 * - Every statement makes SQLite parse the schema first. For one that this build cannot parse, writable_schema makes it go on with
 *   what it could. But writable_schema also makes SQLite accept a file that is shorter than its header says, so it is off while a
 *   transaction begins.
 * - A connection keeps to the text encoding that it saw first. Where the content has another now, ERR_NOT_A_DATABASE comes,
 *   and a new connection is needed.
 *
 * Errors of all functions: ERR_BUSY, ERR_DISK_FULL, ERR_IO, ERR_NOT_ALLOWED, ERR_NOT_A_DATABASE, ERR_INTERNAL, with a text
 * "DOING PATH: why".
 */
#ifndef LOCKSTEP_PAGE_CONNECTION_H
#define LOCKSTEP_PAGE_CONNECTION_H

#include <stdint.h>

struct connection;
struct error;

#define CONNECTION_WRITE  1u
#define CONNECTION_CREATE 2u

/*
 * Open the file; nothing is read yet. path names it in the texts of errors, borrowed for the connection's life. timeout_ms bounds each
 * wait for a lock. With CONNECTION_WRITE a file that cannot be written is ERR_NOT_ALLOWED.
 */
int connection_open(struct connection **connection, const char *path, const char *file, unsigned flags,
                    uint32_t timeout_ms, struct error *error);

/* From now on. */
void connection_set_timeout(struct connection *connection, uint32_t timeout_ms);

/* Undoes what is not committed. NULL is accepted. */
void connection_close(struct connection *connection);

/* Before the first transaction, again harmless: durable commits, a bounded cache, the table of pages. */
int connection_set_up(struct connection *connection, struct error *error);

/*
 * Open a transaction and take its lock: connection_write's is RESERVED. *data_version is what SQLite says of that name. On failure there
 * is none.
 */
int connection_begin_read(struct connection *connection, uint32_t *data_version, struct error *error);
int connection_begin_write(struct connection *connection, uint32_t *data_version, struct error *error);

/* End it: durably, or undoing what was written, which a failed commit does as well. Rolling back is harmless outside of one. */
int connection_commit(struct connection *connection, struct error *error);
void connection_roll_back(struct connection *connection);

/*
 * Outside of a transaction: copy what is in the WAL into the database, as far as no reader hinders it, so that neither the next writer nor
 * the close has to. Waits for nobody; what fails is left to them.
 */
void connection_checkpoint(struct connection *connection);

/* Run one statement; what its first row says is put in *value, where that is wanted. */
int connection_run(struct connection *connection, const char *sql, uint32_t *value, const char *doing,
                   struct error *error);

/* Whether the path leads to another file now than the one that was opened, or to none. Where that cannot be told: no. */
int connection_has_moved(struct connection *connection);

/*
 * Within a transaction: the bytes of page pgno, which must be there as the transaction began, and their number, the page size. They are
 * good until the next call.
 */
int connection_page(struct connection *connection, uint32_t pgno, const uint8_t **page, uint32_t *page_size,
                    struct error *error);

/* Called for each page in order; the lock-byte page comes as zeros. Non-zero ends the pass. */
typedef int connection_visit(void *arg, uint32_t pgno, const uint8_t *page, struct error *error);

/* One pass over all pages of the transaction that is open, of which there must be page_count, each of page_size. */
int connection_visit_pages(struct connection *connection, uint32_t page_count, uint32_t page_size,
                           connection_visit *visit, void *arg, struct error *error);

/*
 * Called for each page of each b-tree, tree after tree: its name, whether that is an index, of which table; overflow pages count as the
 * tree's that they hang on. The texts are good during the call. Non-zero ends the pass.
 */
typedef int connection_tree(void *arg, const char *name, int is_index, const char *table, uint32_t pgno, struct error *error);

/* One pass over the pages of all b-trees of the transaction that is open, by SQLite's own dbstat. */
int connection_visit_trees(struct connection *connection, connection_tree *visit, void *arg, struct error *error);

/*
 * Within a write transaction in WAL mode, before its first page: until its end pages are not read before they are written, and leave
 * SQLite's cache for the WAL early. Unless it is committed, the connection is to be closed after it: its cache may hold pages of zeros.
 */
int connection_write_to_wal(struct connection *connection, struct error *error);

/* Within a write transaction: write a page. SQLite does not see pages beyond the end as it was until the commit. */
int connection_write_page(struct connection *connection, uint32_t pgno, const uint8_t *page, uint32_t page_size,
                          struct error *error);

/*
 * The last thing before the commit: make the database end after page_count pages, where that is not 0 and less than there were, then
 * write page 1, where it is not NULL. In this order, for a new schema cookie in page 1 makes the next statement parse a schema; and the
 * truncation through a table of its own, for it is forgotten when another page is written through the same. Never in one statement
 * of two rows: that ends with a savepoint's release, where SQLite takes the page count from the new page 1 and sees nothing to cut.
 */
int connection_write_last(struct connection *connection, const uint8_t *page1, uint32_t page_size,
                          uint32_t page_count, struct error *error);

/*
 * Outside of a transaction, on a connection that was not set up, so that a schema that does not parse is an error and loses
 * nothing: VACUUM with another page size.
 */
int connection_vacuum(struct connection *connection, uint32_t page_size, const char *doing, struct error *error);

/* Outside of a transaction: set the journal mode ("wal", "delete"), waiting for other connections to let go. */
int connection_set_journal_mode(struct connection *connection, const char *mode, const char *doing,
                                struct error *error);

#endif
