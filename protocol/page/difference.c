/*
 * difference: see difference.h.
 */
#include "protocol/page/difference.h"

#include <stdlib.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/le64.h"
#include "protocol/page/difference_finder.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/power_sums.h"
#include "protocol/page/sketch.h"
#include "protocol/page/sketch_finder.h"
#include "protocol/page/sums_finder.h"

#define PIECE 256 /* cells that are made together */

_Static_assert(DIFFERENCE_FIRST_CELLS == SKETCH_FIRST_CELLS, "the first flight is the first tier");
_Static_assert(DIFFERENCE_SEED_SIZE == SKETCH_SEED_SIZE, "one seed");
_Static_assert(DIFFERENCE_SUMS_PAGES + 1 >= SKETCH_PAGES_MIN, "many pages are enough");

struct difference_describer {
    struct power_sums sums; /* of few pages, once they are asked for */
    struct sketch_key key;  /* of many */
    struct sketch sketch;
    const struct page_hash *hashes; /* borrowed */
    uint32_t pages;
    uint64_t cells_max;
    uint64_t next_cell; /* number of the first cell not yet described */
    uint64_t next_hash; /* the same of hashes; 0 before the list begins */
    uint32_t *order; /* owned; of the list that leaves out anchors; NULL for one in the order of the
                        pages */
};

static int has_sketch(uint32_t pages)
{
    return pages > DIFFERENCE_SUMS_PAGES;
}

struct difference_want difference_first_flight(uint32_t pages)
{
    if (pages == 0)
        return (struct difference_want){.kind = DIFFERENCE_FOUND};
    if ((uint64_t)pages * DIFFERENCE_HASH_SIZE <= DIFFERENCE_FIRST_CELLS * DIFFERENCE_CELL_SIZE)
        return (struct difference_want){.kind = DIFFERENCE_HASHES, .first = 1, .count = pages};
    return (struct difference_want){
        .kind = DIFFERENCE_CELLS, .first = 0, .count = DIFFERENCE_FIRST_CELLS};
}

/* ---- receiver ---- */

int difference_describer_new(struct difference_describer **describer,
                             const struct page_hash *hashes, uint32_t pages,
                             const uint8_t seed[DIFFERENCE_SEED_SIZE], struct error *error)
{
    struct difference_describer *made = calloc(1, sizeof(*made));

    *describer = made;
    if (made == NULL)
        return error_set(error, ERR_INTERNAL, "no memory to describe pages");
    made->hashes = hashes;
    made->pages = pages;
    made->cells_max = has_sketch(pages) ? sketch_cells_max(pages) : pages / 2;
    if (!has_sketch(pages))
        return 0;
    sketch_key_init(&made->key, seed, pages);
    sketch_init(&made->sketch, &made->key, hashes, made->cells_max);
    return 0;
}

void difference_describer_free(struct difference_describer *describer)
{
    if (describer == NULL)
        return;
    power_sums_release(&describer->sums);
    sketch_release(&describer->sketch);
    free(describer->order);
    free(describer);
}

/* The next cells, at most PIECE of them. */
static int make_cells(struct difference_describer *describer, size_t count,
                      struct sketch_cell *cells, struct error *error)
{
    uint64_t words[2 * PIECE];
    int code = 0;

    if (has_sketch(describer->pages))
        return sketch_read(&describer->sketch, describer->next_cell, count, cells, error);
    if (describer->sums.terms == NULL)
        code = power_sums_init(&describer->sums, describer->hashes, describer->pages, error);
    if (code != 0)
        return code;
    power_sums_next(&describer->sums, words, 2 * count);
    for (size_t i = 0; i < count; i++)
        cells[i] = (struct sketch_cell){words[2 * i], words[2 * i + 1]};
    return 0;
}

static int describe_cells(struct difference_describer *describer, uint64_t count,
                          struct buffer *out, struct error *error)
{
    struct sketch_cell cells[PIECE];
    uint8_t *spot;
    int code;

    /* Room for all first: what was made cannot be made again. */
    if ((code = buffer_reserve(out, count * DIFFERENCE_CELL_SIZE, &spot, error)) != 0)
        return code;
    while (count > 0) {
        size_t here = count < PIECE ? (size_t)count : PIECE;

        if ((code = make_cells(describer, here, cells, error)) != 0)
            return code;
        sketch_store(cells, here, spot);
        spot += here * DIFFERENCE_CELL_SIZE;
        out->len += here * DIFFERENCE_CELL_SIZE;
        describer->next_cell += here;
        count -= here;
    }
    return 0;
}

/* Words that a list may leave out as many hashes for. */
static uint64_t worth(const struct difference_describer *describer)
{
    uint64_t cells = describer->next_cell;

    if (has_sketch(describer->pages))
        cells = cells < SKETCH_FIRST_CELLS ? 0 : SKETCH_FIRST_CELLS;
    return 2 * cells;
}

static int begin_list(struct difference_describer *describer, uint64_t first, struct error *error)
{
    uint32_t sampled;

    describer->next_hash = first;
    if (!has_sketch(describer->pages) || first == 1)
        return 0;
    describer->order = sketch_list_order(&describer->key, &sampled);
    return describer->order != NULL ? 0
                                    : error_set(error, ERR_INTERNAL, "no memory to describe pages");
}

static int describe_hashes(struct difference_describer *describer,
                           const struct difference_want *want, struct buffer *out,
                           struct error *error)
{
    uint8_t *spot;
    int code;

    if ((code = buffer_reserve(out, want->count * DIFFERENCE_HASH_SIZE, &spot, error)) != 0)
        return code;
    if (describer->next_hash == 0 && (code = begin_list(describer, want->first, error)) != 0)
        return code;
    for (uint64_t i = want->first; i < want->first + want->count; i++) {
        uint64_t pgno = describer->order != NULL ? describer->order[i - SKETCH_ANCHORS - 1] : i;

        le64_store(spot + DIFFERENCE_HASH_SIZE * (i - want->first),
                   describer->hashes[pgno - 1].low);
    }
    out->len += want->count * DIFFERENCE_HASH_SIZE;
    describer->next_hash += want->count;
    return 0;
}

static int may_list(const struct difference_describer *describer,
                    const struct difference_want *want)
{
    int is_due = describer->next_hash > 0 ? want->first == describer->next_hash
                                          : want->first == 1 || want->first == worth(describer) + 1;

    return is_due && want->first <= describer->pages &&
           want->count <= describer->pages + (uint64_t)1 - want->first;
}

int difference_describe(struct difference_describer *describer, const struct difference_want *want,
                        struct buffer *out, struct error *error)
{
    size_t len = out->len;
    int code = ERR_PROTOCOL;

    if (want->kind == DIFFERENCE_CELLS && want->first == describer->next_cell &&
        want->first <= describer->cells_max && want->count <= describer->cells_max - want->first)
        code = describe_cells(describer, want->count, out, error);
    else if (want->kind == DIFFERENCE_HASHES && may_list(describer, want))
        code = describe_hashes(describer, want, out, error);
    else
        error_set(error, ERR_PROTOCOL,
                  "the other side asked for a description of pages that does not exist");
    if (code != 0)
        out->len = len;
    return code;
}

/* ---- sender ---- */

int difference_finder_new(struct difference_finder **finder, const struct page_hash *hashes,
                          uint32_t pages, const uint8_t seed[DIFFERENCE_SEED_SIZE],
                          struct error *error)
{
    int code = has_sketch(pages) ? sketch_finder_new(finder, hashes, pages, seed, error)
                                 : sums_finder_new(finder, hashes, pages, error);

    if (code == 0)
        (*finder)->want = difference_first_flight(pages);
    return code;
}

void difference_finder_free(struct difference_finder *finder)
{
    if (finder != NULL)
        finder->methods->free(finder);
}

int difference_finder_add(struct difference_finder *finder, enum difference_kind kind,
                          uint64_t first, const uint8_t *data, size_t len, struct error *error)
{
    const struct difference_finder_methods *methods = finder->methods;
    struct difference_want *want = &finder->want;
    size_t size = kind == DIFFERENCE_CELLS ? DIFFERENCE_CELL_SIZE : DIFFERENCE_HASH_SIZE;
    size_t count = len / size;
    int code;

    if (want->kind == DIFFERENCE_FOUND || kind != want->kind || first != want->first || len == 0 ||
        len % size != 0 || count > want->count)
        return error_set(error, ERR_PROTOCOL,
                         "the other side described pages that it was not asked about");
    code = kind == DIFFERENCE_CELLS ? methods->add_cells(finder, data, count, error)
                                    : methods->add_hashes(finder, data, count, error);
    if (code != 0)
        return code;
    want->first += count;
    want->count -= count;
    return want->count > 0 ? 0 : methods->conclude(finder, error);
}

struct difference_want difference_finder_want(const struct difference_finder *finder)
{
    return finder->want;
}

const struct difference_page *difference_finder_pages(const struct difference_finder *finder,
                                                      size_t *count)
{
    *count = finder->found_count;
    return finder->found;
}
