/* A record is the page number in the machine's byte order, then the page; the file never leaves the machine. */
#include "protocol/page/arrivals.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/spool.h"

/* Records are read and written this many bytes at a time: at least one page of the largest size. */
#define CHUNK 262144u

struct arrivals {
    struct spool *spool;
    uint32_t page_size;
    size_t record; /* bytes of one */
    uint8_t *data; /* a chunk: what is to be written, or was read */
    size_t len;    /* bytes in it */
    size_t at;     /* reading: of the next record */
    int reads;     /* everything was added, and is being read */
};

int arrivals_new(struct arrivals **arrivals, const char *beside, uint32_t page_size, struct error *error)
{
    struct arrivals *new = calloc(1, sizeof(*new));
    int rc;

    *arrivals = NULL;
    if (new == NULL || (new->data = malloc(CHUNK)) == NULL) {
        free(new);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    new->page_size = page_size;
    new->record = sizeof(uint32_t) + page_size;
    rc = spool_new(&new->spool, beside, NULL, LIMIT_SPOOL, error);
    if (rc != 0) {
        arrivals_free(new);
        return rc;
    }
    *arrivals = new;
    return 0;
}

void arrivals_free(struct arrivals *arrivals)
{
    if (arrivals == NULL)
        return;
    spool_free(arrivals->spool);
    free(arrivals->data);
    free(arrivals);
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

    if (arrivals->len + arrivals->record > CHUNK)
        rc = flush(arrivals, error);
    memcpy(arrivals->data + arrivals->len, &pgno, sizeof(pgno));
    memcpy(arrivals->data + arrivals->len + sizeof(pgno), page, arrivals->page_size);
    arrivals->len += arrivals->record;
    return rc;
}

void arrivals_rewind(struct arrivals *arrivals)
{
    if (!arrivals->reads)
        return;
    spool_rewind(arrivals->spool);
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
        rc = spool_read(arrivals->spool, arrivals->data + arrivals->len, want - arrivals->len, &got, error);
        arrivals->len += rc == 0 ? got : 0;
    }
    return rc;
}

int arrivals_next(struct arrivals *arrivals, uint32_t *pgno, const uint8_t **page, struct error *error)
{
    int rc = 0;

    *pgno = 0;
    if (!arrivals->reads) {
        rc = flush(arrivals, error);
        arrivals->reads = 1;
        arrivals->at = 0;
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
