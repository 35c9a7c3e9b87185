/*
 * writeback: has the kernel write a file to the disk while more of it is being made, so that the fsync in the end finds little left.
 *
 * For a file that grows by many megabytes and is then synced while others wait: the kernel of itself begins only when a tenth of
 * the memory is dirty. A thread calls sync_file_range(2) on what was noted, a MiB or more at a time; that call can wait for the disk. It
 * promises nothing: the fsync is still what makes bytes durable, and an error of the disk is told to each descriptor, so also to the
 * one that is synced. On the WAL of 107 MB of bench/'s scattered updates the fsync took 1 ms instead of 55.
 */
#ifndef LOCKSTEP_PAGE_WRITEBACK_H
#define LOCKSTEP_PAGE_WRITEBACK_H

#include <stdint.h>

struct writeback;

/*
 * For the file at path, from byte `from` on. NULL where it cannot be done, which the other functions accept. Not for a file on which the process
 * holds POSIX locks: it is opened and closed here, and that lets go of them.
 */
struct writeback *writeback_new(const char *path, uint64_t from);

/* All bytes before `to` have been written to the file by write(2). */
void writeback_note(struct writeback *writeback, uint64_t to);

/* Waits for a call that is under way. */
void writeback_free(struct writeback *writeback);

#endif
