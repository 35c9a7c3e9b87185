/*
 * receiver: the side of a sync that gets the new pages: describes what it has, takes the page stream, applies it in
 * one write transaction and proves the result before the commit.
 *
 * It speaks CELLS or HASHES, listens to ASK, PAGES and END. What comes is taken apart into whole pages (arrivals.h) and proven before
 * the write lock is taken, so that the lock is held for writing alone, not for the transfer. Pages of the stream can build on pages that the
 * copy had before: in WAL mode those are read from the snapshot of the scan while the stream comes; in rollback mode a reader would hold up
 * writers for the whole transfer, so the stream is spooled and taken apart when all is there. Where there is no database yet, pages go straight to a new file
 * under a temporary name, which takes its place when proven (local_copy_open_partial).
 *
 * A large pull that broke goes on from what arrived: its arrivals have a name, and as long as the copy is what it was, the next receiver
 * takes them for the copy's own pages: it describes them, builds on them, and writes them with what comes.
 */
#ifndef LOCKSTEP_SYNC_RECEIVER_H
#define LOCKSTEP_SYNC_RECEIVER_H

#include <stdint.h>

#include "protocol/sync/party.h"
#include "protocol/wire/message.h"

struct arrivals;
struct local_copy;
struct meter;
struct page_index;
struct page_version;
struct receiver;

/* What the user of a receiver wants to know of. Each may be NULL. A failure of theirs ends the apply, and nothing is changed. */
struct receiver_hooks {
    /* If all goes well page pgno, which is `before`, will be written over, and be `after`. */
    void (*replace)(void *arg, uint32_t pgno, const struct page_version *before, const struct page_version *after);
    /* What came is proven; nothing of it is written yet. Under the write lock, where there is a database. */
    int (*before_apply)(void *arg, struct error *error);
    void *arg;
    struct meter *meter; /* borrowed */
    int resumes; /* go on from what an earlier receiver left, and leave what arrived to the next */
};

/*
 * copy: scanned with the session's key, with its partial open if it has no pages; borrowed until receiver_free. theirs: what
 * the sender has and this copy is to become; the page sizes are equal, or this copy has no pages. seed: fresh random bytes
 * that the sender was or will be told. describe: 0 where the sender knows what differs and does not wait to be told. hooks: copied.
 */
int receiver_new(struct receiver **receiver, struct local_copy *copy, const struct geometry *theirs,
                 const uint8_t seed[LINEAGE_SIZE], int describe, const struct receiver_hooks *hooks, struct error *error);
void receiver_free(struct receiver *receiver);

/* What the receiver has and describes: the copy's pages, and those that an earlier attempt left. */
const struct geometry *receiver_geometry(const struct receiver *receiver);

/* PARTY_DONE once END has come: receiver_apply is next. */
enum party_status receiver_status(const struct receiver *receiver);

/*
 * ASK, PAGES or END. ERR_PROTOCOL for anything else and for what does not fit; ERR_DISK_FULL, ERR_IO; ERR_MOVED in rollback mode where
 * somebody changed the copy meanwhile. With END: ERR_VERIFY_FAILED where what came does not add up to what the sender has.
 */
int receiver_hear(struct receiver *receiver, const struct message *message, struct error *error);

/* The next part of what describes this copy's pages. */
int receiver_speak(struct receiver *receiver, struct buffer *out, struct error *error);

/*
 * Take the write lock, check that nobody changed the copy since the scan, write the pages, commit. ERR_MOVED: somebody did. On
 * failure nothing has changed. On success copy's index, geometry and state are the new ones, and receiver_old_index has the
 * former index.
 */
int receiver_apply(struct receiver *receiver, struct error *error);

/* After receiver_apply: the hashes of what the copy held before. Owned by the receiver. */
const struct page_index *receiver_old_index(const struct receiver *receiver);

/* After receiver_apply: the pages that were written, once more, in order (arrivals.h); NULL for a first copy, which got all. */
struct arrivals *receiver_arrivals(struct receiver *receiver);

/* Pages that were written. */
uint32_t receiver_pages(const struct receiver *receiver);

/* Bytes of the page stream that came. */
uint64_t receiver_bytes(const struct receiver *receiver);

/* The version that END told. */
uint64_t receiver_version(const struct receiver *receiver);

#endif
