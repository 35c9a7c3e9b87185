/*
 * arrivals: pages that came for a database and wait on disk until they are written into it.
 *
 * They are taken out of the page stream, proven, and kept here before the write lock is taken, so that the lock is
 * held for writing alone. A page that is like the one that it replaces is kept as what differs from that (page_delta.h), which is there again when it is
 * written: to put 105 MB of whole pages into a file took 0.26 of the 1.73 s of processor time of a pull, most of it for the memory of the kernel's cache.
 * The file has no name: nothing is left behind however the process ends.
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

/* Reads page pgno as it was before any of the arrivals is written. */
typedef int arrivals_fetch(void *arg, uint32_t pgno, uint8_t *page, struct error *error);

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

/*
 * Keep page pgno. old: what it replaces, NULL where that is not known, or where fetch would not have it: for a page that came before, and for
 * page 1. Not between arrivals_next and arrivals_rewind. ERR_DISK_FULL.
 */
int arrivals_add(struct arrivals *arrivals, uint32_t pgno, const uint8_t *page, const uint8_t *old, struct error *error);

/* How many pages were given with what they replace, and how many of them are like that: is it worth reading? */
void arrivals_likeness(const struct arrivals *arrivals, uint64_t *given, uint64_t *alike);

/* Where pages that are like old ones find these from now on. */
void arrivals_build_on(struct arrivals *arrivals, arrivals_fetch *fetch, void *arg);

/* Read from the first page on. */
void arrivals_rewind(struct arrivals *arrivals);

/*
 * The next page in the order in which they came: *pgno, 0 after the last, and its bytes, good until the next call. ERR_IO, with which an earlier
 * process's pages end; the errors of fetch.
 */
int arrivals_next(struct arrivals *arrivals, uint32_t *pgno, const uint8_t **page, struct error *error);

/* Where in the file what arrivals_next gave last begins; after its 0 or its failure: what it did not give. */
uint64_t arrivals_place(const struct arrivals *arrivals);

/* How many pages arrivals_next gave since it began, and arrivals_add took. */
uint64_t arrivals_count(const struct arrivals *arrivals);

/* The page that begins at this place to `page`. Not between arrivals_next and arrivals_rewind. */
int arrivals_read(struct arrivals *arrivals, uint64_t place, uint8_t *page, struct error *error);

/* Forget what stands behind this end, and go on there. ERR_IO. */
int arrivals_cut(struct arrivals *arrivals, uint64_t end, struct error *error);

#endif
