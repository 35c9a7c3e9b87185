/*
 * arrivals: whole pages that came for a database and wait on disk until they are written into it.
 *
 * They are taken out of the page stream, proven, and kept here before the write lock is taken, so that the lock is
 * held for writing alone. The file has no name: nothing is left behind however the process ends.
 */
#ifndef LOCKSTEP_PAGE_ARRIVALS_H
#define LOCKSTEP_PAGE_ARRIVALS_H

#include <stdint.h>

struct arrivals;
struct error;

/* For pages of page_size bytes, in the folder of the file `beside`. ERR_NOT_ALLOWED: no file can be made there. */
int arrivals_new(struct arrivals **arrivals, const char *beside, uint32_t page_size, struct error *error);
void arrivals_free(struct arrivals *arrivals);

/* Keep page pgno. Not after arrivals_next. ERR_DISK_FULL. */
int arrivals_add(struct arrivals *arrivals, uint32_t pgno, const uint8_t *page, struct error *error);

/* Read from the first page on. */
void arrivals_rewind(struct arrivals *arrivals);

/* The next page in the order in which they came: *pgno, 0 after the last, and its bytes, good until the next call. */
int arrivals_next(struct arrivals *arrivals, uint32_t *pgno, const uint8_t **page, struct error *error);

#endif
