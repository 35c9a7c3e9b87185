#include "protocol/sync/history_index.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "protocol/sync/history.h"
#include "protocol/sync/history_file.h"
#include "protocol/sync/history_packs.h"

/* A pull follows so many differences for a page, each in a pack of its own; a page that changed
 * more often is sent whole. */
#define CHAIN_MAX 32
/* A pull has the keys of so many pages in memory, the newest: 32 MiB. */
#define PLACES_MAX 1048576

/* Where a page is. */
struct place {
    uint64_t hash_low;
    uint64_t next_low; /* of the page that its bytes are the difference from; 0: they are the page's
                          own */
    int64_t pack;
    uint32_t pgno;
    uint32_t slot; /* in its pack */
};

struct history_index {
    struct history_file *file; /* borrowed */
    uint32_t page_size;
    struct place *places;        /* owned; sorted by page number, then hash */
    size_t place_count;          /* 0 also where the log turned out damaged */
    struct history_packs *packs; /* owned */
};

/* By page number and hash; the newest of equal ones first, so that a chain only ever leads to newer
 * pages. */
static int compare_places(const void *a, const void *b)
{
    const struct place *left = a;
    const struct place *right = b;

    if (left->pgno != right->pgno)
        return left->pgno < right->pgno ? -1 : 1;
    if (left->hash_low != right->hash_low)
        return left->hash_low < right->hash_low ? -1 : 1;
    return (left->pack < right->pack) - (left->pack > right->pack);
}

/* Take over the keys of one row, as far as there is room. */
static void load_keys(struct history_index *index, sqlite3_stmt *stmt, size_t cap)
{
    const uint8_t *key = sqlite3_column_blob(stmt, 1);
    uint32_t count = (uint32_t)sqlite3_column_bytes(stmt, 1) / HISTORY_KEY_SIZE;

    for (uint32_t slot = 0; slot < count && index->place_count < cap;
         slot++, key += HISTORY_KEY_SIZE) {
        struct place *place = &index->places[index->place_count++];
        place->pack = sqlite3_column_int64(stmt, 0);
        place->slot = slot;
        memcpy(&place->pgno, key, 4);
        memcpy(&place->hash_low, key + 4, 8);
        memcpy(&place->next_low, key + 12, 8);
    }
}

static void throw_away(struct history_index *index)
{
    history_file_throw_away(index->file);
    index->place_count = 0;
}

static void load(struct history_index *index)
{
    sqlite3_stmt *stmt;
    int64_t cap;

    if (access(index->file->path, F_OK) != 0 || !history_file_connect(index->file))
        return;
    cap = history_file_number(index->file, "SELECT coalesce(sum(length(keys)), 0) FROM pack") /
          (int64_t)HISTORY_KEY_SIZE;
    cap = cap < PLACES_MAX ? cap : PLACES_MAX;
    stmt = history_file_prepare(index->file,
                                "SELECT id, keys FROM pack WHERE page_size = ?1 ORDER BY id DESC");
    if (cap > 0)
        index->places = malloc((size_t)cap * sizeof(*index->places));
    if (stmt != NULL)
        sqlite3_bind_int64(stmt, 1, index->page_size);
    while (stmt != NULL && index->places != NULL && sqlite3_step(stmt) == SQLITE_ROW)
        load_keys(index, stmt, (size_t)cap);
    sqlite3_finalize(stmt);
    if (history_file_is_damaged(index->file))
        throw_away(index);
    if (index->place_count > 0)
        index->packs = history_packs_new(index->file);
    if (index->packs == NULL)
        index->place_count = 0;
    else
        qsort(index->places, index->place_count, sizeof(*index->places), compare_places);
}

struct history_index *history_index_new(struct history_file *file, uint32_t page_size)
{
    struct history_index *index = calloc(1, sizeof(*index));

    if (index == NULL)
        return NULL;
    index->file = file;
    index->page_size = page_size;
    load(index);
    return index;
}

void history_index_free(struct history_index *index)
{
    if (index == NULL)
        return;
    history_packs_free(index->packs);
    free(index->places);
    free(index);
}

/* The newest page of that number and hash that is kept; NULL for none. */
static const struct place *find_place(const struct history_index *index, uint32_t pgno,
                                      uint64_t hash_low)
{
    const struct place key = {.pgno = pgno, .hash_low = hash_low, .pack = INT64_MAX};
    size_t low = 0, high = index->place_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_places(&index->places[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == index->place_count || index->places[low].pgno != pgno ||
        index->places[low].hash_low != hash_low)
        return NULL;
    return &index->places[low];
}

/* The bytes that are kept at a place; NULL where they cannot be had. Good until the next call. */
static const uint8_t *read_place(struct history_index *index, const struct place *place)
{
    return history_packs_read(index->packs, place->pack, (size_t)place->slot * index->page_size,
                              index->page_size);
}

/* Add to page the difference that is kept at a place. Eight bytes at a time: one at a time was a
 * tenth of all that a pull of many pages took. */
static int add_difference(struct history_index *index, const struct place *place, uint8_t *page)
{
    const uint8_t *difference = read_place(index, place);

    if (difference == NULL)
        return 0;
    for (uint32_t i = 0; i < index->page_size; i += sizeof(uint64_t)) {
        uint64_t word, change;

        memcpy(&word, page + i, sizeof(word));
        memcpy(&change, difference + i, sizeof(change));
        word ^= change;
        memcpy(page + i, &word, sizeof(word));
    }
    return 1;
}

int history_index_find(struct history_index *index, uint32_t pgno, uint64_t hash_low,
                       const struct page_version *now, uint32_t page_size, uint8_t *page)
{
    const struct place *chain[CHAIN_MAX];
    const uint8_t *start = NULL;
    unsigned len = 0;

    if (page_size != index->page_size)
        return 0;
    while (start == NULL) {
        const struct place *place = find_place(index, pgno, hash_low);
        if (place == NULL || len == CHAIN_MAX)
            return 0;
        if (place->next_low == 0)
            start = read_place(index, place);
        else
            chain[len++] = place;
        if (place->next_low != 0 && now != NULL && place->next_low == now->hash_low)
            start = now->page;
        else if (place->next_low == 0 && start == NULL)
            return 0;
        hash_low = place->next_low;
    }
    memcpy(page, start, page_size);
    while (len > 0) {
        if (!add_difference(index, chain[--len], page))
            return 0;
    }
    return 1;
}
