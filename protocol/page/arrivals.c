/*
 * A record is the page number in the machine's byte order, then the page; the file never leaves the
 * machine. One with a name begins with a header: what its pages were kept for. It is written
 * without fsync: what a power loss leaves of it begins with page number 0 somewhere, or has another
 * hash.
 */
#include "protocol/page/arrivals.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/spool.h"

/* Records are read and written this many bytes at a time: at least one page of the largest size. */
#define CHUNK 262144u

/* Fewer bytes are not worth a file that a person may wonder about. */
#define WORTH_KEEPING 1048576u

static const char MAGIC[8] = "lspull1\n";

struct header {
    char magic[sizeof(MAGIC)];
    uint32_t page_size;
    uint32_t unused;
    uint8_t root[PAGE_ROOT_SIZE]; /* of the database that the pages are for */
};

struct arrivals {
    struct spool *spool;
    char *path;     /* NULL: the file has no name, or has it no more */
    uint64_t start; /* of the first record */
    uint32_t page_size;
    size_t record; /* bytes of one */
    uint8_t *data; /* a chunk: what is to be written, or was read */
    size_t len;    /* bytes in it */
    size_t at;     /* reading: of the next record */
    int reads;     /* everything was added, and is being read */
};

/* All but the spool. */
static struct arrivals *make(uint32_t page_size, struct error *error)
{
    struct arrivals *new = calloc(1, sizeof(*new));

    if (new == NULL || (new->data = malloc(CHUNK)) == NULL) {
        free(new);
        error_set(error, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    new->page_size = page_size;
    new->record = sizeof(uint32_t) + page_size;
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

/* Begin the file anew unless its header is this one. Half a record at the end is no record. */
static int check_header(struct arrivals *arrivals, const struct header *header, struct error *error)
{
    struct header found = {0};
    size_t got;
    int rc = spool_read(arrivals->spool, &found, sizeof(found), &got, error);

    if (rc != 0)
        return rc;
    if (got == sizeof(found) && memcmp(&found, header, sizeof(found)) == 0) {
        uint64_t records = (spool_size(arrivals->spool) - sizeof(found)) / arrivals->record;
        return spool_truncate(arrivals->spool, sizeof(found) + records * arrivals->record, error);
    }
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

int arrivals_add(struct arrivals *arrivals, uint32_t pgno, const uint8_t *page, struct error *error)
{
    int rc = 0;

    assert(!arrivals->reads);
    if (arrivals->len + arrivals->record > CHUNK)
        rc = flush(arrivals, error);
    memcpy(arrivals->data + arrivals->len, &pgno, sizeof(pgno));
    memcpy(arrivals->data + arrivals->len + sizeof(pgno), page, arrivals->page_size);
    arrivals->len += arrivals->record;
    return rc;
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
    if (arrivals->spool != NULL && spool_size(arrivals->spool) < WORTH_KEEPING)
        arrivals_discard(arrivals);
    spool_free(arrivals->spool);
    free(arrivals->path);
    free(arrivals->data);
    free(arrivals);
}

void arrivals_rewind(struct arrivals *arrivals)
{
    if (!arrivals->reads)
        return;
    arrivals->reads = 0;
    arrivals->len = 0;
    arrivals->at = 0;
}

/* Fill the chunk with as many whole records as it holds. */
static int refill(struct arrivals *arrivals, struct error *error)
{
    size_t want = CHUNK / arrivals->record * arrivals->record;
    size_t got = 1;
    int rc = 0;

    arrivals->len = 0;
    arrivals->at = 0;
    while (rc == 0 && got > 0 && arrivals->len < want) {
        rc = spool_read(arrivals->spool, arrivals->data + arrivals->len, want - arrivals->len, &got,
                        error);
        arrivals->len += rc == 0 ? got : 0;
    }
    return rc;
}

int arrivals_next(struct arrivals *arrivals, uint32_t *pgno, const uint8_t **page,
                  struct error *error)
{
    int rc = 0;

    *pgno = 0;
    if (!arrivals->reads) {
        rc = flush(arrivals, error);
        arrivals->reads = 1;
        arrivals->at = 0;
        spool_seek(arrivals->spool, arrivals->start);
    }
    if (rc == 0 && arrivals->at + arrivals->record > arrivals->len)
        rc = refill(arrivals, error);
    if (rc != 0 || arrivals->at + arrivals->record > arrivals->len)
        return rc;
    memcpy(pgno, arrivals->data + arrivals->at, sizeof(*pgno));
    *page = arrivals->data + arrivals->at + sizeof(*pgno);
    arrivals->at += arrivals->record;
    return 0;
}

int arrivals_read(struct arrivals *arrivals, uint32_t record, uint8_t *page, struct error *error)
{
    size_t got;
    int rc;

    spool_seek(arrivals->spool,
               arrivals->start + record * (uint64_t)arrivals->record + sizeof(uint32_t));
    rc = spool_read(arrivals->spool, page, arrivals->page_size, &got, error);
    if (rc == 0 && got != arrivals->page_size)
        rc = error_set(error, ERR_IO, "reading what an earlier attempt left: it was cut");
    return rc;
}

int arrivals_cut(struct arrivals *arrivals, uint32_t records, struct error *error)
{
    arrivals_rewind(arrivals);
    return spool_truncate(arrivals->spool, arrivals->start + records * (uint64_t)arrivals->record,
                          error);
}

uint64_t arrivals_count(const struct arrivals *arrivals)
{
    uint64_t waiting = arrivals->reads ? 0 : arrivals->len;

    return (spool_size(arrivals->spool) + waiting - arrivals->start) / arrivals->record;
}
