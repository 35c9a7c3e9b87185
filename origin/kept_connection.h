/*
 * kept_connection: a connection to one database that is kept open, outside of any transaction, so
 * that its data_version tells whether any other connection committed since a scan.
 *
 * A file that was put in the place of the one that is open is noticed (database_has_moved) at each
 * use. It belongs to one thread at a time.
 */
#ifndef LOCKSTEP_ORIGIN_KEPT_CONNECTION_H
#define LOCKSTEP_ORIGIN_KEPT_CONNECTION_H

#include <stdint.h>

#include "protocol/wire/message.h"

struct database;
struct database_state;
struct error;
struct memory_budget;
struct page_scan;

struct kept_connection {
    char *path;          /* of the database; owned */
    struct database *db; /* NULL: not yet, or there is no file */
};

/* Nothing is opened yet. The path is copied. Returns -1 where memory ran out. */
int kept_connection_init(struct kept_connection *kept, const char *path);

/* Closing the last connection to a database may checkpoint it. */
void kept_connection_release(struct kept_connection *kept);

/* What it says of the version now; it is open. 0, or why that cannot be told at once. */
int kept_connection_ask(struct kept_connection *kept, uint32_t *version,
                        struct database_state *state);

/*
 * Scan, unless the database still is what `latest` (NULL: none) found at that version: then *scan
 * is that, with one user more. Where there is no file, *scan has no pages. *version is the one of
 * the scan's transaction. timeout_ms bounds the wait for another program's lock. The errors of
 * database_open, database_begin_read and counted_scan_make.
 */
int kept_connection_scan(struct kept_connection *kept, struct memory_budget *budget,
                         const uint8_t key[HASH_KEY_SIZE], struct page_scan *latest,
                         uint32_t latest_version, uint32_t timeout_ms, struct page_scan **scan,
                         uint32_t *version, struct error *error);

#endif
