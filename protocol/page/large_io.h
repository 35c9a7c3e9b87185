/*
 * large_io: an SQLite VFS over the default one that, while it is told to, reads and writes a database's files in
 * large pieces. SQLite does so page by page, and with 4 KiB pages the system calls take as long as all the rest.
 *
 * Reading ahead: reads that follow one another are answered from a piece of 256 KiB, or, where they leave out no more than 32 KiB, of 64 KiB. That
 * is sound only within one transaction: SQLite reads a page from the database file only if no writer can change it there before the transaction
 * ends (in rollback mode by its SHARED lock, in WAL mode because no checkpoint passes a reader's
 * mark). The same holds for the frames of the WAL that a checkpoint copies, until it ends. So the piece is
 * dropped at both ends, and at any lock, write or truncation in between.
 *
 * Writing behind: writes that follow one another are held until there are 64 KiB of them, or anything else is done with that file or is
 * asked of it. So all is written before an fsync, and SQLite, set to synchronous FULL or EXTRA, does nothing that others can see
 * before the fsync of what it rests on. A piece that could not be written fails the next write, read or fsync, upon which SQLite
 * undoes the transaction. Of a WAL that grows by more than 4 MiB the kernel is told early to write it to the disk (writeback.h), so that the fsync
 * of the commit, during which all other writers wait, is short.
 *
 * Overwriting: before SQLite writes a page, it reads what that held, also where all of it is replaced. In WAL mode nobody looks at that: what is
 * rolled back is read again. So the read is answered with zeros. A page that then cannot be made ready
 * to be written stays in SQLite's cache like that: the connection must be closed with a transaction that failed. In rollback mode what is read is what the
 * journal gets, and must not be left out.
 *
 * All else goes to the default VFS. On the scattered updates of bench/ (25,783 pages) 51,566 writes of the WAL became 1,700, and
 * took 0.15 s of processor time together with the rest of the INSERTs, instead of 0.17; what the checkpoint saves was lost in the noise.
 */
#ifndef LOCKSTEP_PAGE_LARGE_IO_H
#define LOCKSTEP_PAGE_LARGE_IO_H

#include <stdint.h>

struct sqlite3;

/* The VFS's name, for sqlite3_open_v2; NULL where it cannot be had, which means the default VFS. */
const char *large_io_vfs(void);

/* On a connection that was opened with that VFS; harmless on another. */

/* Within one transaction, before it writes: read the database file ahead, in pieces of 256 KiB. */
void large_io_read_ahead(struct sqlite3 *handle);

/* Instead, within one transaction: pages that are read in order, but not all of them; smaller pieces, also where some pages are left out. */
void large_io_read_near(struct sqlite3 *handle);

/* Within one write transaction, with synchronous FULL or EXTRA: write the database file and its WAL behind. */
void large_io_write_behind(struct sqlite3 *handle);

/* A page of a database: its place in the database file, and its size, both in bytes. */
struct large_io_page {
    int64_t offset;
    int len;
};

/* Within one write transaction in WAL mode: the next statement writes this whole page, and need not read it before; len 0: no longer. Copied. */
void large_io_overwrite(struct sqlite3 *handle, const struct large_io_page *page);

/* The same around a checkpoint, whose reads of the WAL are read ahead, too. */
void large_io_checkpoint(struct sqlite3 *handle);

/* The end of all of them. */
void large_io_end(struct sqlite3 *handle);

#endif
