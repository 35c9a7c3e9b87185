/*
 * sender: the side of a sync that has the new pages, from the receiver's description to the end of the page stream.
 *
 * It listens to CELLS and HASHES, asks for more (ASK) until it knows which pages differ, then speaks PAGES and one END.
 * In WAL mode pages are read from the snapshot that was scanned, as fast as the link takes them. In rollback mode a
 * reader holds up writers, so all pages are first written to a spool, at the speed of the disk, and the
 * read transaction is over before the link is waited for.
 */
#ifndef LOCKSTEP_SYNC_SENDER_H
#define LOCKSTEP_SYNC_SENDER_H

#include <stdint.h>

#include "protocol/sync/party.h"
#include "protocol/wire/message.h"

struct local_copy;
struct sender;

/*
 * copy: scanned; borrowed until sender_free. theirs: what the receiver has, hashed with the same key, of the same page
 * size or of no pages. seed: of the receiver's sketch. version: to be told in END. level: zstd's, 0 for none.
 */
int sender_new(struct sender **sender, struct local_copy *copy, const struct geometry *theirs,
               const uint8_t seed[LINEAGE_SIZE], uint64_t version, int level, struct error *error);
void sender_free(struct sender *sender);

/* PARTY_DONE once END is said. */
enum party_status sender_status(const struct sender *sender);

/* CELLS or HASHES; ERR_PROTOCOL for anything else, or while not listening. */
int sender_hear(struct sender *sender, const struct message *message, struct error *error);

/* The next frame or few. ERR_MOVED: a writer changed the database since the scan (rollback mode only). */
int sender_speak(struct sender *sender, struct buffer *out, struct error *error);

/* Pages sent so far. */
uint32_t sender_pages(const struct sender *sender);

#endif
