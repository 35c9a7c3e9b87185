/*
 * peel_rest: see peel_rest.h.
 */
#include "protocol/page/peel_rest.h"

#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/difference_page.h"
#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/peel.h"

#define CELLS_MAX    64 /* that are not empty */
#define SUSPECTS_MAX 48
#define RESTS        16 /* how often what is left is looked at: garbage must not make it go on */

struct rest {
    uint32_t suspects[SUSPECTS_MAX];
    size_t suspect_count;
    uint64_t cells[CELLS_MAX]; /* that are not empty, ascending */
    size_t cell_count;
};

static int is_left(const struct peel *peel, uint64_t cell)
{
    return !sketch_cell_is_empty(&peel->cells[cell]);
}

/* Whether none of the page's cells is empty, and it has any. */
static int is_suspect(const struct peel *peel, uint32_t pgno)
{
    uint64_t places[SKETCH_PLACES_MAX];
    unsigned count = sketch_places(peel->key, pgno, 0, peel->settled, places);

    if (count == 0)
        return 0;
    while (count > 0 && is_left(peel, places[count - 1]))
        count--;
    return count == 0;
}

/* Whether the rest is small enough. */
static int list_rest(const struct peel *peel, struct rest *rest)
{
    rest->cell_count = rest->suspect_count = 0;
    for (uint64_t cell = SKETCH_GAUGE_CELLS; cell < peel->settled; cell++) {
        if (!is_left(peel, cell))
            continue;
        if (rest->cell_count == CELLS_MAX)
            return 0;
        rest->cells[rest->cell_count++] = cell;
    }
    for (uint32_t pgno = 1; rest->cell_count > 0 && pgno <= peel->pages; pgno++) {
        if (!is_suspect(peel, pgno))
            continue;
        if (rest->suspect_count == SUSPECTS_MAX)
            return 0;
        rest->suspects[rest->suspect_count++] = pgno;
    }
    return rest->cell_count > 0;
}

/* The difference that the first page has in this cell if the other one is in there, too, and no
 * third. */
static uint64_t difference_beside(const struct peel *peel, uint64_t cell, uint32_t pgno,
                                  uint32_t other)
{
    struct sketch_cell held = peel->cells[cell];

    return gf64_multiply(held.weighted ^ gf64_multiply(held.sum, other),
                         gf64_inverse(pgno ^ other));
}

/* Two pages that alone are in a cell. */
static int take_pair(struct peel *peel, uint64_t cell, const uint32_t pair[2], struct error *error)
{
    struct sketch_cell held = peel->cells[cell];
    uint64_t first = difference_beside(peel, cell, pair[0], pair[1]);
    uint64_t second = held.sum ^ first;
    int code = first != 0 ? peel_take(peel, pair[0], first, error) : 0;

    return code == 0 && second != 0 ? peel_take(peel, pair[1], second, error) : code;
}

/* Equations for the hashes' differences of the suspects; in the last column what the terms add up
 * to. */
struct system {
    uint64_t rows[2 * CELLS_MAX][SUSPECTS_MAX + 1];
    size_t row_count, columns;
};

static void set_up(const struct peel *peel, const struct rest *rest, struct system *system)
{
    memset(system, 0, sizeof(*system));
    system->row_count = 2 * rest->cell_count;
    system->columns = rest->suspect_count;
    for (size_t c = 0; c < rest->cell_count; c++) {
        uint64_t *sum = system->rows[2 * c], *weighted = system->rows[2 * c + 1];

        for (size_t s = 0; s < rest->suspect_count; s++) {
            if (!sketch_falls_into(peel->key, rest->suspects[s], rest->cells[c]))
                continue;
            sum[s] = 1;
            weighted[s] = rest->suspects[s];
        }
        sum[rest->suspect_count] = peel->cells[rest->cells[c]].sum;
        weighted[rest->suspect_count] = peel->cells[rest->cells[c]].weighted;
    }
}

/* Gauss and Jordan's elimination: afterwards row i is the solution of column i. Whether there is
 * one, and one only. */
static int eliminate(struct system *system)
{
    size_t width = system->columns + 1;

    for (size_t column = 0; column < system->columns; column++) {
        uint64_t kept[SUSPECTS_MAX + 1];
        size_t pivot = column;
        uint64_t inverse;

        while (pivot < system->row_count && system->rows[pivot][column] == 0)
            pivot++;
        if (pivot == system->row_count)
            return 0;
        memcpy(kept, system->rows[pivot], width * sizeof(*kept));
        memcpy(system->rows[pivot], system->rows[column], width * sizeof(*kept));
        inverse = gf64_inverse(kept[column]);
        for (size_t k = 0; k < width; k++)
            system->rows[column][k] = gf64_multiply(kept[k], inverse);
        for (size_t row = 0; row < system->row_count; row++)
            if (row != column && system->rows[row][column] != 0)
                gf64_add_multiple(system->rows[row], system->rows[column],
                                  system->rows[row][column], width);
    }
    for (size_t row = system->columns; row < system->row_count; row++)
        if (system->rows[row][system->columns] != 0)
            return 0;
    return 1;
}

static int take_solution(struct peel *peel, const struct rest *rest, int *is_changed,
                         struct error *error)
{
    struct system system;
    int code = 0;

    set_up(peel, rest, &system);
    if (!eliminate(&system))
        return 0;
    for (size_t s = 0; code == 0 && s < rest->suspect_count; s++) {
        uint64_t difference = system.rows[s][system.columns];

        if (difference == 0)
            continue;
        *is_changed = 1;
        code = peel_take(peel, rest->suspects[s], difference, error);
    }
    return code;
}

/* Take all pages that were found out of a copy of the gauge. */
static void empty_gauge(const struct peel *peel, struct sketch_cell gauge[SKETCH_GAUGE_CELLS])
{
    memcpy(gauge, peel->cells, SKETCH_GAUGE_CELLS * sizeof(*gauge));
    for (size_t i = 0; i < peel->found_count; i++) {
        uint32_t pgno = peel->found[i].pgno;
        uint64_t difference = peel->found[i].their_hash, own = peel->own[pgno - 1].low;
        int anchor = sketch_anchor(peel->key, pgno);

        if (anchor >= 0 && anchor < 2 * SKETCH_GAUGE_CELLS) {
            *sketch_word(gauge, (size_t)anchor) ^= difference;
        } else if (difference != 0) {
            sketch_flip_gauge(gauge, gf64_multiply(own, pgno));
            sketch_flip_gauge(gauge, gf64_multiply(own ^ difference, pgno));
        }
    }
}

/* The first tier's cells are empty: what is left in the gauge are its anchors. */
static int take_gauge(struct peel *peel, int *is_changed, struct error *error)
{
    struct sketch_cell gauge[SKETCH_GAUGE_CELLS];
    int code = 0;

    empty_gauge(peel, gauge);
    for (size_t word = 0; code == 0 && word < 2 * (size_t)SKETCH_GAUGE_CELLS; word++) {
        uint64_t difference = *sketch_word(gauge, word);

        if (difference == 0)
            continue;
        *is_changed = 1;
        code = peel_take(peel, peel->key->anchors[word], difference, error);
    }
    peel->is_gauge_empty = code == 0;
    return code;
}

/* Find pages in what is left, if that can be done; *is_changed tells if there were any. Costs a
 * pass over all pages. */
static int take_rest(struct peel *peel, int *is_changed, struct error *error)
{
    struct rest rest;
    int code = 0;

    *is_changed = 0;
    if (!peel->is_gauge_empty && peel_is_empty(peel, SKETCH_GAUGE_CELLS, SKETCH_FIRST_CELLS))
        code = take_gauge(peel, is_changed, error);
    if (code != 0 || *is_changed || !list_rest(peel, &rest))
        return code;
    return take_solution(peel, &rest, is_changed, error);
}

int peel_solve(struct peel *peel, struct error *error)
{
    int code = peel_run(peel, error), is_changed = 1;

    for (int rests = 0; code == 0 && is_changed && rests < RESTS; rests++) {
        code = take_rest(peel, &is_changed, error);
        if (code == 0 && is_changed)
            code = peel_run(peel, error);
    }
    return code;
}

int peel_anchors(struct peel *peel, struct error *error)
{
    int code = 0, is_changed;

    for (uint64_t cell = SKETCH_GAUGE_CELLS; code == 0 && cell < SKETCH_FIRST_CELLS; cell++)
        if (is_left(peel, cell))
            code = take_pair(peel, cell, &peel->key->anchors[2 * cell], error);
    return code == 0 ? take_gauge(peel, &is_changed, error) : code;
}
