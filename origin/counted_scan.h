/*
 * counted_scan: page hashes of whole databases, whose memory is counted in a budget for as long as
 * anybody uses them.
 */
#ifndef LOCKSTEP_ORIGIN_COUNTED_SCAN_H
#define LOCKSTEP_ORIGIN_COUNTED_SCAN_H

#include <stdint.h>

#include "protocol/wire/message.h"

struct database;
struct database_state;
struct error;
struct local_copy;
struct memory_budget;
struct page_scan;

/* Hash the database of the transaction that is open, whose state is given. *scan is the caller's
 * (page_scan_free). ERR_TRY_LATER: there is no memory for it; the errors of database_scan. */
int counted_scan_make(struct memory_budget *budget, struct database *db,
                      const struct database_state *state, const uint8_t key[HASH_KEY_SIZE],
                      struct page_scan **scan, struct error *error);

/* The same from what copy has in memory. NULL: there is no room. */
struct page_scan *counted_scan_copy(struct memory_budget *budget, const struct local_copy *copy);

#endif
