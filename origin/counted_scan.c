#include "origin/counted_scan.h"

#include <string.h>

#include "origin/memory_budget.h"
#include "protocol/base/error.h"
#include "protocol/page/database.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/page_scan.h"

static void scan_gone(void *arg, size_t bytes)
{
    memory_budget_give(arg, bytes);
}

int counted_scan_make(struct memory_budget *budget, struct database *db,
                      const struct database_state *state, const uint8_t key[HASH_KEY_SIZE],
                      struct page_scan **scan, struct error *error)
{
    size_t bytes = page_scan_size(state->page_count);
    struct page_index index = {0};
    struct page_hasher hasher;
    int rc = memory_budget_take(budget, bytes, "the page hashes of a database", error);

    if (rc != 0)
        return rc;
    page_hasher_init(&hasher, key);
    rc = database_scan(db, &hasher, &index, NULL, NULL, error);
    explicit_bzero(&hasher, sizeof(hasher));
    if (rc == 0)
        rc = page_scan_new_take(scan, &index, state, key, scan_gone, budget, error);
    if (rc != 0)
        memory_budget_give(budget, bytes);
    return rc;
}

struct page_scan *counted_scan_copy(struct memory_budget *budget, const struct local_copy *copy)
{
    size_t bytes = page_scan_size(copy->index.page_count);
    struct page_index index = {.page_size = 0};
    struct page_scan *scan = NULL;
    struct error ignored;

    if (memory_budget_take(budget, bytes, "page hashes", &ignored) != 0)
        return NULL;
    if (page_index_resize(&index, copy->index.page_count, &ignored) == 0) {
        index.page_size = copy->index.page_size;
        memcpy(index.hashes, copy->index.hashes, index.page_count * sizeof(*index.hashes));
        page_scan_new_take(&scan, &index, &copy->state, copy->hash_key, scan_gone, budget,
                           &ignored);
    }
    if (scan == NULL)
        memory_budget_give(budget, bytes);
    return scan;
}
