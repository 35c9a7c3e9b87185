/*
 * description: tells the other side which pages this copy has, so that it can find those that differ: the first flight of CELLS or HASHES
 * unasked, then what each ASK asks for (difference.h).
 */
#ifndef LOCKSTEP_SYNC_DESCRIPTION_H
#define LOCKSTEP_SYNC_DESCRIPTION_H

#include <stdint.h>

#include "protocol/wire/message.h"

struct buffer;
struct description;
struct error;
struct page_index;

/*
 * Describe the pages of index, which is borrowed and must not change, to a side that has other_count pages; at least one is common. seed: of
 * the sketch; fresh random bytes of whoever receives.
 */
int description_new(struct description **description, const struct page_index *index, uint32_t other_count,
                    const uint8_t seed[LINEAGE_SIZE], struct error *error);
void description_free(struct description *description);

/* Whether there is something to say now. NULL has nothing to say. */
int description_speaks(const struct description *description);

/* Say the next part of it: one CELLS or HASHES of at most LIMIT_CHUNK bytes. */
int description_speak(struct description *description, struct buffer *out, struct error *error);

/* Take an ASK; what it asks for is said next. What cannot be asked for is refused as it is said: ERR_PROTOCOL. */
void description_hear(struct description *description, const struct message_ask *ask);

#endif
