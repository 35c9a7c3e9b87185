/*
 * peel: see peel.h.
 */
#include "protocol/page/peel.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/difference_page.h"
#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/tally.h"

#define BATCH 128 /* cells that are divided together */

int peel_init(struct peel *peel, const struct sketch_key *key, const struct page_hash *own,
              struct error *error)
{
    *peel = (struct peel){.key = key, .own = own, .pages = key->pages};
    peel->slots = calloc((size_t)peel->pages + 1, sizeof(*peel->slots));
    if (peel->slots == NULL)
        return error_set(error, ERR_INTERNAL, "no memory to compare %lu pages",
                         (unsigned long)peel->pages);
    return 0;
}

static void release_cells(struct peel *peel)
{
    free(peel->cells);
    free(peel->queue);
    free(peel->is_queued);
    peel->cells = NULL;
    peel->queue = NULL;
    peel->is_queued = NULL;
    peel->count = peel->settled = peel->room = 0;
    peel->queue_first = peel->queue_count = 0;
}

void peel_release(struct peel *peel)
{
    release_cells(peel);
    free(peel->slots);
    free(peel->found);
    peel->slots = NULL;
    peel->found = NULL;
    peel->found_count = peel->found_room = 0;
}

int peel_reserve(struct peel *peel, uint64_t cells, struct error *error)
{
    void *larger;

    if (cells <= peel->room)
        return 0;
    if ((larger = realloc(peel->cells, cells * sizeof(*peel->cells))) == NULL)
        goto no_memory;
    peel->cells = larger;
    if ((larger = realloc(peel->queue, cells * sizeof(*peel->queue))) == NULL)
        goto no_memory;
    peel->queue = larger;
    if ((larger = realloc(peel->is_queued, cells)) == NULL)
        goto no_memory;
    peel->is_queued = larger;
    memset(peel->is_queued + peel->room, 0, cells - peel->room);
    peel->room = cells;
    return 0;
no_memory:
    return error_set(error, ERR_INTERNAL, "no memory for %llu cells of a sketch",
                     (unsigned long long)cells);
}

/* For each of the cells with these numbers the page that it holds alone, or 0 where there is none
 * such. */
static void solve(const struct peel *peel, const uint64_t *numbers, size_t count, uint32_t *pgnos)
{
    uint64_t inverses[BATCH], scratch[BATCH];
    size_t which[BATCH], candidates = 0;

    for (size_t i = 0; i < count; i++) {
        pgnos[i] = 0;
        if (peel->cells[numbers[i]].sum != 0) {
            which[candidates] = i;
            inverses[candidates++] = peel->cells[numbers[i]].sum;
        }
    }
    if (candidates > 0)
        gf64_inverse_many(inverses, candidates, scratch);
    for (size_t c = 0; c < candidates; c++) {
        uint64_t number = numbers[which[c]];
        uint64_t pgno = gf64_multiply(inverses[c], peel->cells[number].weighted);

        if (pgno >= 1 && pgno <= peel->pages &&
            sketch_falls_into(peel->key, (uint32_t)pgno, number))
            pgnos[which[c]] = (uint32_t)pgno;
    }
}

static void tally_cells(const struct peel *peel, const uint64_t *numbers, size_t count,
                        struct tally *tally)
{
    uint32_t pgnos[BATCH];

    solve(peel, numbers, count, pgnos);
    for (size_t i = 0; i < count; i++) {
        enum tally_content content = pgnos[i] != 0 ? TALLY_ONE : TALLY_SEVERAL;

        if (sketch_cell_is_empty(&peel->cells[numbers[i]]))
            content = TALLY_NONE;
        tally_add(tally, numbers[i], content);
    }
}

void peel_add(struct peel *peel, size_t added, struct tally *tally)
{
    uint64_t numbers[BATCH];
    size_t count = 0;

    for (; added > 0; added--, peel->count++) {
        if (peel->count >= SKETCH_GAUGE_CELLS)
            numbers[count++] = peel->count;
        if (peel->count == SKETCH_GAUGE_CELLS - 1)
            tally_add_gauge(tally, peel->cells);
        if (count == BATCH || added == 1) {
            tally_cells(peel, numbers, count, tally);
            count = 0;
        }
    }
}

static void enqueue(struct peel *peel, uint64_t cell)
{
    if (peel->is_queued[cell])
        return;
    peel->is_queued[cell] = 1;
    peel->queue[(peel->queue_first + peel->queue_count++) % peel->room] = (uint32_t)cell;
}

static uint64_t dequeue(struct peel *peel)
{
    uint64_t cell = peel->queue[peel->queue_first];

    peel->is_queued[cell] = 0;
    peel->queue_first = (peel->queue_first + 1) % peel->room;
    peel->queue_count--;
    return cell;
}

/* Take a page, the hashes of which differ by `difference`, out of its cells from first to end - 1;
 * these are queued. */
static void take_out(struct peel *peel, uint32_t pgno, uint64_t difference, uint64_t first,
                     uint64_t end)
{
    uint64_t places[SKETCH_PLACES_MAX], weighted = gf64_multiply(difference, pgno);
    unsigned count = sketch_places(peel->key, pgno, first, end, places);

    for (unsigned i = 0; i < count; i++) {
        peel->cells[places[i]].sum ^= difference;
        peel->cells[places[i]].weighted ^= weighted;
        enqueue(peel, places[i]);
    }
}

/* Count the page, the hashes of which differ by `difference`, among those found; a second time, by
 * the same, undoes it. */
static int note(struct peel *peel, uint32_t pgno, uint64_t difference, struct error *error)
{
    if (peel->slots[pgno - 1] != 0) {
        peel->found[peel->slots[pgno - 1] - 1].their_hash ^= difference;
        return 0;
    }
    if (peel->found_count == peel->found_room) {
        size_t room = peel->found_room < 64 ? 64 : peel->found_room + peel->found_room / 2;
        struct difference_page *larger = realloc(peel->found, room * sizeof(*larger));

        if (larger == NULL)
            return error_set(error, ERR_INTERNAL, "no memory for %zu differing pages", room);
        peel->found = larger;
        peel->found_room = room;
    }
    peel->found[peel->found_count++] =
        (struct difference_page){.pgno = pgno, .their_hash = difference};
    peel->slots[pgno - 1] = (uint32_t)peel->found_count;
    return 0;
}

uint64_t peel_known(const struct peel *peel, uint32_t pgno)
{
    uint32_t slot = peel->slots[pgno - 1];

    return slot != 0 ? peel->found[slot - 1].their_hash : 0;
}

int peel_take(struct peel *peel, uint32_t pgno, uint64_t difference, struct error *error)
{
    int code;

    if (++peel->steps > 4 * (uint64_t)peel->pages)
        return error_set(error, ERR_PROTOCOL,
                         "the other side's sketch of its pages makes no sense");
    peel->is_gauge_empty = 0;
    if ((code = note(peel, pgno, difference, error)) == 0)
        take_out(peel, pgno, difference, SKETCH_GAUGE_CELLS, peel->settled);
    return code;
}

/* Look at up to BATCH queued cells. */
static int peel_batch(struct peel *peel, struct error *error)
{
    uint64_t numbers[BATCH], sums[BATCH];
    uint32_t pgnos[BATCH];
    size_t count;

    for (count = 0; count < BATCH && peel->queue_count > 0; count++) {
        numbers[count] = dequeue(peel);
        sums[count] = peel->cells[numbers[count]].sum;
    }
    solve(peel, numbers, count, pgnos);
    for (size_t i = 0; i < count; i++) {
        int code;

        /* A cell that changed since it was divided is in the queue again. */
        if (pgnos[i] == 0 || peel->is_queued[numbers[i]])
            continue;
        if ((code = peel_take(peel, pgnos[i], sums[i], error)) != 0)
            return code;
    }
    return 0;
}

int peel_is_empty(const struct peel *peel, uint64_t first, uint64_t end)
{
    while (first < end && sketch_cell_is_empty(&peel->cells[first]))
        first++;
    return first == end;
}

int peel_is_solved(const struct peel *peel)
{
    return peel->is_gauge_empty && peel_is_empty(peel, SKETCH_GAUGE_CELLS, peel->settled);
}

/* The pages that were found are not in the cells that came since; those are queued. */
static void settle(struct peel *peel)
{
    peel->is_gauge_empty = 0;
    for (size_t i = 0; i < peel->found_count; i++)
        if (peel->found[i].their_hash != 0)
            take_out(peel, peel->found[i].pgno, peel->found[i].their_hash, peel->settled,
                     peel->count);
    for (uint64_t cell = peel->settled; cell < peel->count; cell++)
        if (cell >= SKETCH_GAUGE_CELLS)
            enqueue(peel, cell);
    peel->settled = peel->count;
}

int peel_run(struct peel *peel, struct error *error)
{
    int code = 0;

    if (peel->settled < peel->count)
        settle(peel);
    while (code == 0 && peel->queue_count > 0)
        code = peel_batch(peel, error);
    return code;
}

int peel_finish(struct peel *peel, struct error *error)
{
    struct difference_page *sorted = malloc((peel->found_count + 1) * sizeof(*sorted));
    size_t kept = 0;

    release_cells(peel);
    if (sorted == NULL)
        return error_set(error, ERR_INTERNAL, "no memory for %zu differing pages",
                         peel->found_count);
    for (uint32_t pgno = 1; pgno <= peel->pages; pgno++) {
        uint64_t difference = peel_known(peel, pgno);

        if (difference != 0)
            sorted[kept++] = (struct difference_page){
                .pgno = pgno, .their_hash = difference ^ peel->own[pgno - 1].low};
    }
    free(peel->found);
    free(peel->slots);
    peel->found = sorted;
    peel->found_count = peel->found_room = kept;
    peel->slots = NULL;
    return 0;
}
