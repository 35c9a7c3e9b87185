/*
 * Pages are compressed in packs of about 128 KiB, which zstd packs better than single pages (2.4 times smaller on the scattered
 * updates of bench/) and which a pull reads in page order, so that each is unpacked about once. A row of `pack` has the
 * keys of its pages (page number and hash, 12 bytes each, the machine's byte order) apart from their bytes: a pull reads all keys, then only the packs it needs.
 *
 * Compressing is the larger part of the work of a push, so a thread does it, and the inserting, while the caller applies pages:
 * a ring of packs goes from one to the other. The thread has the connection to itself from history_begin to history_end.
 */
#include "protocol/sync/history.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>
#include <zstd.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"

#define LAYOUT_VERSION 1
#define PACK_BYTES     131072u
#define PACK_PAGES_MAX (PACK_BYTES / LIMIT_PAGE_SIZE_MIN)
#define KEY_SIZE       12u
/* Speed matters, every push pays: level 1 takes a third of the time of 3 for 8 % more bytes. */
#define LEVEL          1
#define CACHED_PACKS   8
#define RING           4 /* packs that wait for the thread, at most */

/* Where a page is. */
struct place {
    uint64_t hash_low;
    uint32_t pgno;
    uint32_t slot; /* in its pack */
    int64_t pack;
};

/* A pack that is being filled, or waits to be stored. */
struct pack {
    uint8_t *pages; /* owned; PACK_BYTES */
    uint8_t keys[PACK_PAGES_MAX * KEY_SIZE];
    uint32_t count; /* pages in it */
};

/* An unpacked pack. */
struct unpacked {
    int64_t pack; /* 0: none */
    uint64_t used; /* when it was last needed */
    uint8_t *data; /* owned */
    size_t len;
};

struct history {
    char *path;
    uint64_t max_bytes;
    sqlite3 *db;       /* NULL until needed */
    uint32_t page_size;

    /* A push. */
    int writing;       /* a version was begun; the thread runs */
    uint64_t version;
    pthread_t thread;
    pthread_mutex_t mutex;  /* over what follows, up to failed */
    pthread_cond_t changed;
    unsigned filled;   /* packs that were handed over, all in all; the one after them is being filled */
    unsigned stored;   /* of them, those that the thread is through with */
    int ended;         /* no more will come */
    int failed;        /* the version cannot be kept */
    int damaged;       /* because the file is no use; the thread's until it is joined */
    struct pack ring[RING];
    uint8_t *packed;   /* owned; room for a compressed pack; the thread's */

    /* A pull. */
    int loaded;
    struct place *places; /* owned; sorted by page number, then hash */
    size_t place_count;
    struct unpacked cache[CACHED_PACKS];
    uint64_t clock;
};

static void give_up(struct history *history);

int history_open(struct history **history, const char *real_path, uint64_t max_bytes, struct error *error)
{
    struct history *new = calloc(1, sizeof(*new));

    *history = NULL;
    if (new == NULL || asprintf(&new->path, "%s-lockstep-history", real_path) < 0) {
        free(new);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    new->max_bytes = max_bytes;
    pthread_mutex_init(&new->mutex, NULL);
    pthread_cond_init(&new->changed, NULL);
    if (max_bytes == 0)
        unlink(new->path);
    *history = new;
    return 0;
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    give_up(history);
    sqlite3_close(history->db);
    pthread_cond_destroy(&history->changed);
    pthread_mutex_destroy(&history->mutex);
    for (int i = 0; i < RING; i++)
        free(history->ring[i].pages);
    for (int i = 0; i < CACHED_PACKS; i++)
        free(history->cache[i].data);
    free(history->places);
    free(history->packed);
    free(history->path);
    free(history);
}

/* ---- the file ---- */

static int execute(struct history *history, const char *sql)
{
    return sqlite3_exec(history->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static sqlite3_stmt *prepare(struct history *history, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    return sqlite3_prepare_v2(history->db, sql, -1, &stmt, NULL) == SQLITE_OK ? stmt : NULL;
}

static int set_up(struct history *history)
{
    /* An older or newer layout is of no use: its tables are thrown away. */
    static const char layout[] = "DROP TABLE IF EXISTS pack;"
                                 "CREATE TABLE pack(id INTEGER PRIMARY KEY, version INTEGER NOT NULL, page_size INTEGER NOT NULL,"
                                 "  keys BLOB NOT NULL, data BLOB NOT NULL);"
                                 "CREATE INDEX pack_by_version ON pack(version);"
                                 "PRAGMA user_version = 1;";
    sqlite3_stmt *stmt = prepare(history, "PRAGMA user_version");
    int version = stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int(stmt, 0) : -1;

    sqlite3_finalize(stmt);
    return version == LAYOUT_VERSION || (version >= 0 && execute(history, layout));
}

static void close_file(struct history *history)
{
    sqlite3_close(history->db);
    history->db = NULL;
}

/* Whether the last call of SQLite's found the file damaged, or without the table that it should have. */
static int is_damaged(const struct history *history)
{
    int rc = sqlite3_errcode(history->db);

    return rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT || rc == SQLITE_ERROR;
}

/* Remove the file; the next push begins anew. */
static void throw_away(struct history *history)
{
    close_file(history);
    unlink(history->path);
}

/* Connect; make the file where it is missing, and anew where it is damaged. Returns whether it can be used. */
static int connect_file(struct history *history)
{
    for (int attempt = 0; history->db == NULL && history->max_bytes > 0 && attempt < 2; attempt++) {
        if (sqlite3_open_v2(history->path, &history->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK &&
            execute(history, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;") && set_up(history)) {
            sqlite3_busy_timeout(history->db, 2000);
            break;
        }
        if (!is_damaged(history)) {
            close_file(history);
            break;
        }
        throw_away(history);
    }
    return history->db != NULL;
}

/* ---- a push ---- */

/* Compress a pack and store it. Returns the bytes it takes, 0 for a failure. */
static size_t store_pack(struct history *history, const struct pack *pack)
{
    size_t len = ZSTD_compress(history->packed, ZSTD_compressBound(PACK_BYTES), pack->pages,
                               (size_t)pack->count * history->page_size, LEVEL);
    sqlite3_stmt *stmt = prepare(history, "INSERT INTO pack(version, page_size, keys, data) VALUES(?1, ?2, ?3, ?4)");
    int done = 0;

    if (stmt != NULL && !ZSTD_isError(len)) {
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64)history->version);
        sqlite3_bind_int64(stmt, 2, history->page_size);
        sqlite3_bind_blob(stmt, 3, pack->keys, (int)(pack->count * KEY_SIZE), SQLITE_STATIC);
        sqlite3_bind_blob(stmt, 4, history->packed, (int)len, SQLITE_STATIC);
        done = sqlite3_step(stmt) == SQLITE_DONE;
    }
    history->damaged |= !done && is_damaged(history);
    sqlite3_finalize(stmt);
    return done ? len : 0;
}

/* The thread: packs in the order in which they were handed over, until the end. */
static void *store_packs(void *arg)
{
    struct history *history = arg;
    uint64_t written = 0;

    pthread_mutex_lock(&history->mutex);
    for (;;) {
        size_t len;
        while (history->stored == history->filled && !history->ended)
            pthread_cond_wait(&history->changed, &history->mutex);
        if (history->stored == history->filled)
            break;
        if (!history->failed) {
            pthread_mutex_unlock(&history->mutex);
            len = store_pack(history, &history->ring[history->stored % RING]);
            written += len;
            pthread_mutex_lock(&history->mutex);
            /* One push that is more than all there may be: nothing of it can be kept. */
            history->failed = len == 0 || written > history->max_bytes;
        }
        history->stored++;
        pthread_cond_signal(&history->changed);
    }
    pthread_mutex_unlock(&history->mutex);
    return NULL;
}

/* Let the thread finish what it has. Returns whether all of it is stored. */
static int join_thread(struct history *history)
{
    pthread_mutex_lock(&history->mutex);
    history->ended = 1;
    pthread_cond_signal(&history->changed);
    pthread_mutex_unlock(&history->mutex);
    pthread_join(history->thread, NULL);
    history->writing = 0;
    return !history->failed;
}

/* Undo what the thread, now gone, stored; a file that is damaged goes as a whole. */
static void undo(struct history *history)
{
    int damaged = history->damaged || is_damaged(history);

    execute(history, "ROLLBACK");
    if (damaged)
        throw_away(history);
}

static void give_up(struct history *history)
{
    if (!history->writing)
        return;
    pthread_mutex_lock(&history->mutex);
    history->failed = 1;
    pthread_mutex_unlock(&history->mutex);
    join_thread(history);
    undo(history);
}

static int allocate_ring(struct history *history)
{
    for (int i = 0; i < RING; i++) {
        if (history->ring[i].pages == NULL && (history->ring[i].pages = malloc(PACK_BYTES)) == NULL)
            return 0;
        history->ring[i].count = 0;
    }
    if (history->packed == NULL)
        history->packed = malloc(ZSTD_compressBound(PACK_BYTES));
    return history->packed != NULL;
}

void history_begin(struct history *history, uint64_t version, uint32_t page_size)
{
    give_up(history);
    if (!allocate_ring(history) || !connect_file(history) || !execute(history, "BEGIN IMMEDIATE"))
        return;
    history->version = version;
    history->page_size = page_size;
    history->filled = history->stored = 0;
    history->ended = history->failed = history->damaged = 0;
    history->writing = pthread_create(&history->thread, NULL, store_packs, history) == 0;
    if (!history->writing)
        execute(history, "ROLLBACK");
}

/* Hand the pack that is being filled over, and wait until the next one is free. */
static void hand_over(struct history *history)
{
    pthread_mutex_lock(&history->mutex);
    history->filled++;
    pthread_cond_signal(&history->changed);
    while (history->filled - history->stored == RING)
        pthread_cond_wait(&history->changed, &history->mutex);
    pthread_mutex_unlock(&history->mutex);
    history->ring[history->filled % RING].count = 0;
}

void history_add(struct history *history, uint32_t pgno, uint64_t hash_low, const uint8_t *page)
{
    struct pack *pack = &history->ring[history->filled % RING];
    uint8_t *key = pack->keys + (size_t)pack->count * KEY_SIZE;

    if (!history->writing)
        return;
    memcpy(key, &pgno, sizeof(pgno));
    memcpy(key + sizeof(pgno), &hash_low, sizeof(hash_low));
    memcpy(pack->pages + (size_t)pack->count * history->page_size, page, history->page_size);
    pack->count++;
    if ((pack->count + 1) * history->page_size > PACK_BYTES)
        hand_over(history);
}

static int64_t read_number(struct history *history, const char *sql)
{
    sqlite3_stmt *stmt = prepare(history, sql);
    int64_t number = stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;

    sqlite3_finalize(stmt);
    return number;
}

/* Drop whole versions, oldest first, until the rest has room. */
static int trim(struct history *history)
{
    for (;;) {
        int64_t bytes = read_number(history, "SELECT coalesce(sum(length(data)), 0) FROM pack");
        if (bytes < 0 || (uint64_t)bytes <= history->max_bytes)
            return bytes >= 0;
        if (!execute(history, "DELETE FROM pack WHERE version = (SELECT min(version) FROM pack)"))
            return 0;
    }
}

void history_end(struct history *history)
{
    if (!history->writing)
        return;
    if (history->ring[history->filled % RING].count > 0)
        hand_over(history);
    if (!join_thread(history) || !trim(history) || !execute(history, "COMMIT"))
        undo(history);
}

/* ---- a pull ---- */

static int compare_places(const void *a, const void *b)
{
    const struct place *left = a;
    const struct place *right = b;

    if (left->pgno != right->pgno)
        return left->pgno < right->pgno ? -1 : 1;
    return (left->hash_low > right->hash_low) - (left->hash_low < right->hash_low);
}

/* Take over the keys of one row. */
static int load_keys(struct history *history, sqlite3_stmt *stmt, size_t *cap)
{
    const uint8_t *keys = sqlite3_column_blob(stmt, 1);
    uint32_t count = (uint32_t)sqlite3_column_bytes(stmt, 1) / KEY_SIZE;
    struct place *grown;

    if (history->place_count + count > *cap) {
        *cap = 2 * (history->place_count + count);
        grown = realloc(history->places, *cap * sizeof(*grown));
        if (grown == NULL)
            return 0;
        history->places = grown;
    }
    for (uint32_t slot = 0; slot < count; slot++) {
        struct place *place = &history->places[history->place_count++];
        place->pack = sqlite3_column_int64(stmt, 0);
        place->slot = slot;
        memcpy(&place->pgno, keys + (size_t)slot * KEY_SIZE, sizeof(place->pgno));
        memcpy(&place->hash_low, keys + (size_t)slot * KEY_SIZE + sizeof(place->pgno), sizeof(place->hash_low));
    }
    return 1;
}

static void load(struct history *history, uint32_t page_size)
{
    sqlite3_stmt *stmt;
    size_t cap = 0;

    history->loaded = 1;
    history->page_size = page_size;
    if (access(history->path, F_OK) != 0 || !connect_file(history))
        return;
    stmt = prepare(history, "SELECT id, keys FROM pack WHERE page_size = ?1");
    if (stmt != NULL)
        sqlite3_bind_int64(stmt, 1, page_size);
    while (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW && load_keys(history, stmt, &cap))
        ;
    sqlite3_finalize(stmt);
    if (is_damaged(history)) {
        throw_away(history);
        history->place_count = 0;
    }
    if (history->place_count > 0)
        qsort(history->places, history->place_count, sizeof(*history->places), compare_places);
}

/* Fill the entry with a pack from the file. */
static int unpack(struct history *history, struct unpacked *entry, int64_t pack)
{
    sqlite3_stmt *stmt = prepare(history, "SELECT data FROM pack WHERE id = ?1");
    size_t len = 0;

    entry->pack = 0;
    if (entry->data == NULL)
        entry->data = malloc(PACK_BYTES);
    if (stmt == NULL || entry->data == NULL) {
        sqlite3_finalize(stmt);
        return 0;
    }
    sqlite3_bind_int64(stmt, 1, pack);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        len = ZSTD_decompress(entry->data, PACK_BYTES, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
    sqlite3_finalize(stmt);
    if (len == 0 || ZSTD_isError(len))
        return 0;
    entry->pack = pack;
    entry->len = len;
    return 1;
}

/* The pack, unpacked; NULL where it cannot be had. */
static const struct unpacked *get_pack(struct history *history, int64_t pack)
{
    struct unpacked *oldest = &history->cache[0];

    history->clock++;
    for (int i = 0; i < CACHED_PACKS; i++) {
        struct unpacked *entry = &history->cache[i];
        if (entry->pack == pack) {
            entry->used = history->clock;
            return entry;
        }
        if (entry->used < oldest->used)
            oldest = entry;
    }
    oldest->used = history->clock;
    return unpack(history, oldest, pack) ? oldest : NULL;
}

int history_find(struct history *history, uint32_t pgno, uint64_t hash_low, uint32_t page_size, uint8_t *page)
{
    const struct place key = {.pgno = pgno, .hash_low = hash_low};
    const struct unpacked *entry;
    const struct place *place;
    size_t offset;

    if (!history->loaded)
        load(history, page_size);
    if (history->place_count == 0 || page_size != history->page_size)
        return 0;
    place = bsearch(&key, history->places, history->place_count, sizeof(key), compare_places);
    entry = place != NULL ? get_pack(history, place->pack) : NULL;
    if (entry == NULL)
        return 0;
    offset = (size_t)place->slot * page_size;
    if (offset + page_size > entry->len)
        return 0;
    memcpy(page, entry->data + offset, page_size);
    return 1;
}
