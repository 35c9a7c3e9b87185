/*
 * arrivals: whole pages that came for a database and wait on disk until they are written into it.
 *
 * They are taken out of the page stream, proven, and kept here before the write lock is taken, so that the lock is
 * held for writing alone. The file has no name: nothing is left behind however the process ends.
 *
 * Those of a pull can have a name instead, "<db>.lockstep-pull": then what arrived of a pull that broke is there for the next one
 * (receiver.h), as long as the database is what it was. Nothing in that file is trusted: it is hashed, and the root decides.
 */
#ifndef LOCKSTEP_PAGE_ARRIVALS_H
#define LOCKSTEP_PAGE_ARRIVALS_H

#include <stdint.h>

#include "protocol/page/page_hash.h"

struct arrivals;
struct error;

/* For pages of page_size bytes, in the folder of the file `beside`. ERR_NOT_ALLOWED: no file can be made there. */
int arrivals_new(struct arrivals **arrivals, const char *beside, uint32_t page_size, struct error *error);

/*
 * The same in the file with the name. root: of the database as it is. Pages that an earlier process kept there with this page size and
 * this root are the first of arrivals_next. ERR_BUSY: another process has it; ERR_NOT_ALLOWED.
 */
int arrivals_open(struct arrivals **arrivals, const char *real_path, uint32_t page_size, const uint8_t root[PAGE_ROOT_SIZE],
                  struct error *error);

/* NULL is accepted. A file with a name stays for the next attempt if it is worth that. */
void arrivals_free(struct arrivals *arrivals);

/* The pages are of no use to a next attempt: their file loses its name. They can still be read. */
void arrivals_discard(struct arrivals *arrivals);

/* Keep page pgno. Not between arrivals_next and arrivals_rewind. ERR_DISK_FULL. */
int arrivals_add(struct arrivals *arrivals, uint32_t pgno, const uint8_t *page, struct error *error);

/* Read from the first page on. */
void arrivals_rewind(struct arrivals *arrivals);

/* The next page in the order in which they came: *pgno, 0 after the last, and its bytes, good until the next call. */
int arrivals_next(struct arrivals *arrivals, uint32_t *pgno, const uint8_t **page, struct error *error);

/* How many pages are there. */
uint64_t arrivals_count(const struct arrivals *arrivals);

/* Page number `record` of those that came, from 0, to page; it must be one that arrivals_next gave before the last
 * arrivals_rewind. Not between arrivals_next and arrivals_rewind. */
int arrivals_read(struct arrivals *arrivals, uint32_t record, uint8_t *page, struct error *error);

/* Forget all but the first `records`, and add behind them. ERR_IO. */
int arrivals_cut(struct arrivals *arrivals, uint32_t records, struct error *error);

#endif
