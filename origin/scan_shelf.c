#include "origin/scan_shelf.h"

#include <stddef.h>
#include <string.h>

#include "protocol/sync/page_scan.h"

static void empty(struct shelved_scan *shelved)
{
    page_scan_free(shelved->scan);
    *shelved = (struct shelved_scan){0};
}

void scan_shelf_release(struct scan_shelf *shelf)
{
    empty(&shelf->latest);
    for (int i = 0; i < SCAN_SHELF_EARLIER; i++)
        empty(&shelf->earlier[i]);
}

static int has_key(const struct page_scan *scan, const uint8_t key[HASH_KEY_SIZE])
{
    return scan != NULL && memcmp(page_scan_key(scan), key, HASH_KEY_SIZE) == 0;
}

void scan_shelf_put(struct scan_shelf *shelf, struct page_scan *scan, uint64_t now)
{
    struct shelved_scan *place = &shelf->earlier[0];
    int is_same_key = has_key(shelf->latest.scan, page_scan_key(scan));

    for (int i = 0; i < SCAN_SHELF_EARLIER; i++) {
        if (!is_same_key)
            empty(&shelf->earlier[i]);
        if (shelf->earlier[i].used < place->used)
            place = &shelf->earlier[i];
    }
    if (is_same_key) {
        empty(place);
        *place = shelf->latest;
    } else {
        empty(&shelf->latest);
    }
    shelf->latest = (struct shelved_scan){.scan = page_scan_keep(scan), .used = now};
}

struct shelved_scan *scan_shelf_find(struct scan_shelf *shelf, const uint8_t key[HASH_KEY_SIZE],
                                     const uint8_t root[ROOT_SIZE])
{
    for (int i = 0; i < SCAN_SHELF_EARLIER; i++) {
        const struct page_scan *scan = shelf->earlier[i].scan;
        if (has_key(scan, key) && memcmp(page_scan_geometry(scan)->root, root, ROOT_SIZE) == 0)
            return &shelf->earlier[i];
    }
    return NULL;
}

struct shelved_scan *scan_shelf_oldest(struct scan_shelf *shelf)
{
    struct shelved_scan *oldest = NULL;

    for (int i = 0; i < SCAN_SHELF_EARLIER; i++) {
        if (shelf->earlier[i].scan != NULL &&
            (oldest == NULL || shelf->earlier[i].used < oldest->used))
            oldest = &shelf->earlier[i];
    }
    return oldest;
}
