#include "protocol/page/page_moves.h"

#include <stdlib.h>

#include "protocol/base/error.h"

struct page_moves {
    page_moves_hash *hash;
    void *arg;
    uint64_t mask;   /* slots - 1, slots being a power of two */
    uint32_t *slots; /* page numbers, 0 for a free one */
};

int page_moves_new(struct page_moves **moves, uint32_t page_count, page_moves_hash *hash, void *arg,
                   struct error *error)
{
    struct page_moves *m = calloc(1, sizeof(*m));
    uint64_t slots = 16;

    while (slots < (uint64_t)page_count + page_count / 2)
        slots *= 2;
    if (m != NULL)
        m->slots = calloc(slots, sizeof(*m->slots));
    *moves = m;
    if (m == NULL || m->slots == NULL) {
        page_moves_free(m);
        *moves = NULL;
        return error_set(error, ERR_INTERNAL, "out of memory for an index of %lu pages",
                         (unsigned long)page_count);
    }
    m->hash = hash;
    m->arg = arg;
    m->mask = slots - 1;
    for (uint64_t pgno = 2; pgno <= page_count; pgno++) {
        uint64_t h = hash(arg, (uint32_t)pgno);
        uint64_t i = h & m->mask;

        if (h == 0)
            continue;
        while (m->slots[i] != 0 && hash(arg, m->slots[i]) != h)
            i = (i + 1) & m->mask;
        if (m->slots[i] == 0)
            m->slots[i] = (uint32_t)pgno;
    }
    return 0;
}

void page_moves_free(struct page_moves *moves)
{
    if (moves == NULL)
        return;
    free(moves->slots);
    free(moves);
}

uint32_t page_moves_find(const struct page_moves *moves, uint64_t hash)
{
    if (hash == 0)
        return 0;
    for (uint64_t i = hash & moves->mask; moves->slots[i] != 0; i = (i + 1) & moves->mask) {
        if (moves->hash(moves->arg, moves->slots[i]) == hash)
            return moves->slots[i];
    }
    return 0;
}
