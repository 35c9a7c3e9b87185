#include "protocol/sync/description.h"

#include <stdlib.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/le64.h"
#include "protocol/base/limits.h"
#include "protocol/page/difference.h"
#include "protocol/page/page_hash.h"

struct description {
    const struct page_index *index; /* borrowed */
    uint32_t common;                /* pages that both sides have */
    struct difference_describer *describer;
    struct difference_want want;    /* what is still to be said; count 0: nothing */
};

int description_new(struct description **description, const struct page_index *index, uint32_t other_count,
                    const uint8_t seed[LINEAGE_SIZE], struct error *error)
{
    struct description *new = calloc(1, sizeof(*new));
    int rc;

    *description = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->index = index;
    new->common = index->page_count < other_count ? index->page_count : other_count;
    new->want = difference_first_flight(new->common);
    rc = difference_describer_new(&new->describer, index->hashes, new->common, seed, error);
    if (rc != 0) {
        free(new);
        return rc;
    }
    *description = new;
    return 0;
}

void description_free(struct description *description)
{
    if (description == NULL)
        return;
    difference_describer_free(description->describer);
    free(description);
}

int description_speaks(const struct description *description)
{
    return description != NULL && description->want.count > 0;
}

/* The hashes of the pages that the other side has not; they are not the describer's. */
static int describe_beyond(const struct description *description, const struct difference_want *part, struct buffer *out,
                           struct error *error)
{
    const struct page_index *index = description->index;
    int rc = 0;

    if (part->first > index->page_count || part->count > index->page_count - part->first + 1)
        return error_set(error, ERR_PROTOCOL, "the hashes of pages beyond page %u were asked for, which is the last",
                         index->page_count);
    for (uint64_t pgno = part->first; rc == 0 && pgno < part->first + part->count; pgno++) {
        uint8_t bytes[DIFFERENCE_HASH_SIZE];

        le64_store(bytes, index->hashes[pgno - 1].low);
        rc = buffer_append(out, bytes, sizeof(bytes), error);
    }
    return rc;
}

int description_speak(struct description *description, struct buffer *out, struct error *error)
{
    int is_cells = description->want.kind == DIFFERENCE_CELLS;
    size_t unit = is_cells ? DIFFERENCE_CELL_SIZE : DIFFERENCE_HASH_SIZE;
    int is_beyond = !is_cells && description->want.first > description->common;
    struct difference_want part = description->want;
    struct message message = {.type = is_cells ? MESSAGE_CELLS : MESSAGE_HASHES};
    struct buffer bytes;
    int rc;

    if (part.count > LIMIT_CHUNK / unit)
        part.count = LIMIT_CHUNK / unit;
    if (!is_cells && !is_beyond && part.count > description->common - part.first + 1)
        part.count = description->common - part.first + 1;
    buffer_init(&bytes, LIMIT_CHUNK);
    if (is_beyond)
        rc = describe_beyond(description, &part, &bytes, error);
    else
        rc = difference_describe(description->describer, &part, &bytes, error);
    if (rc == 0 && is_cells) {
        message.cells.first = part.first;
        message.cells.data = bytes.data;
        message.cells.len = (uint32_t)bytes.len;
    } else if (rc == 0) {
        message.hashes.first = (uint32_t)part.first;
        message.hashes.data = bytes.data;
        message.hashes.len = (uint32_t)bytes.len;
    }
    if (rc == 0)
        rc = message_encode(&message, out, error);
    buffer_release(&bytes);
    description->want.first += part.count;
    description->want.count -= part.count;
    return rc;
}

void description_hear(struct description *description, const struct message_ask *ask)
{
    description->want.kind = ask->kind == ASK_CELLS ? DIFFERENCE_CELLS : DIFFERENCE_HASHES;
    description->want.first = ask->first;
    description->want.count = ask->count;
}
