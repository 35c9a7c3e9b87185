#include "protocol/page/page_delta.h"

#include <assert.h>
#include <string.h>

/* Words that are compared at once; a run ends where one is the same. */
#define WORD 8u

struct run {
    uint16_t same; /* bytes before it that are the same */
    uint16_t len;
};

static int same_word(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, WORD) == 0;
}

int page_delta_make(const uint8_t *old, const uint8_t *page, uint32_t page_size, uint8_t *delta,
                    size_t max, size_t *len)
{
    uint32_t end = 0; /* of the last run */

    assert(page_size % WORD == 0 && max < page_size);
    *len = 0;
    for (uint32_t at = 0; at < page_size; at += WORD) {
        uint32_t first = at;
        struct run run;

        if (same_word(old + at, page + at))
            continue;
        while (at < page_size && !same_word(old + at, page + at))
            at += WORD;
        run = (struct run){(uint16_t)(first - end), (uint16_t)(at - first)};
        if (at - first > max || sizeof(run) + run.len > max - *len)
            return 0;
        memcpy(delta + *len, &run, sizeof(run));
        memcpy(delta + *len + sizeof(run), page + first, run.len);
        *len += sizeof(run) + run.len;
        end = at;
    }
    return 1;
}

int page_delta_apply(uint8_t *page, uint32_t page_size, const uint8_t *delta, size_t len)
{
    uint32_t at = 0;

    while (len > 0) {
        struct run run;

        if (len < sizeof(run))
            return 0;
        memcpy(&run, delta, sizeof(run));
        delta += sizeof(run);
        len -= sizeof(run);
        if (run.len > len || run.same > page_size - at || run.len > page_size - at - run.same)
            return 0;
        at += run.same;
        memcpy(page + at, delta, run.len);
        at += run.len;
        delta += run.len;
        len -= run.len;
    }
    return 1;
}
