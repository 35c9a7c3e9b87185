/*
 * kept_base: the content of the last pull or push, beside the database in "<db>-lockstep-base", so that the next push can be made
 * of patches against it.
 *
 * Nothing depends on it: each page that is read from it is compared with the hash that the sidecar has of the base's page, and a page that
 * is not that, after a crash or because somebody meddled, only goes over whole. So it is written without fsync.
 *
 * It comes into being as a reflink of the database, where the file system can, else as a copy where twice the database's size is free,
 * else not at all; afterwards it gets the same pages as the database. While the database itself comes into being, the copy is written at the
 * same time, which costs half of what it costs later.
 */
#ifndef LOCKSTEP_REPLICA_KEPT_BASE_H
#define LOCKSTEP_REPLICA_KEPT_BASE_H

#include <stdint.h>

struct error;
struct kept_base;

enum kept_base_mode { KEPT_BASE_AUTO, KEPT_BASE_REFLINK, KEPT_BASE_COPY, KEPT_BASE_NONE };

/* "auto", "reflink", "copy" or "none". ERR_USAGE. */
int kept_base_read_mode(const char *text, enum kept_base_mode *mode, struct error *error);

/* Open the base of the database at real_path. *base is NULL where there is none; that is no failure, and neither is one that cannot be opened. */
void kept_base_open(struct kept_base **base, const char *real_path, uint32_t page_size);
void kept_base_free(struct kept_base *base);

/* Read page pgno to page. Returns whether it is there; whether it is the right one, only its hash tells. */
int kept_base_read_page(struct kept_base *base, uint32_t pgno, uint8_t *page);

/* Write page pgno. A failure makes the base forget that page at most. */
void kept_base_write_page(struct kept_base *base, uint32_t pgno, const uint8_t *page);

/* End the base after page_count pages. */
void kept_base_truncate(struct kept_base *base, uint32_t page_count);

/*
 * A first copy begins: from is the descriptor of the file, still empty, that will become the database at real_path, of `size` bytes. Returns
 * a descriptor for what is to be written to the base as well, which the caller closes; -1 where the base is rather made later, or not at all.
 */
int kept_base_begin(const char *real_path, int from, enum kept_base_mode mode, uint64_t size);

/* The first copy failed: remove what was begun. */
void kept_base_abandon(const char *real_path);

/*
 * Make a base of the database at real_path, which was just synced, unless one is there, or let the one that was begun have its name; with KEPT_BASE_NONE, remove it. This process must
 * have no connection to the database open. What cannot be made is left out; with KEPT_BASE_REFLINK or _COPY that is ERR_IO or ERR_DISK_FULL.
 */
int kept_base_make(const char *real_path, enum kept_base_mode mode, struct error *error);

#endif
