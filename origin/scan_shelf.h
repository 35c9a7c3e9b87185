/*
 * scan_shelf: the scans of one database that are kept: the latest, and as many earlier ones, hashed
 * with the same key, as there is memory for. Each has the time of its last use.
 */
#ifndef LOCKSTEP_ORIGIN_SCAN_SHELF_H
#define LOCKSTEP_ORIGIN_SCAN_SHELF_H

#include <stdint.h>

#include "protocol/wire/message.h"

struct page_scan;

#define SCAN_SHELF_EARLIER 8

struct shelved_scan {
    struct page_scan *scan; /* NULL: none */
    uint64_t used;          /* memory_budget_now */
};

/* Zeroed: empty. */
struct scan_shelf {
    struct shelved_scan latest;
    struct shelved_scan earlier[SCAN_SHELF_EARLIER];
};

void scan_shelf_release(struct scan_shelf *shelf);

/* The scan, with one user more, is the latest now, and the one before it an earlier one. */
void scan_shelf_put(struct scan_shelf *shelf, struct page_scan *scan, uint64_t now);

/* The earlier one that was hashed with this key and found content with this root; NULL: none did.
 */
struct shelved_scan *scan_shelf_find(struct scan_shelf *shelf, const uint8_t key[HASH_KEY_SIZE],
                                     const uint8_t root[ROOT_SIZE]);

/* The earlier one that was used least recently; NULL: there is none. */
struct shelved_scan *scan_shelf_oldest(struct scan_shelf *shelf);

#endif
