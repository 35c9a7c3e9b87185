/*
 * sender: the side of a sync that has the new pages, from the receiver's description to the end of the page stream.
 *
 * It listens to CELLS and HASHES, asks for more (ASK) until it knows which pages differ, then speaks PAGES and one END. Knowing the
 * receiver's hash of each, it builds on old pages where it can find them.
 * In WAL mode pages are read from the snapshot that was scanned, as fast as the link takes them. In rollback mode a
 * reader holds up writers, so all pages are first written to a spool, at the speed of the disk, and the
 * read transaction is over before the link is waited for.
 */
#ifndef LOCKSTEP_SYNC_SENDER_H
#define LOCKSTEP_SYNC_SENDER_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/sync/party.h"
#include "protocol/wire/message.h"

struct difference_page;
struct error;
struct local_copy;
struct meter;
struct page_index;
struct page_version;
struct sender;

/* Where old pages come from that the receiver has and this copy has not any more. */
struct old_pages {
    /*
     * If the page that had number pgno and this low half of a hash can be found, put it at page and set *known to 1. It is hashed
     * again by the sender. now: the page of that number as this copy has it; NULL for none, and without wants_now. find NULL: none are kept.
     */
    int (*find)(void *arg, uint32_t pgno, uint64_t hash_low, const struct page_version *now, uint8_t *page, int *known, struct error *error);
    void *arg;
    int wants_now;
};

struct sender_options {
    struct geometry theirs;         /* what the receiver has, hashed with the same key: of the same page size or of no pages */
    const uint8_t *seed;            /* of the receiver's sketch, LINEAGE_SIZE bytes; copied */
    const struct page_index *known; /* the receiver's hashes where they are known already: nothing is listened to; borrowed; else NULL */
    int build_on_nothing;           /* the receiver cannot fetch old pages */
    int is_dry;                     /* the page stream is made and counted, and not said */
    struct old_pages old;
    uint64_t version;               /* to be told in END */
    int level;                      /* zstd's, 0 for none */
    int stops;                      /* once the pages that differ are known, wait for sender_begin */
    struct meter *meter;            /* borrowed; NULL: nobody watches */
};

/* copy: scanned; borrowed until sender_free. options is copied. */
int sender_new(struct sender **sender, struct local_copy *copy, const struct sender_options *options, struct error *error);
void sender_free(struct sender *sender);

/* PARTY_WAITS where it stopped. PARTY_DONE once END is said. In WAL mode the snapshot is still held then. */
enum party_status sender_status(const struct sender *sender);

/* All that the bytes of a stream depend on, beside the new pages, the level and build_on_nothing. */
struct sender_difference {
    uint32_t common;                     /* pages that both sides have */
    const struct difference_page *pages; /* those of them that differ, ascending (page/difference.h) */
    size_t count;
    const uint64_t *beyond;              /* the receiver's hashes of its pages beyond the common ones */
    uint32_t beyond_count;               /* how many of these are known */
    uint32_t total;                      /* pages to be sent */
};

/* What was found, where it stopped: good as long as the sender. */
void sender_found(const struct sender *sender, struct sender_difference *difference);

/* Go on from there, with another copy that has the same scan, which is borrowed instead of the first from then on. */
int sender_begin(struct sender *sender, struct local_copy *copy, const struct old_pages *old, struct error *error);

/* CELLS or HASHES; ERR_PROTOCOL for anything else, or while not listening. */
int sender_hear(struct sender *sender, const struct message *message, struct error *error);

/* The next frame or few. ERR_MOVED: a writer changed the database since the scan (rollback mode only). */
int sender_speak(struct sender *sender, struct buffer *out, struct error *error);

/*
 * Whether it is known which of the pages that both sides have differ; *pages are these, *count of them, ascending, good until sender_free.
 * Who only wants to know them need not let the sender speak any more.
 */
int sender_differences(const struct sender *sender, const struct difference_page **pages, size_t *count);

/* Pages sent so far, and the bytes of their stream; of a dry run, counted. */
uint32_t sender_pages(const struct sender *sender);
uint64_t sender_bytes(const struct sender *sender);

#endif
