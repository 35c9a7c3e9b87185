#include "protocol/sync/history_packs.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#include <sqlite3.h>
#include <zstd.h>

#include "protocol/base/limits.h"
#include "protocol/page/spool.h"
#include "protocol/sync/history_file.h"

#define CACHED_PACKS 32
/* Of the disk's free space, what part the spool may take: programs that write need the rest. */
#define FREE_SHARE 4
/* More packs than this, from the oldest to the newest, do without a spool. */
#define PACKS_MAX 1048576

/* An unpacked pack. */
struct unpacked {
    int64_t pack;  /* 0: none */
    uint64_t used; /* when it was last needed */
    uint8_t *data; /* owned */
    size_t len;
};

/* Values of history_packs.spots; what is above them is the pack's number in the spool plus
 * SPOT_SPOOLED. */
enum { SPOT_UNSEEN, SPOT_SEEN, SPOT_SPOOLED };

struct history_packs {
    struct history_file *file; /* borrowed */
    int damaged;               /* it was thrown away */
    struct unpacked cache[CACHED_PACKS];
    uint64_t clock;
    int64_t oldest;      /* pack; the first of spots */
    uint32_t spot_count; /* 0 also where there is to be no spool */
    uint32_t *spots; /* owned; whether a pack was unpacked before, and where it is in the spool */
    struct spool *spool;   /* owned; NULL before it is needed. Packs of HISTORY_PACK_BYTES */
    uint64_t spool_max;    /* bytes */
    uint8_t *spooled_page; /* owned; what was read from it last; room for a pack */
};

struct history_packs *history_packs_new(struct history_file *file)
{
    struct history_packs *packs = calloc(1, sizeof(*packs));
    int64_t oldest = history_file_number(file, "SELECT min(id) FROM pack");
    int64_t newest = history_file_number(file, "SELECT max(id) FROM pack");

    if (packs == NULL)
        return NULL;
    packs->file = file;
    if (oldest <= 0 || newest < oldest || newest - oldest >= PACKS_MAX)
        return packs;
    packs->oldest = oldest;
    packs->spots = calloc((size_t)(newest - oldest + 1), sizeof(*packs->spots));
    packs->spooled_page = malloc(HISTORY_PACK_BYTES);
    if (packs->spots != NULL && packs->spooled_page != NULL)
        packs->spot_count = (uint32_t)(newest - oldest + 1);
    return packs;
}

void history_packs_free(struct history_packs *packs)
{
    if (packs == NULL)
        return;
    for (int i = 0; i < CACHED_PACKS; i++)
        free(packs->cache[i].data);
    spool_free(packs->spool);
    free(packs->spots);
    free(packs->spooled_page);
    free(packs);
}

/* ---- the spool ---- */

static uint32_t *find_spot(const struct history_packs *packs, int64_t pack)
{
    if (pack < packs->oldest || pack - packs->oldest >= packs->spot_count)
        return NULL;
    return &packs->spots[pack - packs->oldest];
}

/* It cannot be written or read: do without, and give its room back. */
static void drop_spool(struct history_packs *packs)
{
    spool_free(packs->spool);
    packs->spool = NULL;
    packs->spot_count = 0;
}

/* Open it if it is not yet. Returns whether it is. */
static int open_spool(struct history_packs *packs)
{
    struct statvfs disk;

    if (packs->spool != NULL)
        return 1;
    if (statvfs(packs->file->path, &disk) != 0 ||
        spool_new(&packs->spool, packs->file->path, NULL, LIMIT_HISTORY_SPOOL, NULL) != 0)
        return 0;
    packs->spool_max = (uint64_t)disk.f_bavail * disk.f_frsize / FREE_SHARE;
    if (packs->spool_max > LIMIT_HISTORY_SPOOL)
        packs->spool_max = LIMIT_HISTORY_SPOOL;
    return 1;
}

/* A pack was unpacked: keep it where that was not the first time. One that is not full is cheaper
 * to unpack than to keep. */
static void note_unpacked(struct history_packs *packs, const struct unpacked *entry)
{
    uint32_t *spot = find_spot(packs, entry->pack);

    if (spot == NULL || entry->len != HISTORY_PACK_BYTES)
        return;
    if (*spot == SPOT_UNSEEN) {
        *spot = SPOT_SEEN;
        return;
    }
    if (!open_spool(packs)) {
        drop_spool(packs);
        return;
    }
    if (spool_size(packs->spool) + HISTORY_PACK_BYTES > packs->spool_max)
        return;
    if (spool_append(packs->spool, entry->data, HISTORY_PACK_BYTES, NULL) == 0)
        *spot = SPOT_SPOOLED + (uint32_t)(spool_size(packs->spool) / HISTORY_PACK_BYTES - 1);
    else
        drop_spool(packs);
}

/* The page from the spool; NULL where it is not there. */
static const uint8_t *read_spooled(struct history_packs *packs, int64_t pack, size_t offset,
                                   uint32_t size)
{
    const uint32_t *spot = find_spot(packs, pack);
    size_t got;

    if (spot == NULL || *spot < SPOT_SPOOLED || offset + size > HISTORY_PACK_BYTES)
        return NULL;
    spool_seek(packs->spool, (uint64_t)(*spot - SPOT_SPOOLED) * HISTORY_PACK_BYTES + offset);
    if (spool_read(packs->spool, packs->spooled_page, size, &got, NULL) == 0 && got == size)
        return packs->spooled_page;
    drop_spool(packs);
    return NULL;
}

/* ---- the log ---- */

/* Fill the entry with a pack from the file. */
static int unpack(struct history_packs *packs, struct unpacked *entry, int64_t pack)
{
    sqlite3_stmt *stmt;
    size_t len = 0;

    entry->pack = 0;
    if (entry->data == NULL)
        entry->data = malloc(HISTORY_PACK_BYTES);
    if (entry->data == NULL || packs->damaged)
        return 0;
    stmt = history_file_prepare(packs->file, "SELECT data FROM pack WHERE id = ?1");
    if (stmt == NULL)
        return 0;
    sqlite3_bind_int64(stmt, 1, pack);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        len = ZSTD_decompress(entry->data, HISTORY_PACK_BYTES, sqlite3_column_blob(stmt, 0),
                              (size_t)sqlite3_column_bytes(stmt, 0));
    sqlite3_finalize(stmt);
    /* Its checksum tells what SQLite cannot. */
    if (len == 0 || ZSTD_isError(len)) {
        history_file_throw_away(packs->file);
        packs->damaged = 1;
        return 0;
    }
    entry->pack = pack;
    entry->len = len;
    return 1;
}

/* The pack's entry if it is in memory, else the one that was not needed for longest. */
static struct unpacked *find_entry(struct history_packs *packs, int64_t pack)
{
    struct unpacked *oldest = &packs->cache[0];

    for (int i = 0; i < CACHED_PACKS; i++) {
        struct unpacked *entry = &packs->cache[i];
        if (entry->pack == pack)
            return entry;
        if (entry->used < oldest->used)
            oldest = entry;
    }
    return oldest;
}

const uint8_t *history_packs_read(struct history_packs *packs, int64_t pack, size_t offset,
                                  uint32_t size)
{
    struct unpacked *entry = find_entry(packs, pack);

    if (entry->pack != pack) {
        const uint8_t *page = read_spooled(packs, pack, offset, size);
        if (page != NULL)
            return page;
        if (!unpack(packs, entry, pack))
            return NULL;
        note_unpacked(packs, entry);
    }
    entry->used = ++packs->clock;
    return offset + size <= entry->len ? entry->data + offset : NULL;
}
