#include "origin/kept_connection.h"

#include <stdlib.h>
#include <string.h>

#include "origin/counted_scan.h"
#include "protocol/base/error.h"
#include "protocol/page/database.h"
#include "protocol/sync/page_scan.h"

/* How long it waits for a lock when it is only asked. Others wait for its answer. */
#define ASK_TIMEOUT_MS 2

int kept_connection_init(struct kept_connection *kept, const char *path)
{
    *kept = (struct kept_connection){.path = strdup(path)};
    return kept->path != NULL ? 0 : -1;
}

void kept_connection_release(struct kept_connection *kept)
{
    database_free(kept->db);
    free(kept->path);
    *kept = (struct kept_connection){.path = NULL};
}

int kept_connection_ask(struct kept_connection *kept, uint32_t *version,
                        struct database_state *state)
{
    struct error ignored;
    int rc = database_begin_read(kept->db, state, &ignored);

    if (rc == 0)
        rc = database_data_version(kept->db, version, &ignored);
    database_end(kept->db);
    if (rc == 0 && database_has_moved(kept->db))
        rc = ERR_MOVED;
    return rc;
}

/* There is no file. */
static int scan_nothing(const uint8_t key[HASH_KEY_SIZE], struct page_scan **scan,
                        struct error *error)
{
    const struct database_state state = {.is_empty = 1};
    struct page_index index = {0};

    error_init(error);
    return page_scan_new_take(scan, &index, &state, key, NULL, NULL, error);
}

int kept_connection_scan(struct kept_connection *kept, struct memory_budget *budget,
                         const uint8_t key[HASH_KEY_SIZE], struct page_scan *latest,
                         uint32_t latest_version, uint32_t timeout_ms, struct page_scan **scan,
                         uint32_t *version, struct error *error)
{
    int has_moved = kept->db != NULL && database_has_moved(kept->db);
    struct database_state state;
    int rc;

    if (has_moved) {
        database_free(kept->db);
        kept->db = NULL;
    }
    if (kept->db == NULL) {
        latest = NULL;
        rc = database_open(&kept->db, kept->path, 0, timeout_ms, error);
        if (rc != 0)
            return rc == ERR_NO_DATABASE ? scan_nothing(key, scan, error) : rc;
    }
    database_set_timeout(kept->db, timeout_ms);
    rc = database_begin_read(kept->db, &state, error);
    if (rc == 0)
        rc = database_data_version(kept->db, version, error);
    if (rc == 0 && latest != NULL && *version == latest_version &&
        memcmp(page_scan_key(latest), key, HASH_KEY_SIZE) == 0)
        *scan = page_scan_keep(latest);
    else if (rc == 0)
        rc = counted_scan_make(budget, kept->db, &state, key, scan, error);
    database_end(kept->db);
    database_set_timeout(kept->db, ASK_TIMEOUT_MS);
    return rc;
}
