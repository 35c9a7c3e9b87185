/*
 * receiver: the side of a sync that gets the new pages: describes what it has, takes the page stream, applies it in
 * one write transaction and proves the result before the commit.
 *
 * It speaks CELLS or HASHES, listens to ASK, PAGES and END. What comes is spooled, so that the write lock is held for the
 * apply alone, not for the transfer. Where there is no database yet, pages go straight to a new file
 * under a temporary name, which takes its place when proven (local_copy_open_partial).
 */
#ifndef LOCKSTEP_SYNC_RECEIVER_H
#define LOCKSTEP_SYNC_RECEIVER_H

#include <stdint.h>

#include "protocol/sync/party.h"
#include "protocol/wire/message.h"

struct local_copy;
struct receiver;

/*
 * copy: scanned with the session's key, with its partial open if it has no pages; borrowed until receiver_free. theirs: what
 * the sender has and this copy is to become; the page sizes are equal, or this copy has no pages. seed: fresh random bytes that the sender was or will be told.
 */
int receiver_new(struct receiver **receiver, struct local_copy *copy, const struct geometry *theirs,
                 const uint8_t seed[LINEAGE_SIZE], struct error *error);
void receiver_free(struct receiver *receiver);

/* PARTY_DONE once END has come: receiver_apply is next. */
enum party_status receiver_status(const struct receiver *receiver);

/* ASK, PAGES or END. ERR_PROTOCOL for anything else and for what does not fit; ERR_DISK_FULL, ERR_IO for the spool. */
int receiver_hear(struct receiver *receiver, const struct message *message, struct error *error);

/* The next part of what describes this copy's pages. */
int receiver_speak(struct receiver *receiver, struct buffer *out, struct error *error);

/*
 * Take the write lock, check that nobody changed the copy since the scan, write the pages, compare the root, call before_commit,
 * commit. ERR_MOVED: somebody did. ERR_VERIFY_FAILED: the result is not what the sender has. On failure nothing
 * has changed. On success copy's index, geometry and state are the new ones. before_commit may be NULL; what it returns ends
 * the apply.
 */
int receiver_apply(struct receiver *receiver, int (*before_commit)(void *arg, struct error *error), void *arg,
                   struct error *error);

/* Pages that were written. */
uint32_t receiver_pages(const struct receiver *receiver);

/* The version that END told. */
uint64_t receiver_version(const struct receiver *receiver);

#endif
