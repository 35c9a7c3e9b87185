/* The page hashes of the base, in rows of many: see sidecar_set_base. */
#include <string.h>

#include <sqlite3.h>

#include "protocol/base/error.h"
#include "protocol/page/page_hash.h"
#include "protocol/sync/sidecar_file.h"

/* Page hashes of the base in one row: a push of scattered changes rewrites few rows, and the last one is cut to what there is. */
#define BASE_CHUNK 4096u

/* The hashes of chunk number `chunk` as they stand in the row: 16 bytes each, low half first, in the machine's byte order. */
static size_t chunk_size(const struct page_index *index, uint32_t chunk)
{
    uint32_t rest = index->page_count - chunk * BASE_CHUNK;

    return (rest < BASE_CHUNK ? rest : BASE_CHUNK) * sizeof(struct page_hash);
}

static uint32_t chunk_count(const struct page_index *index)
{
    return (uint32_t)(((uint64_t)index->page_count + BASE_CHUNK - 1) / BASE_CHUNK);
}

static int write_base_hashes(struct sidecar *sidecar, const struct page_index *index, struct error *error)
{
    const struct parameter beyond[] = {NUMBER(chunk_count(index))};
    int rc = sidecar_write(sidecar, "DELETE FROM base_hashes WHERE chunk >= ?1", beyond, 1, error);

    for (uint32_t chunk = 0; rc == 0 && chunk < chunk_count(index); chunk++) {
        const struct parameter row[] = {NUMBER(chunk), NUMBER(index->page_size),
                                        SIZED(index->hashes + (size_t)chunk * BASE_CHUNK, chunk_size(index, chunk))};
        rc = sidecar_write(sidecar,
                       "INSERT INTO base_hashes(chunk, page_size, hashes) VALUES(?1, ?2, ?3) ON CONFLICT(chunk) DO UPDATE"
                       " SET page_size = ?2, hashes = ?3 WHERE hashes IS NOT ?3 OR page_size IS NOT ?2",
                       row, 3, error);
    }
    return rc;
}

int sidecar_set_base(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], uint64_t version, const struct page_index *index,
                     struct error *error)
{
    const struct parameter parameters[] = {SIZED(root, ROOT_SIZE), NUMBER(version)};
    struct sidecar_state state;
    int rc = sidecar_begin(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_write(sidecar,
                   "UPDATE state SET base_root = ?1, base_version = ?2, version = ?2, root = ?1, incoming_root = NULL,"
                   " pending_id = NULL, pending_root = NULL",
                   parameters, 2, error);
    if (rc == 0)
        rc = write_base_hashes(sidecar, index, error);
    return sidecar_end(sidecar, rc, error);
}

/* Take over one row; they come in order. Returns 0, or 1 where it does not fit what came before. */
static int add_chunk(sqlite3_stmt *stmt, struct page_index *index, struct error *error)
{
    int size = sqlite3_column_bytes(stmt, 2);
    uint32_t count = (uint32_t)size / sizeof(struct page_hash);
    uint32_t before = index->page_count;

    if ((uint64_t)sqlite3_column_int64(stmt, 0) * BASE_CHUNK != before || size % (int)sizeof(struct page_hash) != 0 ||
        count == 0 || count > BASE_CHUNK || page_index_resize(index, before + count, error) != 0)
        return 1;
    index->page_size = (uint32_t)sqlite3_column_int64(stmt, 1);
    memcpy(index->hashes + before, sqlite3_column_blob(stmt, 2), (size_t)size);
    return 0;
}

int sidecar_read_base(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], struct page_index *index, int *proven,
                      struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    uint8_t stored[ROOT_SIZE];
    int bad = 0;
    int rc;

    *proven = 0;
    page_index_release(index);
    rc = sidecar_connect(sidecar, 0, error);
    if (rc != 0 || sidecar->db == NULL)
        return rc;
    if (sqlite3_prepare_v2(sidecar->db, "SELECT chunk, page_size, hashes FROM base_hashes ORDER BY chunk", -1, &stmt, NULL) !=
        SQLITE_OK)
        return sidecar_fail(sidecar, "reading", error);
    while (!bad && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        bad = add_chunk(stmt, index, error);
    rc = bad || rc == SQLITE_DONE ? 0 : sidecar_fail(sidecar, "reading", error);
    sqlite3_finalize(stmt);
    page_index_root(index, stored);
    *proven = rc == 0 && !bad && memcmp(stored, root, ROOT_SIZE) == 0;
    if (!*proven)
        page_index_release(index);
    return rc;
}
