/*
 * sums_finder: see sums_finder.h.
 */
#include "protocol/page/sums_finder.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/le64.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/power_sums.h"
#include "protocol/page/sketch.h"

struct sums_finder {
    const struct page_hash *hashes; /* borrowed */
    uint32_t pages;
    struct difference_want want;
    struct power_sums own; /* made with the first cells that come */
    uint64_t *words;   /* owned; the difference of both sides' words, one for each page there is */
    size_t word_count; /* that came */
    struct difference_page *found; /* owned; one for each page there is */
    size_t found_count;
};

static int no_memory(struct error *error)
{
    return error_set(error, ERR_INTERNAL, "no memory to compare pages");
}

int sums_finder_new(struct sums_finder **finder, const struct page_hash *hashes, uint32_t pages,
                    struct error *error)
{
    struct sums_finder *made = calloc(1, sizeof(*made));

    *finder = NULL;
    if (made == NULL)
        return no_memory(error);
    made->hashes = hashes;
    made->pages = pages;
    made->want = difference_first_flight(pages);
    made->words = malloc(pages * sizeof(*made->words));
    made->found = malloc(pages * sizeof(*made->found));
    if (made->words == NULL || made->found == NULL) {
        sums_finder_free(made);
        return no_memory(error);
    }
    *finder = made;
    return 0;
}

void sums_finder_free(struct sums_finder *finder)
{
    if (finder == NULL)
        return;
    power_sums_release(&finder->own);
    free(finder->words);
    free(finder->found);
    free(finder);
}

static void note(struct sums_finder *finder, uint32_t pgno, uint64_t difference)
{
    finder->found[finder->found_count++] = (struct difference_page){
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
        finder->want = plan(finder);
    } else if (code == 0) {
        for (size_t i = 0; i < found; i++)
            note(finder, pgnos[i], differences[i]);
        finder->want = (struct difference_want){.kind = DIFFERENCE_FOUND};
    }
    free(pgnos);
    free(differences);
    return code;
}

static int add_cells(struct sums_finder *finder, const uint8_t *data, size_t count,
                     struct error *error)
{
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
    finder->want.first += count;
    finder->want.count -= count;
    return finder->want.count > 0 ? 0 : solve(finder, error);
}

/* The whole list has come: the pages in front of it are known from the words. */
static int fill_in(struct sums_finder *finder, struct error *error)
{
    size_t listed = finder->found_count, front = 0;
    struct difference_page *found = malloc((finder->pages + (size_t)1) * sizeof(*found));
    uint64_t *differences = malloc((finder->word_count + 1) * sizeof(*differences));
    int code = found != NULL && differences != NULL ? 0 : no_memory(error);

    for (size_t i = 0; code == 0 && i < listed; i++) {
        uint32_t pgno = finder->found[i].pgno;

        power_sums_take_out(finder->words, finder->word_count, pgno,
                            finder->found[i].their_hash ^ finder->hashes[pgno - 1].low);
    }
    if (code == 0)
        code = power_sums_fill_in(finder->words, finder->word_count, differences, error);
    if (code == 0) {
        memcpy(found, finder->found, listed * sizeof(*found));
        finder->found_count = 0;
        for (; front < finder->word_count; front++)
            if (differences[front] != 0)
                note(finder, (uint32_t)front + 1, differences[front]);
        memcpy(finder->found + finder->found_count, found, listed * sizeof(*found));
        finder->found_count += listed;
        finder->want = (struct difference_want){.kind = DIFFERENCE_FOUND};
    }
    free(found);
    free(differences);
    return code;
}

static int add_hashes(struct sums_finder *finder, const uint8_t *data, size_t count,
                      struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t pgno = (uint32_t)(finder->want.first + i);
        uint64_t difference =
            le64_load(data + DIFFERENCE_HASH_SIZE * i) ^ finder->hashes[pgno - 1].low;

        if (difference != 0)
            note(finder, pgno, difference);
    }
    finder->want.first += count;
    finder->want.count -= count;
    return finder->want.count > 0 ? 0 : fill_in(finder, error);
}

int sums_finder_add(struct sums_finder *finder, const uint8_t *data, size_t count,
                    struct error *error)
{
    return finder->want.kind == DIFFERENCE_CELLS ? add_cells(finder, data, count, error)
                                                 : add_hashes(finder, data, count, error);
}

struct difference_want sums_finder_want(const struct sums_finder *finder)
{
    return finder->want;
}

const struct difference_page *sums_finder_pages(const struct sums_finder *finder, size_t *count)
{
    *count = finder->found_count;
    return finder->found;
}
