/*
 * history: the origin's page-version log: the old content of the pages that each accepted push replaced, so that a replica
 * that has them still can be sent patches instead of pages.
 *
 * It is found by page number and hash, which the replica's sketch tells, so a pull needs no state of its own. It is
 * bounded in bytes; whole versions are dropped, oldest first. It lives in "<db>-lockstep-history", apart from the sidecar, because
 * nothing depends on it: it is written without fsync, and one that is damaged is thrown away and begun anew.
 */
#ifndef LOCKSTEP_SYNC_HISTORY_H
#define LOCKSTEP_SYNC_HISTORY_H

#include <stdint.h>

struct error;
struct history;

/* A page and the low half of its hash. */
struct page_version {
    const uint8_t *page; /* borrowed */
    uint64_t hash_low;
};

/*
 * Attach to the history of the database whose path, symbolic links resolved, is real_path. Nothing is read or made yet. max_bytes: what it may
 * hold, compressed; 0: it is removed and nothing is kept. ERR_INTERNAL: memory ran out.
 */
int history_open(struct history **history, const char *real_path, uint64_t max_bytes, struct error *error);

/* Undoes a version that was begun and not ended. NULL is accepted. */
void history_free(struct history *history);

/* ---- a push ---- */

/* Begin to keep what the push that makes `version` replaces. A failure, here and below, only means that nothing is kept. */
void history_begin(struct history *history, uint64_t version, uint32_t page_size);

/* Page pgno is `before` and will be `after`. */
void history_add(struct history *history, uint32_t pgno, const struct page_version *before, const struct page_version *after);

/* The push is committed: keep it, and drop the oldest versions that there is no room for any more. */
void history_end(struct history *history);

/* ---- a pull ---- */

/*
 * Old page pgno with that hash: page_size bytes to page. now: the page as the database has it; NULL where it has it no more. Returns whether
 * it is kept; the caller hashes it again.
 */
int history_find(struct history *history, uint32_t pgno, uint64_t hash_low, const struct page_version *now, uint32_t page_size,
                 uint8_t *page);

#endif
