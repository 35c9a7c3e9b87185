/*
 * read_ahead: an SQLite VFS over the default one that, while it is told to, reads a database file in large pieces.
 *
 * A scan of a whole database asks for one page after the other; with 4 KiB pages the system calls take as long as hashing. Between
 * read_ahead_begin and read_ahead_end, reads that follow one another are answered from a piece of 256 KiB. That is sound only within one read
 * transaction: SQLite reads a page from the database file only if no writer can change it there before the transaction
 * ends (in rollback mode by its SHARED lock, in WAL mode because no checkpoint passes a reader's mark). So the piece is dropped at both ends,
 * and at any lock, write or truncation in between. All else goes to the default VFS.
 *
 * Measured with 456 MB of 4 KiB pages in the page cache: see the head of read_ahead.c.
 */
#ifndef LOCKSTEP_PAGE_READ_AHEAD_H
#define LOCKSTEP_PAGE_READ_AHEAD_H

struct sqlite3;

/* The VFS's name, for sqlite3_open_v2; NULL where it cannot be had, which means the default VFS. */
const char *read_ahead_vfs(void);

/* On a connection that was opened with that VFS; harmless on another. Within one read transaction. */
void read_ahead_begin(struct sqlite3 *handle);
void read_ahead_end(struct sqlite3 *handle);

#endif
