/*
 * scan_cache: what the scans of a daemon's databases found, shared by all sessions, and good for as long as SQLite says that nothing changed.
 *
 * For each database one connection is kept open, outside of any transaction, and asked for its data_version: as long as that is what it
 * was in the transaction of the scan, no other connection committed anything. One session scans; others that come meanwhile wait, without a thread.
 *
 * That a session's own transaction sees what was scanned is proven by order: the scan is older than the transaction, and the kept connection,
 * asked after the transaction began, says that nothing was committed since the scan. So nothing can lie between the two.
 * After a push it is the other way round: the kept connection is asked after the commit, and then the pushing connection whether anybody else
 * committed since its own commit; if not, the kept connection's answer stands for what was pushed.
 *
 * A file that was put in the place of the one that is open is noticed (database_has_moved) before each use.
 *
 * Earlier scans of a database are kept as long as there is memory: a replica that still has what one of them found need not describe its pages.
 *
 * All functions may be called on any thread but the loop's, where none is said.
 */
#ifndef LOCKSTEP_ORIGIN_SCAN_CACHE_H
#define LOCKSTEP_ORIGIN_SCAN_CACHE_H

#include <stdint.h>

#include "origin/bell.h"
#include "protocol/wire/message.h"

struct error;
struct local_copy;
struct memory_budget;
struct page_scan;
struct scan_cache;

/* Somebody who may have to wait for a scan. Embedded by its user, zeroed but for the ticket's on_ring and user. */
struct scan_request {
    struct bell_ticket ticket; /* on_ring: call scan_cache_get again */
    struct scan_request *next;
    uint64_t entry_id; /* whose scan it waited for; 0: none */
    unsigned failures; /* what that had counted when the waiting began */
};

/* What a database is known by, and hashed with. */
struct scan_identity {
    int is_stored; /* the sidecar has it; else what is here is offered, and replaced by what another session offered before */
    uint8_t lineage[LINEAGE_SIZE];
    uint8_t hash_key[HASH_KEY_SIZE];
};

struct scan_cache_stats {
    uint64_t scans;      /* that were made */
    uint64_t shared;     /* answers that cost none */
    uint64_t databases;  /* with a connection that is kept open */
    double scan_seconds; /* all scans together */
};

/* bell and budget outlive the cache. NULL: memory ran out. */
struct scan_cache *scan_cache_new(struct bell *bell, struct memory_budget *budget);

/* No request waits, and no other function is at work. NULL is accepted. Any thread. */
void scan_cache_free(struct scan_cache *cache);

/*
 * What is in the database at real_path (symbolic links resolved; a missing file is empty) now. *scan is NULL where another session is at
 * it: then request's ticket is rung for when that is through. Else *scan is the user's, to be freed (page_scan_free). timeout_ms bounds the wait for
 * another program's lock. The errors of database_open, database_begin_read and database_scan, those of the session that was waited for, too;
 * ERR_TRY_LATER where there is no memory for the hashes.
 */
int scan_cache_get(struct scan_cache *cache, struct scan_request *request, const char *real_path, struct scan_identity *identity,
                   uint32_t timeout_ms, struct page_scan **scan, struct error *error);

/* The request does not wait any more. On the loop. Harmless for one that does not. */
void scan_cache_leave(struct scan_cache *cache, struct scan_request *request);

/* The earlier scan of this database, hashed with this key, that found content with this root; the user's. NULL: it is not known any more. */
struct page_scan *scan_cache_find(struct scan_cache *cache, const char *real_path, const uint8_t key[HASH_KEY_SIZE],
                                  const uint8_t root[ROOT_SIZE]);

/* Whether the transaction that is open on copy->db sees what copy borrowed. A local_copy_prove; arg is the cache. */
int scan_cache_prove(void *arg, struct local_copy *copy);

/* What copy has was just committed through its own connection: where that can be proven, nobody needs to scan it. */
void scan_cache_publish(struct scan_cache *cache, struct local_copy *copy);

/* Close the connection to this database: it will be changed in a way that needs to be alone. */
void scan_cache_forget(struct scan_cache *cache, const char *real_path);

/* Any thread. */
void scan_cache_read(struct scan_cache *cache, struct scan_cache_stats *stats);

#endif
