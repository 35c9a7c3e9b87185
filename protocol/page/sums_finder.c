/*
 * sums_finder: see sums_finder.h.
 */
#include "protocol/page/sums_finder.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/le64.h"
#include "protocol/page/difference_finder.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/power_sums.h"
#include "protocol/page/sketch.h"

struct sums_finder {
    struct difference_finder shared; /* found has room for each page there is */
    const struct page_hash *hashes;  /* borrowed */
    uint32_t pages;
    struct power_sums own; /* made with the first cells that come */
    uint64_t *words;   /* owned; the difference of both sides' words, room for each page there is */
    size_t word_count; /* that came */
};

static int no_memory(struct error *error)
{
    return error_set(error, ERR_INTERNAL, "no memory to compare pages");
}

static void note(struct sums_finder *finder, uint32_t pgno, uint64_t difference)
{
    finder->shared.found[finder->shared.found_count++] = (struct difference_page){
        .pgno = pgno, .their_hash = difference ^ finder->hashes[pgno - 1].low};
}

/* After a flight of n words that did not do. At least n / 2 + 1 pages differ, and so much may be
 * said. */
static struct difference_want plan(const struct sums_finder *finder)
{
    uint64_t cells = finder->word_count / 2;
    uint64_t bytes = DIFFERENCE_BYTES_PER_PAGE * (cells + 1) + DIFFERENCE_BYTES_BASE;

    if (bytes >= (uint64_t)finder->pages * DIFFERENCE_HASH_SIZE)
        return (struct difference_want){.kind = DIFFERENCE_HASHES,
                                        .first = finder->word_count + 1,
                                        .count = finder->pages - finder->word_count};
    return (struct difference_want){
        .kind = DIFFERENCE_CELLS, .first = cells, .count = bytes / DIFFERENCE_CELL_SIZE - cells};
}

/* A whole flight of cells has come. */
static int solve(struct sums_finder *finder, struct error *error)
{
    uint32_t *pgnos = malloc((finder->word_count / 2 + 1) * sizeof(*pgnos));
    uint64_t *differences = malloc((finder->word_count / 2 + 1) * sizeof(*differences));
    size_t found = SIZE_MAX;
    int code = pgnos != NULL && differences != NULL
                   ? power_sums_solve(finder->words, finder->word_count, finder->pages, pgnos,
                                      differences, &found, error)
                   : no_memory(error);

    if (code == 0 && found == SIZE_MAX) {
        finder->shared.want = plan(finder);
    } else if (code == 0) {
        for (size_t i = 0; i < found; i++)
            note(finder, pgnos[i], differences[i]);
        finder->shared.want = (struct difference_want){.kind = DIFFERENCE_FOUND};
    }
    free(pgnos);
    free(differences);
    return code;
}

static int add_cells(struct difference_finder *shared, const uint8_t *data, size_t count,
                     struct error *error)
{
    struct sums_finder *finder = (struct sums_finder *)shared;
    int code = 0;

    if (finder->word_count == 0)
        code = power_sums_init(&finder->own, finder->hashes, finder->pages, error);
    if (code != 0)
        return code;
    power_sums_next(&finder->own, finder->words + finder->word_count, 2 * count);
    for (size_t i = 0; i < count; i++) {
        struct sketch_cell cell;

        sketch_load(&cell, 1, data + DIFFERENCE_CELL_SIZE * i);
        finder->words[finder->word_count++] ^= cell.sum;
        finder->words[finder->word_count++] ^= cell.weighted;
    }
    return 0;
}

/* The whole list has come: the pages in front of it are known from the words. */
static int fill_in(struct sums_finder *finder, struct error *error)
{
    struct difference_page *found = finder->shared.found;
    size_t listed = finder->shared.found_count, front = 0;
    uint64_t *differences = malloc((finder->word_count + 1) * sizeof(*differences));
    int code;

    if (differences == NULL)
        return no_memory(error);
    for (size_t i = 0; i < listed; i++)
        power_sums_take_out(finder->words, finder->word_count, found[i].pgno,
                            found[i].their_hash ^ finder->hashes[found[i].pgno - 1].low);
    code = power_sums_fill_in(finder->words, finder->word_count, differences, error);
    if (code == 0) {
        for (size_t i = 0; i < finder->word_count; i++)
            front += differences[i] != 0;
        memmove(found + front, found, listed * sizeof(*found));
        finder->shared.found_count = 0;
        for (size_t i = 0; i < finder->word_count; i++)
            if (differences[i] != 0)
                note(finder, (uint32_t)i + 1, differences[i]);
        finder->shared.found_count += listed;
        finder->shared.want = (struct difference_want){.kind = DIFFERENCE_FOUND};
    }
    free(differences);
    return code;
}

static int add_hashes(struct difference_finder *shared, const uint8_t *data, size_t count,
                      struct error *error)
{
    struct sums_finder *finder = (struct sums_finder *)shared;

    (void)error;
    for (size_t i = 0; i < count; i++) {
        uint32_t pgno = (uint32_t)(shared->want.first + i);
        uint64_t difference =
            le64_load(data + DIFFERENCE_HASH_SIZE * i) ^ finder->hashes[pgno - 1].low;

        if (difference != 0)
            note(finder, pgno, difference);
    }
    return 0;
}

static int conclude(struct difference_finder *shared, struct error *error)
{
    struct sums_finder *finder = (struct sums_finder *)shared;

    return shared->want.kind == DIFFERENCE_CELLS ? solve(finder, error) : fill_in(finder, error);
}

static void sums_finder_free(struct difference_finder *shared)
{
    struct sums_finder *finder = (struct sums_finder *)shared;

    power_sums_release(&finder->own);
    free(finder->words);
    free(shared->found);
    free(finder);
}

int sums_finder_new(struct difference_finder **finder, const struct page_hash *hashes,
                    uint32_t pages, struct error *error)
{
    static const struct difference_finder_methods methods = {add_cells, add_hashes, conclude,
                                                             sums_finder_free};
    struct sums_finder *made = calloc(1, sizeof(*made));

    *finder = NULL;
    if (made == NULL)
        return no_memory(error);
    made->shared.methods = &methods;
    made->hashes = hashes;
    made->pages = pages;
    made->words = malloc((pages + (size_t)1) * sizeof(*made->words));
    made->shared.found = malloc((pages + (size_t)1) * sizeof(*made->shared.found));
    if (made->words == NULL || made->shared.found == NULL) {
        sums_finder_free(&made->shared);
        return no_memory(error);
    }
    *finder = &made->shared;
    return 0;
}
