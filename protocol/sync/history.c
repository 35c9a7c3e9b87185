/*
 * What is kept of an old page is its difference from the page that replaced it, byte by byte (XOR),
 * where many of their words are the same, and else the page itself. A difference is found again
 * only from the newer page, which is the database's present one or is made in the same way:
 * differences are followed, newer and newer, until there is a page to begin with. What another
 * program wrote meanwhile breaks that chain for the pages that it wrote. On the
 * scattered updates of bench/ (25,783 pages) the thread below took 0.03 s for this, and 0.23 s
 * where all pages were kept whole; the log is 3.3 MB.
 *
 * Pages are compressed in packs of 128 KiB, which zstd packs better than single pages and which a
 * pull reads in page order, so that each is unpacked about once (history_packs.h: and if not). A
 * row of `pack` has the keys of its pages apart from their bytes: a pull reads all keys, then only
 * the packs it needs. A key is the page's number, the low halves of its hash and of the hash of
 * what replaced it (0: the page is kept as it was), 20 bytes in the machine's byte order.
 *
 * A thread compresses and inserts, while the caller takes pages apart: a ring of packs goes from
 * one to the other. The thread has the connection to itself from history_begin to history_end.
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
#include "protocol/sync/history_file.h"
#include "protocol/sync/history_index.h"
#include "protocol/sync/history_packs.h"

#define PACK_PAGES_MAX (HISTORY_PACK_BYTES / LIMIT_PAGE_SIZE_MIN)
#define SIZE           "SELECT coalesce(sum(length(data) + length(keys)), 0) FROM pack"
/* Speed matters, every push pays: level 1 takes a third of the time of 3 for 8 % more bytes. */
#define LEVEL 1
#define RING  4 /* packs that wait for the thread, at most */

/* A pack that is being filled, or waits to be stored. */
struct pack {
    uint8_t *pages; /* owned; HISTORY_PACK_BYTES */
    uint8_t keys[PACK_PAGES_MAX * HISTORY_KEY_SIZE];
    uint32_t count; /* pages in it */
};

struct history {
    struct history_file file;
    uint64_t max_bytes;
    uint32_t page_size;

    /* A push. */
    int writing; /* a version was begun; the thread runs */
    uint64_t version;
    pthread_t thread;
    pthread_mutex_t mutex; /* over what follows, up to failed */
    pthread_cond_t changed;
    unsigned
        filled; /* packs that were handed over, all in all; the one after them is being filled */
    unsigned stored; /* of them, those that the thread is through with */
    int ended;       /* no more will come */
    int failed;      /* the version cannot be kept */
    int damaged;     /* because the file is no use; the thread's until it is joined */
    struct pack ring[RING];
    ZSTD_CCtx *zstd; /* owned; the thread's */
    uint8_t *packed; /* owned; room for a compressed pack; the thread's */

    struct history_index *index; /* of what there is, for a pull; NULL until needed */
};

static void give_up(struct history *history);

int history_open(struct history **history, const char *real_path, uint64_t max_bytes,
                 struct error *error)
{
    struct history *new = calloc(1, sizeof(*new));

    *history = NULL;
    if (new == NULL || asprintf(&new->file.path, "%s-lockstep-history", real_path) < 0) {
        free(new);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    new->max_bytes = max_bytes;
    pthread_mutex_init(&new->mutex, NULL);
    pthread_cond_init(&new->changed, NULL);
    if (max_bytes == 0)
        unlink(new->file.path);
    *history = new;
    return 0;
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    give_up(history);
    pthread_cond_destroy(&history->changed);
    pthread_mutex_destroy(&history->mutex);
    for (int i = 0; i < RING; i++)
        free(history->ring[i].pages);
    ZSTD_freeCCtx(history->zstd);
    history_index_free(history->index);
    free(history->packed);
    history_file_release(&history->file);
    free(history);
}

/* ---- a push ---- */

/* Compress a pack and store it. Returns the bytes it takes, 0 for a failure. */
static size_t store_pack(struct history *history, const struct pack *pack)
{
    size_t len =
        ZSTD_compress2(history->zstd, history->packed, ZSTD_compressBound(HISTORY_PACK_BYTES),
                       pack->pages, (size_t)pack->count * history->page_size);
    sqlite3_stmt *stmt = history_file_prepare(
        &history->file, "INSERT INTO pack(version, page_size, keys, data) VALUES(?1, ?2, ?3, ?4)");
    int done = 0;

    if (stmt != NULL && !ZSTD_isError(len)) {
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64)history->version);
        sqlite3_bind_int64(stmt, 2, history->page_size);
        sqlite3_bind_blob(stmt, 3, pack->keys, (int)(pack->count * HISTORY_KEY_SIZE),
                          SQLITE_STATIC);
        sqlite3_bind_blob(stmt, 4, history->packed, (int)len, SQLITE_STATIC);
        done = sqlite3_step(stmt) == SQLITE_DONE;
    }
    history->damaged |= !done && history_file_is_damaged(&history->file);
    sqlite3_finalize(stmt);
    return done ? len + (size_t)pack->count * HISTORY_KEY_SIZE : 0;
}

/* The file is no use: what there was before this push, and what it has added, is lost; the rest can
 * be kept. */
static int begin_anew(struct history *history)
{
    history_file_throw_away(&history->file);
    history->damaged = 0;
    return history_file_connect(&history->file) &&
           history_file_execute(&history->file, "BEGIN IMMEDIATE");
}

/* The thread: packs in the order in which they were handed over, until the end. */
static void *store_packs(void *arg)
{
    struct history *history = arg;
    uint64_t written = 0;

    pthread_mutex_lock(&history->mutex);
    for (;;) {
        const struct pack *pack = &history->ring[history->stored % RING];
        size_t len;
        while (history->stored == history->filled && !history->ended)
            pthread_cond_wait(&history->changed, &history->mutex);
        if (history->stored == history->filled)
            break;
        if (!history->failed) {
            pthread_mutex_unlock(&history->mutex);
            len = store_pack(history, pack);
            if (len == 0 && history->damaged && begin_anew(history))
                len = store_pack(history, pack);
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
    int damaged = history->damaged || history_file_is_damaged(&history->file);

    history_file_execute(&history->file, "ROLLBACK");
    if (damaged)
        history_file_throw_away(&history->file);
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
        if (history->ring[i].pages == NULL &&
            (history->ring[i].pages = malloc(HISTORY_PACK_BYTES)) == NULL)
            return 0;
        history->ring[i].count = 0;
    }
    if (history->packed == NULL)
        history->packed = malloc(ZSTD_compressBound(HISTORY_PACK_BYTES));
    if (history->zstd == NULL && (history->zstd = ZSTD_createCCtx()) != NULL) {
        ZSTD_CCtx_setParameter(history->zstd, ZSTD_c_compressionLevel, LEVEL);
        ZSTD_CCtx_setParameter(history->zstd, ZSTD_c_checksumFlag, 1);
    }
    return history->packed != NULL && history->zstd != NULL;
}

/* Begin a transaction on a log that can at least be read through. */
static int begin(struct history *history)
{
    struct history_file *file = &history->file;

    for (int attempt = 0; attempt < 2; attempt++) {
        if (!history_file_connect(file))
            return 0;
        if (history_file_execute(file, "BEGIN IMMEDIATE") && history_file_number(file, SIZE) >= 0)
            return 1;
        if (!history_file_is_damaged(file))
            return 0;
        history_file_throw_away(file);
    }
    return 0;
}

void history_begin(struct history *history, uint64_t version, uint32_t page_size)
{
    give_up(history);
    if (history->max_bytes == 0 || !allocate_ring(history) || !begin(history))
        return;
    history->version = version;
    history->page_size = page_size;
    history->filled = history->stored = 0;
    history->ended = history->failed = history->damaged = 0;
    history->writing = pthread_create(&history->thread, NULL, store_packs, history) == 0;
    if (!history->writing)
        history_file_execute(&history->file, "ROLLBACK");
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

/* Put at `kept` what is kept of the page `before`: its difference from `after`, and return 1; or it
 * itself, where a quarter of their words are not the same. */
static int subtract(uint8_t *kept, const uint8_t *before, const uint8_t *after, uint32_t page_size)
{
    uint32_t same = 0;

    for (uint32_t i = 0; i < page_size; i += 8) {
        uint64_t a, b;
        memcpy(&a, before + i, 8);
        memcpy(&b, after + i, 8);
        a ^= b;
        same += a == 0;
        memcpy(kept + i, &a, 8);
    }
    if (same >= page_size / 8 / 4)
        return 1;
    memcpy(kept, before, page_size);
    return 0;
}

void history_add(struct history *history, uint32_t pgno, const struct page_version *before,
                 const struct page_version *after)
{
    struct pack *pack = &history->ring[history->filled % RING];
    uint8_t *key = pack->keys + (size_t)pack->count * HISTORY_KEY_SIZE;
    uint64_t next_low = after->hash_low;

    if (!history->writing)
        return;
    if (next_low == 0 || !subtract(pack->pages + (size_t)pack->count * history->page_size,
                                   before->page, after->page, history->page_size)) {
        memcpy(pack->pages + (size_t)pack->count * history->page_size, before->page,
               history->page_size);
        next_low = 0;
    }
    memcpy(key, &pgno, 4);
    memcpy(key + 4, &before->hash_low, 8);
    memcpy(key + 12, &next_low, 8);
    pack->count++;
    if ((pack->count + 1) * history->page_size > HISTORY_PACK_BYTES)
        hand_over(history);
}

/* Drop whole versions, oldest first, until the rest has room. */
static int trim(struct history *history)
{
    for (;;) {
        int64_t bytes = history_file_number(&history->file, SIZE);
        if (bytes < 0 || (uint64_t)bytes <= history->max_bytes)
            return bytes >= 0;
        if (!history_file_execute(
                &history->file, "DELETE FROM pack WHERE version = (SELECT min(version) FROM pack)"))
            return 0;
    }
}

void history_end(struct history *history)
{
    if (!history->writing)
        return;
    if (history->ring[history->filled % RING].count > 0)
        hand_over(history);
    if (!join_thread(history) || !trim(history) || !history_file_execute(&history->file, "COMMIT"))
        undo(history);
}

/* ---- a pull ---- */

int history_find(struct history *history, uint32_t pgno, uint64_t hash_low,
                 const struct page_version *now, uint32_t page_size, uint8_t *page)
{
    if (history->max_bytes == 0)
        return 0;
    if (history->index == NULL)
        history->index = history_index_new(&history->file, page_size);
    return history->index != NULL &&
           history_index_find(history->index, pgno, hash_low, now, page_size, page);
}
