/*
 *   an entry:  IDLE --somebody asks the kept connection--> ASKING --at once--> IDLE
 *                   --what it says is new--> SCANNING --the scan is through, or failed--> IDLE
 *
 * The kept connection belongs to the thread that moved the entry out of IDLE; all else is the
 * mutex's. Who finds the entry ASKING waits for the few microseconds that it takes; who finds it
 * SCANNING gets in line and leaves the thread.
 */
#include "origin/scan_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "origin/counted_scan.h"
#include "origin/kept_connection.h"
#include "origin/memory_budget.h"
#include "origin/scan_shelf.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/page/database.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/page_scan.h"

enum entry_state { IDLE, ASKING, SCANNING };

struct entry {
    struct entry *next;
    uint64_t id;
    enum entry_state state;
    struct kept_connection kept;
    uint32_t version; /* what it said in the transaction of the latest scan */
    struct scan_shelf shelf;
    int has_offer; /* the database has no lineage; offer is what all sessions offer */
    struct scan_identity offer;
    struct scan_request *waiting; /* for the scan under way */
    unsigned failures;            /* scans that failed */
    struct error failure;         /* the last one's */
};

struct scan_cache {
    struct bell *bell;
    struct memory_budget *budget;
    pthread_mutex_t mutex;
    pthread_cond_t asked; /* an entry is ASKING no more */
    struct entry *entries;
    unsigned count;
    uint64_t last_id;
    struct scan_cache_stats stats;
};

/* ---- memory ---- */

static void free_entry(struct entry *entry)
{
    assert(entry->waiting == NULL && entry->state == IDLE);
    scan_shelf_release(&entry->shelf);
    kept_connection_release(&entry->kept);
    explicit_bzero(&entry->offer, sizeof(entry->offer));
    free(entry);
}

/* Whether nobody is at it. Under the mutex. */
static int is_free(const struct entry *entry)
{
    return entry->state == IDLE && entry->waiting == NULL;
}

/* Take it out of the list. Under the mutex. */
static void unlink_entry(struct scan_cache *cache, struct entry *entry)
{
    struct entry **spot;

    for (spot = &cache->entries; *spot != entry; spot = &(*spot)->next)
        ;
    *spot = entry->next;
    cache->count--;
}

/* The earlier scan, or else the entry, that was used least recently. Under the mutex. */
static uint64_t find_oldest(struct scan_cache *cache, struct shelved_scan **earlier,
                            struct entry **whole)
{
    uint64_t oldest = UINT64_MAX;

    *earlier = NULL;
    *whole = NULL;
    for (struct entry *entry = cache->entries; entry != NULL; entry = entry->next) {
        struct shelved_scan *shelved = scan_shelf_oldest(&entry->shelf);

        if (shelved != NULL && shelved->used < oldest) {
            oldest = shelved->used;
            *earlier = shelved;
            *whole = NULL;
        }
        if (is_free(entry) && entry->shelf.latest.used < oldest) {
            oldest = entry->shelf.latest.used;
            *earlier = NULL;
            *whole = entry;
        }
    }
    return oldest;
}

static uint64_t oldest(void *arg)
{
    struct scan_cache *cache = arg;
    struct shelved_scan *earlier;
    struct entry *whole;
    uint64_t used;

    pthread_mutex_lock(&cache->mutex);
    used = find_oldest(cache, &earlier, &whole);
    pthread_mutex_unlock(&cache->mutex);
    return used;
}

static int drop(void *arg)
{
    struct scan_cache *cache = arg;
    struct shelved_scan *earlier;
    struct shelved_scan taken = {0};
    struct entry *whole;

    pthread_mutex_lock(&cache->mutex);
    find_oldest(cache, &earlier, &whole);
    if (earlier != NULL) {
        taken = *earlier;
        *earlier = (struct shelved_scan){0};
    } else if (whole != NULL) {
        unlink_entry(cache, whole);
    }
    pthread_mutex_unlock(&cache->mutex);
    /* Closing the last connection to a database may checkpoint it: not under the mutex. */
    page_scan_free(taken.scan);
    if (whole != NULL)
        free_entry(whole);
    return earlier != NULL || whole != NULL;
}

struct scan_cache *scan_cache_new(struct bell *bell, struct memory_budget *budget)
{
    struct scan_cache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL)
        return NULL;
    cache->bell = bell;
    cache->budget = budget;
    pthread_mutex_init(&cache->mutex, NULL);
    pthread_cond_init(&cache->asked, NULL);
    memory_budget_add_holder(budget, oldest, drop, cache);
    return cache;
}

void scan_cache_free(struct scan_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->entries != NULL) {
        struct entry *entry = cache->entries;
        cache->entries = entry->next;
        free_entry(entry);
    }
    pthread_cond_destroy(&cache->asked);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

/* ---- entries ---- */

/* Under the mutex. */
static struct entry *find(struct scan_cache *cache, const char *path)
{
    struct entry *entry;

    for (entry = cache->entries; entry != NULL && strcmp(entry->kept.path, path) != 0;
         entry = entry->next)
        ;
    return entry;
}

/* The same, once nobody is ASKING there. It may be SCANNING. */
static struct entry *find_unasked(struct scan_cache *cache, const char *path)
{
    struct entry *entry;

    while ((entry = find(cache, path)) != NULL && entry->state == ASKING)
        pthread_cond_wait(&cache->asked, &cache->mutex);
    return entry;
}

static struct entry *add_entry(struct scan_cache *cache, const char *path)
{
    struct entry *entry = calloc(1, sizeof(*entry));

    if (entry == NULL || kept_connection_init(&entry->kept, path) != 0) {
        free(entry);
        return NULL;
    }
    entry->id = ++cache->last_id;
    entry->next = cache->entries;
    cache->entries = entry;
    cache->count++;
    return entry;
}

/* There are more connections than are to be kept: take the entry that was used least recently out,
 * for the caller to free. Under the mutex. */
static struct entry *take_surplus(struct scan_cache *cache)
{
    struct entry *surplus = NULL;

    if (cache->count <= LIMIT_KEPT_DATABASES)
        return NULL;
    for (struct entry *entry = cache->entries; entry != NULL; entry = entry->next) {
        if (is_free(entry) &&
            (surplus == NULL || entry->shelf.latest.used < surplus->shelf.latest.used))
            surplus = entry;
    }
    if (surplus != NULL)
        unlink_entry(cache, surplus);
    return surplus;
}

/* Have those who wait ask again. Under the mutex. */
static void ring_for_all(struct scan_cache *cache, struct entry *entry)
{
    while (entry->waiting != NULL) {
        struct scan_request *request = entry->waiting;
        entry->waiting = request->next;
        request->next = NULL;
        bell_ring(cache->bell, &request->ticket);
    }
}

static void wait_in_line(struct entry *entry, struct scan_request *request)
{
    struct scan_request **end;

    request->entry_id = entry->id;
    request->failures = entry->failures;
    for (end = &entry->waiting; *end != NULL && *end != request; end = &(*end)->next)
        ;
    if (*end == request)
        return;
    *end = request;
    request->next = NULL;
}

void scan_cache_leave(struct scan_cache *cache, struct scan_request *request)
{
    struct scan_request **spot;

    pthread_mutex_lock(&cache->mutex);
    for (struct entry *entry = cache->entries; entry != NULL; entry = entry->next) {
        for (spot = &entry->waiting; *spot != NULL && *spot != request; spot = &(*spot)->next)
            ;
        if (*spot != NULL)
            *spot = request->next;
    }
    pthread_mutex_unlock(&cache->mutex);
    bell_silence(cache->bell, &request->ticket);
}

/* ---- asking ---- */

/* Whether what was scanned last is still there; "no" where that cannot be told at once. Under the
 * mutex, which is free meanwhile. */
static int is_current(struct scan_cache *cache, struct entry *entry, struct local_copy *other)
{
    struct database_state state;
    uint32_t version;
    int is;

    if (entry->shelf.latest.scan == NULL || entry->kept.db == NULL)
        return 0;
    entry->state = ASKING;
    pthread_mutex_unlock(&cache->mutex);
    is = kept_connection_ask(&entry->kept, &version, &state) == 0 && version == entry->version &&
         (other == NULL || !database_has_moved(other->db));
    pthread_mutex_lock(&cache->mutex);
    entry->state = IDLE;
    pthread_cond_broadcast(&cache->asked);
    return is;
}

int scan_cache_prove(void *arg, struct local_copy *copy)
{
    struct scan_cache *cache = arg;
    struct entry *entry;
    int is;

    pthread_mutex_lock(&cache->mutex);
    entry = find_unasked(cache, copy->real_path);
    is = entry != NULL && entry->state == IDLE && entry->shelf.latest.scan == copy->borrowed &&
         is_current(cache, entry, copy);
    pthread_mutex_unlock(&cache->mutex);
    return is;
}

/* ---- scanning ---- */

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The scan is the latest now. Under the mutex. */
static void install(struct scan_cache *cache, struct entry *entry, struct page_scan *scan,
                    uint32_t version)
{
    entry->version = version;
    if (scan != entry->shelf.latest.scan)
        scan_shelf_put(&entry->shelf, scan, memory_budget_now(cache->budget));
}

/* Scan while others wait. Under the mutex, which is free meanwhile. */
static int scan_alone(struct scan_cache *cache, struct entry *entry,
                      const struct scan_identity *identity, uint32_t timeout_ms,
                      struct page_scan **scan, struct error *error)
{
    double seconds = seconds_now();
    uint32_t version = 0;
    int rc;

    entry->state = SCANNING;
    pthread_mutex_unlock(&cache->mutex);
    rc = kept_connection_scan(&entry->kept, cache->budget, identity->hash_key,
                              entry->shelf.latest.scan, entry->version, timeout_ms, scan, &version,
                              error);
    seconds = seconds_now() - seconds;
    if (rc == 0 && *scan != entry->shelf.latest.scan)
        log_line(LOG_INFO, "scanned %s: %u pages in %.3f seconds", entry->kept.path,
                 page_scan_geometry(*scan)->page_count, seconds);
    pthread_mutex_lock(&cache->mutex);
    entry->state = IDLE;
    cache->stats.scans++;
    cache->stats.scan_seconds += seconds;
    if (rc != 0) {
        entry->failures++;
        entry->failure = *error;
    } else if (entry->kept.db != NULL) {
        install(cache, entry, *scan, version);
    }
    ring_for_all(cache, entry);
    return rc;
}

/* All sessions offer the same lineage to a database that has none. Under the mutex. */
static void agree_on_identity(struct entry *entry, struct scan_identity *identity)
{
    if (identity->is_stored) {
        entry->has_offer = 0;
    } else if (entry->has_offer) {
        *identity = entry->offer;
    } else {
        entry->has_offer = 1;
        entry->offer = *identity;
    }
}

/* What scan_cache_get does for an entry that nobody is ASKING. Under the mutex. */
static int get(struct scan_cache *cache, struct entry *entry, struct scan_request *request,
               struct scan_identity *identity, uint32_t timeout_ms, struct page_scan **scan,
               struct error *error)
{
    int has_waited = request->entry_id == entry->id;

    request->entry_id = 0;
    if (has_waited && request->failures != entry->failures) {
        *error = entry->failure;
        return error->code;
    }
    agree_on_identity(entry, identity);
    if (entry->state == SCANNING) {
        wait_in_line(entry, request);
        return 0;
    }
    if (entry->shelf.latest.scan != NULL &&
        memcmp(page_scan_key(entry->shelf.latest.scan), identity->hash_key, HASH_KEY_SIZE) == 0 &&
        is_current(cache, entry, NULL)) {
        cache->stats.shared++;
        entry->shelf.latest.used = memory_budget_now(cache->budget);
        *scan = page_scan_keep(entry->shelf.latest.scan);
        return 0;
    }
    return scan_alone(cache, entry, identity, timeout_ms, scan, error);
}

int scan_cache_get(struct scan_cache *cache, struct scan_request *request, const char *real_path,
                   struct scan_identity *identity, uint32_t timeout_ms, struct page_scan **scan,
                   struct error *error)
{
    struct entry *surplus = NULL;
    struct entry *entry;
    int rc;

    *scan = NULL;
    pthread_mutex_lock(&cache->mutex);
    entry = find_unasked(cache, real_path);
    if (entry == NULL)
        entry = add_entry(cache, real_path);
    if (entry == NULL)
        rc = error_set(error, ERR_INTERNAL, "out of memory");
    else
        rc = get(cache, entry, request, identity, timeout_ms, scan, error);
    surplus = take_surplus(cache);
    pthread_mutex_unlock(&cache->mutex);
    if (surplus != NULL)
        free_entry(surplus);
    return rc;
}

struct page_scan *scan_cache_find(struct scan_cache *cache, const char *real_path,
                                  const uint8_t key[HASH_KEY_SIZE], const uint8_t root[ROOT_SIZE])
{
    struct page_scan *found = NULL;
    struct shelved_scan *shelved;
    struct entry *entry;

    pthread_mutex_lock(&cache->mutex);
    entry = find(cache, real_path);
    shelved = entry != NULL ? scan_shelf_find(&entry->shelf, key, root) : NULL;
    if (shelved != NULL) {
        shelved->used = memory_budget_now(cache->budget);
        found = page_scan_keep(shelved->scan);
    }
    pthread_mutex_unlock(&cache->mutex);
    return found;
}

/* ---- after a push ---- */

void scan_cache_publish(struct scan_cache *cache, struct local_copy *copy)
{
    struct page_scan *scan = NULL;
    struct database_state state;
    struct error ignored;
    struct entry *entry;
    uint32_t version;

    pthread_mutex_lock(&cache->mutex);
    entry = find_unasked(cache, copy->real_path);
    if (entry == NULL || entry->state != IDLE || entry->kept.db == NULL ||
        entry->shelf.latest.scan == NULL ||
        memcmp(page_scan_key(entry->shelf.latest.scan), copy->hash_key, HASH_KEY_SIZE) != 0) {
        pthread_mutex_unlock(&cache->mutex);
        return;
    }
    entry->state = ASKING;
    pthread_mutex_unlock(&cache->mutex);
    if (kept_connection_ask(&entry->kept, &version, &state) == 0 &&
        local_copy_hold(copy, &ignored) == 0 && !database_has_moved(copy->db))
        scan = counted_scan_copy(cache->budget, copy);
    local_copy_let_go(copy);
    pthread_mutex_lock(&cache->mutex);
    entry->state = IDLE;
    if (scan != NULL)
        install(cache, entry, scan, version);
    pthread_cond_broadcast(&cache->asked);
    pthread_mutex_unlock(&cache->mutex);
    page_scan_free(scan);
}

void scan_cache_forget(struct scan_cache *cache, const char *real_path)
{
    struct entry *entry;

    pthread_mutex_lock(&cache->mutex);
    entry = find_unasked(cache, real_path);
    if (entry != NULL && is_free(entry))
        unlink_entry(cache, entry);
    else
        entry = NULL;
    pthread_mutex_unlock(&cache->mutex);
    if (entry != NULL)
        free_entry(entry);
}

void scan_cache_read(struct scan_cache *cache, struct scan_cache_stats *stats)
{
    pthread_mutex_lock(&cache->mutex);
    *stats = cache->stats;
    for (const struct entry *entry = cache->entries; entry != NULL; entry = entry->next)
        stats->databases += entry->kept.db != NULL;
    pthread_mutex_unlock(&cache->mutex);
}
