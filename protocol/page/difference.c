/*
 * difference: see difference.h.
 *
 * How much to ask for. After a flight that did not do, the finder estimates how many pages differ
 * (tally.h) and asks for the cells that so many need, but for no more than BYTES_PER_PAGE allow for
 * the fewest pages that are still believable. The flat list is asked for once it is smaller than
 * the cells that are missing. After the first flight the estimate is good to 11 %, after the second
 * to 3 %.
 *
 * What that cost in 200 random sets for each count, of 111,292 pages:
 *
 *   pages that differ         300    340   1000   3000   10000   25745   37000
 *   bytes a page, mean       27.3   24.1   26.3   21.3    19.7    19.2    19.4
 *   bytes a page, worst      27.3   24.1   30.8   25.8    25.0    23.2    24.3
 *   round trips, worst          1      1      2      3       3       3       3
 *
 * None was above 25 bytes a page and 8500. This is chance, not proof: a count that is estimated 3.5
 * standard deviations too high costs more. Where between 30 and 55 % of all pages differ, the
 * choice between cells and list can turn out wrong, by 2 % below 32 % and by up to 15 % of the list
 * above 45 %. Asking for less (1.3 and 1.165 in cells_for) saved 1 to 5 % and missed the round
 * trips once in 100 sets.
 */
#include "protocol/page/difference.h"

#include <stdlib.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/peel.h"
#include "protocol/page/sketch.h"
#include "protocol/page/tally.h"

/* The sketch is to stay below so many bytes for each page that differs, and so many for all. */
#define BYTES_PER_PAGE 25.0
#define BYTES_BASE     8400
/* Cells for at most so many pages are asked for beyond the likely need, to save a round trip. */
#define SPARE_PAGES 2000
/* The list is asked for where the cells that are likely missing weigh more than this part of it. */
#define LIST_SHARE 0.9

_Static_assert(DIFFERENCE_FIRST_CELLS == SKETCH_FIRST_CELLS, "the first flight is the first tier");
_Static_assert(DIFFERENCE_SEED_SIZE == SKETCH_SEED_SIZE, "one seed");

struct difference_describer {
    struct sketch sketch;
    const struct page_hash *hashes;
    uint32_t pages;
    uint64_t next_cell; /* number of the first cell not yet described */
    uint64_t next_hash; /* the same of hashes, from 1 */
};

struct difference_finder {
    struct sketch own;
    struct peel peel;
    struct tally tally;
    const struct page_hash *hashes;
    uint32_t pages;
    struct difference_want want;
    unsigned flights; /* of cells, that came whole */
};

/* Cells beyond these are never asked for: 10 bytes for each page there is, where the flat list
 * takes 8. */
static uint64_t cells_max(uint32_t pages)
{
    uint64_t cells = (uint64_t)pages * 5 / 8;

    return cells < DIFFERENCE_FIRST_CELLS ? DIFFERENCE_FIRST_CELLS : cells;
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
    struct difference_describer *made = malloc(sizeof(*made));

    *describer = made;
    if (made == NULL)
        return error_set(error, ERR_INTERNAL, "no memory to describe pages");
    *made = (struct difference_describer){.hashes = hashes, .pages = pages, .next_hash = 1};
    sketch_init(&made->sketch, seed, hashes, pages, cells_max(pages));
    return 0;
}

void difference_describer_free(struct difference_describer *describer)
{
    if (describer == NULL)
        return;
    sketch_release(&describer->sketch);
    free(describer);
}

static int describe_cells(struct difference_describer *describer, uint64_t count,
                          struct buffer *out, struct error *error)
{
    struct sketch_cell cells[256];
    int code;

    while (count > 0) {
        size_t here = count < 256 ? (size_t)count : 256;
        uint8_t *spot;

        if ((code = sketch_read(&describer->sketch, describer->next_cell, here, cells, error)) !=
                0 ||
            (code = buffer_reserve(out, here * DIFFERENCE_CELL_SIZE, &spot, error)) != 0)
            return code;
        sketch_store(cells, here, spot);
        out->len += here * DIFFERENCE_CELL_SIZE;
        describer->next_cell += here;
        count -= here;
    }
    return 0;
}

static void store_hash(uint8_t *spot, uint64_t hash)
{
    for (int i = 0; i < DIFFERENCE_HASH_SIZE; i++)
        spot[i] = (uint8_t)(hash >> 8 * i);
}

static uint64_t load_hash(const uint8_t *spot)
{
    uint64_t hash = 0;

    for (int i = DIFFERENCE_HASH_SIZE - 1; i >= 0; i--)
        hash = hash << 8 | spot[i];
    return hash;
}

static int describe_hashes(struct difference_describer *describer, uint64_t count,
                           struct buffer *out, struct error *error)
{
    uint8_t *spot;
    int code;

    describer->next_cell =
        describer->sketch.max; /* a finder that has the list needs no cells any more */
    sketch_forget(&describer->sketch);
    if ((code = buffer_reserve(out, count * DIFFERENCE_HASH_SIZE, &spot, error)) != 0)
        return code;
    for (uint64_t i = 0; i < count; i++)
        store_hash(spot + DIFFERENCE_HASH_SIZE * i,
                   describer->hashes[describer->next_hash + i - 1].low);
    out->len += count * DIFFERENCE_HASH_SIZE;
    describer->next_hash += count;
    return 0;
}

int difference_describe(struct difference_describer *describer, const struct difference_want *want,
                        struct buffer *out, struct error *error)
{
    uint64_t next_cell = describer->next_cell;
    size_t len = out->len;
    int code = ERR_PROTOCOL;

    if (want->kind == DIFFERENCE_CELLS && want->first == describer->next_cell &&
        want->count <= describer->sketch.max - want->first)
        code = describe_cells(describer, want->count, out, error);
    else if (want->kind == DIFFERENCE_HASHES && want->first == describer->next_hash &&
             want->count <= describer->pages + (uint64_t)1 - want->first)
        code = describe_hashes(describer, want->count, out, error);
    else
        error_set(error, ERR_PROTOCOL,
                  "the other side asked for a description of pages that does not exist");
    if (code != 0) {
        out->len = len;
        describer->next_cell = next_cell;
    }
    return code;
}

/* ---- sender ---- */

int difference_finder_new(struct difference_finder **finder, const struct page_hash *hashes,
                          uint32_t pages, const uint8_t seed[DIFFERENCE_SEED_SIZE],
                          struct error *error)
{
    struct difference_finder *made = malloc(sizeof(*made));
    int code;

    *finder = NULL;
    if (made == NULL)
        return error_set(error, ERR_INTERNAL, "no memory to compare pages");
    *made = (struct difference_finder){
        .hashes = hashes, .pages = pages, .want = difference_first_flight(pages)};
    sketch_init(&made->own, seed, hashes, pages, cells_max(pages));
    if ((code = peel_init(&made->peel, seed, pages, error)) != 0)
        free(made);
    else
        *finder = made;
    return code;
}

void difference_finder_free(struct difference_finder *finder)
{
    if (finder == NULL)
        return;
    sketch_release(&finder->own);
    peel_release(&finder->peel);
    free(finder);
}

/* Cells that will do for so many pages, 99 times of 100, as measured, and some to spare. */
static double cells_for(double pages)
{
    double few = 1.38 * pages, many = 1.15 * pages + 400;

    return few < many ? few : many;
}

/* What to ask for after a flight that did not do. */
static struct difference_want plan(const struct difference_finder *finder)
{
    uint64_t came = finder->peel.count, cells, most_cells;
    double found = (double)finder->peel.found_count, pages = finder->pages, hoped, missing;
    struct tally_estimate estimate = tally_estimate(&finder->tally,
                                                    found < 1       ? 1
                                                    : found < pages ? found
                                                                    : pages,
                                                    pages);

    hoped = estimate.likely + SPARE_PAGES;
    cells = (uint64_t)cells_for(estimate.high < hoped ? estimate.high : hoped);
    most_cells = (uint64_t)((BYTES_PER_PAGE * estimate.low + BYTES_BASE) / DIFFERENCE_CELL_SIZE);
    if (cells > most_cells)
        cells = most_cells;
    if (cells < came + came / (finder->flights < 4 ? 16 : 4))
        cells = came + came / (finder->flights < 4 ? 16 : 4);
    missing = cells_for(estimate.likely) - (double)came;
    if (cells > finder->own.max ||
        missing * DIFFERENCE_CELL_SIZE > LIST_SHARE * pages * DIFFERENCE_HASH_SIZE)
        return (struct difference_want){
            .kind = DIFFERENCE_HASHES, .first = 1, .count = finder->pages};
    return (struct difference_want){.kind = DIFFERENCE_CELLS, .first = came, .count = cells - came};
}

static void finish(struct difference_finder *finder)
{
    finder->want = (struct difference_want){.kind = DIFFERENCE_FOUND};
    peel_finish(&finder->peel, finder->hashes);
}

static int add_cells(struct difference_finder *finder, const uint8_t *data, size_t count,
                     struct error *error)
{
    struct peel *peel = &finder->peel;
    struct sketch_cell *added, own[256];
    int code;

    if ((code = peel_reserve(peel, finder->want.first + finder->want.count, error)) != 0)
        return code;
    added = peel->cells + peel->count;
    sketch_load(added, count, data);
    for (size_t done = 0, here; done < count; done += here) {
        here = count - done < 256 ? count - done : 256;
        if ((code = sketch_read(&finder->own, finder->want.first + done, here, own, error)) != 0)
            return code;
        for (size_t i = 0; i < here; i++) {
            added[done + i].sum ^= own[i].sum;
            added[done + i].weighted ^= own[i].weighted;
        }
    }
    peel_add(peel, count, &finder->tally);
    finder->want.first += count;
    finder->want.count -= count;
    if (finder->want.count > 0)
        return 0;
    finder->flights++;
    sketch_forget(&finder->own);
    if ((code = peel_run(peel, error)) != 0)
        return code;
    if (peel_is_solved(peel)) {
        finish(finder);
        return 0;
    }
    finder->want = plan(finder);
    if (finder->want.kind == DIFFERENCE_HASHES)
        peel_reset(peel);
    return 0;
}

static int add_hashes(struct difference_finder *finder, const uint8_t *data, size_t count,
                      struct error *error)
{
    int code;

    for (size_t i = 0; i < count; i++) {
        uint64_t index = finder->want.first - 1 + i;
        uint64_t difference =
            load_hash(data + DIFFERENCE_HASH_SIZE * i) ^ finder->hashes[index].low;

        if (difference != 0 &&
            (code = peel_note(&finder->peel, (uint32_t)index + 1, difference, error)) != 0)
            return code;
    }
    finder->want.first += count;
    finder->want.count -= count;
    if (finder->want.count == 0)
        finish(finder);
    return 0;
}

int difference_finder_add(struct difference_finder *finder, enum difference_kind kind,
                          uint64_t first, const uint8_t *data, size_t len, struct error *error)
{
    size_t size = kind == DIFFERENCE_CELLS ? DIFFERENCE_CELL_SIZE : DIFFERENCE_HASH_SIZE;

    if (finder->want.kind == DIFFERENCE_FOUND || kind != finder->want.kind ||
        first != finder->want.first || len == 0 || len % size != 0 ||
        len / size > finder->want.count)
        return error_set(error, ERR_PROTOCOL,
                         "the other side described pages that it was not asked about");
    if (kind == DIFFERENCE_CELLS)
        return add_cells(finder, data, len / size, error);
    return add_hashes(finder, data, len / size, error);
}

struct difference_want difference_finder_want(const struct difference_finder *finder)
{
    return finder->want;
}

const struct difference_page *difference_finder_pages(const struct difference_finder *finder,
                                                      size_t *count)
{
    *count = finder->peel.found_count;
    return finder->peel.found;
}
