/*
 * A record is a header, then the page, or what it differs in from the page that it replaces; all in
 * the machine's byte order, as the file never leaves the machine. A file with a name begins with a
 * header: what its pages were kept for. It is written without fsync: what a power loss leaves of it
 * begins with page number 0 somewhere, is cut, or has another hash.
 */
#include "protocol/page/arrivals.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/page_delta.h"
#include "protocol/page/spool.h"

/* Records are read and written this many bytes at a time: at least one page of the largest size. */
#define CHUNK 262144u

/* Fewer bytes of pages are not worth a file that a person may wonder about. */
#define WORTH_KEEPING 1048576u

static const char MAGIC[8] = "lspull2\n";

struct header {
    char magic[sizeof(MAGIC)];
    uint32_t page_size;
    uint32_t unused;
    uint8_t root[PAGE_ROOT_SIZE]; /* of the database that the pages are for */
};

struct record {
    uint32_t pgno;
    uint32_t len; /* bytes that follow: page_size for the page, less for a delta */
};

struct arrivals {
    struct spool *spool;
    char *path;     /* NULL: the file has no name, or has it no more */
    uint64_t start; /* of the first record */
    uint32_t page_size;
    uint64_t count;        /* pages that were added, or given since reading began */
    uint64_t given;        /* of those that were added, those with an old page */
    uint64_t alike;        /* of them, those that became deltas */
    arrivals_fetch *fetch; /* of old pages */
    void *fetch_arg;
    uint8_t *page;    /* owned; the page that is handed out, if it was a delta */
    uint8_t *data;    /* owned; a chunk: what is to be written, or was read */
    size_t len;       /* bytes in it */
    size_t at;        /* reading: of the next record */
    uint64_t data_at; /* reading: where the chunk stands in the file */
    uint64_t place;   /* reading: where the last record stands */
    int reads;        /* everything was added, and is being read */
    int unread;       /* nobody looked yet at what an earlier process left */
};

/* All but the spool. */
static struct arrivals *make(uint32_t page_size, struct error *error)
{
    struct arrivals *new = calloc(1, sizeof(*new));

    if (new != NULL) {
        new->data = malloc(CHUNK);
        new->page = malloc(page_size);
        new->page_size = page_size;
    }
    if (new == NULL || new->data == NULL || new->page == NULL) {
        arrivals_free(new);
        error_set(error, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    return new;
}

int arrivals_new(struct arrivals **arrivals, const char *beside, uint32_t page_size,
                 struct error *error)
{
    struct arrivals *new = make(page_size, error);
    int rc;

    *arrivals = NULL;
    if (new == NULL)
        return ERR_INTERNAL;
    rc = spool_new(&new->spool, beside, NULL, LIMIT_SPOOL, error);
    if (rc != 0) {
        arrivals_free(new);
        return rc;
    }
    *arrivals = new;
    return 0;
}

/* Begin the file anew unless its header is this one. */
static int check_header(struct arrivals *arrivals, const struct header *header, struct error *error)
{
    struct header found = {0};
    size_t got;
    int rc = spool_read(arrivals->spool, &found, sizeof(found), &got, error);

    if (rc != 0)
        return rc;
    if (got == sizeof(found) && memcmp(&found, header, sizeof(found)) == 0)
        return 0;
    rc = spool_truncate(arrivals->spool, 0, error);
    return rc != 0 ? rc : spool_append(arrivals->spool, header, sizeof(*header), error);
}

int arrivals_open(struct arrivals **arrivals, const char *real_path, uint32_t page_size,
                  const uint8_t root[PAGE_ROOT_SIZE], struct error *error)
{
    struct arrivals *new = make(page_size, error);
    struct header header = {.page_size = page_size};
    int rc;

    *arrivals = NULL;
    if (new == NULL)
        return ERR_INTERNAL;
    memcpy(header.magic, MAGIC, sizeof(MAGIC));
    memcpy(header.root, root, sizeof(header.root));
    if (asprintf(&new->path, "%s.lockstep-pull", real_path) < 0) {
        new->path = NULL;
        rc = error_set(error, ERR_INTERNAL, "out of memory");
    } else {
        rc = spool_open(&new->spool, new->path, LIMIT_SPOOL, error);
    }
    if (rc == 0)
        rc = check_header(new, &header, error);
    new->start = sizeof(header);
    new->unread = rc == 0 && spool_size(new->spool) > new->start;
    if (rc != 0) {
        arrivals_free(new);
        return rc;
    }
    *arrivals = new;
    return 0;
}

static int flush(struct arrivals *arrivals, struct error *error)
{
    int rc = spool_append(arrivals->spool, arrivals->data, arrivals->len, error);

    arrivals->len = 0;
    return rc;
}

int arrivals_add(struct arrivals *arrivals, uint32_t pgno, const uint8_t *page, const uint8_t *old,
                 struct error *error)
{
    struct record record = {pgno, arrivals->page_size};
    uint8_t *data;
    size_t len;
    int rc = 0;

    assert(!arrivals->reads);
    if (arrivals->len + sizeof(record) + arrivals->page_size > CHUNK)
        rc = flush(arrivals, error);
    data = arrivals->data + arrivals->len + sizeof(record);
    if (old != NULL &&
        page_delta_make(old, page, arrivals->page_size, data, arrivals->page_size / 2, &len)) {
        record.len = (uint32_t)len;
        arrivals->alike++;
    } else {
        memcpy(data, page, arrivals->page_size);
    }
    memcpy(arrivals->data + arrivals->len, &record, sizeof(record));
    arrivals->len += sizeof(record) + record.len;
    arrivals->given += old != NULL;
    arrivals->count++;
    return rc;
}

void arrivals_likeness(const struct arrivals *arrivals, uint64_t *given, uint64_t *alike)
{
    *given = arrivals->given;
    *alike = arrivals->alike;
}

void arrivals_build_on(struct arrivals *arrivals, arrivals_fetch *fetch, void *arg)
{
    arrivals->fetch = fetch;
    arrivals->fetch_arg = arg;
}

void arrivals_discard(struct arrivals *arrivals)
{
    if (arrivals->path != NULL)
        unlink(arrivals->path);
    free(arrivals->path);
    arrivals->path = NULL;
}

void arrivals_free(struct arrivals *arrivals)
{
    if (arrivals == NULL)
        return;
    /* What could not be written is not there for the next attempt, that is all. */
    if (arrivals->spool != NULL && arrivals->path != NULL && !arrivals->reads)
        flush(arrivals, NULL);
    if (arrivals->spool != NULL && !arrivals->unread &&
        arrivals->count * arrivals->page_size < WORTH_KEEPING)
        arrivals_discard(arrivals);
    spool_free(arrivals->spool);
    free(arrivals->path);
    free(arrivals->data);
    free(arrivals->page);
    free(arrivals);
}

void arrivals_rewind(struct arrivals *arrivals)
{
    if (!arrivals->reads)
        return;
    arrivals->reads = 0;
    arrivals->len = 0;
}

static int damaged(struct error *error)
{
    return error_set(error, ERR_IO, "reading the pages that came: they are damaged");
}

/* Have what stands at data + at in the chunk, with as much behind it as there is and the chunk
 * holds. */
static int refill(struct arrivals *arrivals, struct error *error)
{
    size_t kept = arrivals->len - arrivals->at, got;
    int rc;

    memmove(arrivals->data, arrivals->data + arrivals->at, kept);
    arrivals->data_at += arrivals->at;
    arrivals->at = 0;
    rc = spool_read(arrivals->spool, arrivals->data + kept, CHUNK - kept, &got, error);
    arrivals->len = kept + (rc == 0 ? got : 0);
    return rc;
}

/* Make the page of a record, whose bytes are in memory, at `page`. */
static int make_page(struct arrivals *arrivals, const struct record *record, const uint8_t *bytes,
                     uint8_t *page, struct error *error)
{
    int rc = 0;

    if (record->len == arrivals->page_size) {
        memcpy(page, bytes, record->len);
        return 0;
    }
    assert(arrivals->fetch != NULL);
    rc = arrivals->fetch(arrivals->fetch_arg, record->pgno, page, error);
    if (rc == 0 && !page_delta_apply(page, arrivals->page_size, bytes, record->len))
        rc = damaged(error);
    return rc;
}

static void begin_reading(struct arrivals *arrivals)
{
    arrivals->reads = 1;
    arrivals->unread = 0;
    arrivals->count = 0;
    arrivals->len = arrivals->at = 0;
    arrivals->data_at = arrivals->place = arrivals->start;
    spool_seek(arrivals->spool, arrivals->start);
}

int arrivals_next(struct arrivals *arrivals, uint32_t *pgno, const uint8_t **page,
                  struct error *error)
{
    struct record record;
    const uint8_t *bytes;
    int rc = 0;

    *pgno = 0;
    if (!arrivals->reads) {
        rc = flush(arrivals, error);
        begin_reading(arrivals);
    }
    if (rc == 0 && arrivals->len - arrivals->at < sizeof(record) + arrivals->page_size)
        rc = refill(arrivals, error);
    arrivals->place = arrivals->data_at + arrivals->at;
    if (rc != 0 || arrivals->len == arrivals->at)
        return rc;
    if (arrivals->len - arrivals->at < sizeof(record))
        return damaged(error);
    memcpy(&record, arrivals->data + arrivals->at, sizeof(record));
    bytes = arrivals->data + arrivals->at + sizeof(record);
    if (record.pgno == 0 || record.len > arrivals->page_size ||
        record.len > arrivals->len - arrivals->at - sizeof(record))
        return damaged(error);
    *page = record.len == arrivals->page_size ? bytes : arrivals->page;
    if (record.len < arrivals->page_size)
        rc = make_page(arrivals, &record, bytes, arrivals->page, error);
    if (rc != 0)
        return rc;
    arrivals->at += sizeof(record) + record.len;
    arrivals->count++;
    *pgno = record.pgno;
    return 0;
}

uint64_t arrivals_place(const struct arrivals *arrivals)
{
    return arrivals->place;
}

uint64_t arrivals_count(const struct arrivals *arrivals)
{
    return arrivals->count;
}

/* Not through the chunk, which may hold what is still to be written. */
int arrivals_read(struct arrivals *arrivals, uint64_t place, uint8_t *page, struct error *error)
{
    struct record record;
    size_t got;
    int rc;

    assert(!arrivals->reads);
    spool_seek(arrivals->spool, place);
    rc = spool_read(arrivals->spool, &record, sizeof(record), &got, error);
    if (rc == 0 && (got != sizeof(record) || record.len > arrivals->page_size))
        rc = damaged(error);
    if (rc == 0)
        rc = spool_read(arrivals->spool, arrivals->page, record.len, &got, error);
    if (rc == 0 && got != record.len)
        rc = damaged(error);
    return rc == 0 ? make_page(arrivals, &record, arrivals->page, page, error) : rc;
}

int arrivals_cut(struct arrivals *arrivals, uint64_t end, struct error *error)
{
    arrivals_rewind(arrivals);
    return spool_truncate(arrivals->spool, end, error);
}
