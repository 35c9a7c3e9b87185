#include "protocol/page/compress.h"

#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

enum { MODE_BARE = 0, MODE_ZSTD = 1, MODE_UNKNOWN = 2 };

#define THREADS_MAX       4       /* that compress one stream */
#define THREADS_LEVEL_MAX 5       /* above, each thread would need 10 MiB and more */

/*
 * Level 3, the default, has tables of 160 KiB instead of zstd's 768: they stay in the cache of a
 * core, and what they forget a page stream does not miss, because like stands beside like there.
 * Measured on the streams of bench/'s first copy, upd1pct, batchjob, append and index (base
 * unknown), bytes in thousands, and the processor time of the first:
 *
 *   zstd's level 3                       100,449  20,433  7,530  345.6  1,888   1.97 s
 *   level 2                              102,918  20,369  7,575  390.2  2,083   1.4
 *   level 1                              102,954  20,597  7,884  384.9  1,942   1.1
 *   level -1                             119,580  23,325                        1.1
 *   level 3, hashLog 15, chainLog 13     100,013  20,335  7,488  343.2  1,827   1.2   (this)
 *   hashLog 15, chainLog 14              100,239  20,384  7,501  343.8  1,841   1.3
 *   hashLog 13, chainLog 12              100,680  20,283  7,511  342.4  1,805   1.2
 *   as this, minMatch 4                  100,949  20,461  7,489  342.7  1,736   1.4   (14, 13)
 *   as this, minMatch 6                  100,768  20,410  7,540  343.2  1,853   1.1   (14, 13)
 *
 * A window of 512 KiB, an overlap of nothing, and parts of 2 MiB or of 512 KiB change the bytes by
 * less than 0.3 %, and the time by less than what it varies; the receiver does not notice either.
 * Neither does a sync with both sides on the same two cores notice whether one, two, three or four
 * threads compress, or whether the pipe between them holds 64 KiB or 1 MiB: the cores are busy.
 */
#define SMALL_TABLES_LEVEL COMPRESS_LEVEL_DEFAULT
#define SMALL_HASH_LOG     15
#define SMALL_CHAIN_LOG    13

struct compressor {
    ZSTD_CCtx *zstd; /* NULL where the stream is bare */
    int started;     /* the byte for the mode is out */
};

struct decompressor {
    ZSTD_DCtx *zstd;
    int mode;            /* MODE_*: unknown until the first byte came */
    int at_end;          /* the frame is over */
    const uint8_t *data; /* fed and not yet taken; borrowed */
    size_t len;
};

/* Let threads of zstd's own compress, each a part of the stream: what comes out is the same for any
 * number of them. */
static void use_threads(ZSTD_CCtx *zstd)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (int)cores;

    /* A library that was built without threads refuses this, and does the work itself. */
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_nbWorkers, threads);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_jobSize, COMPRESS_PART);
}

int compressor_new(struct compressor **compressor, int level, struct error *error)
{
    struct compressor *c = calloc(1, sizeof(*c));

    *compressor = c;
    if (c != NULL && level <= 0)
        return 0;
    if (c != NULL)
        c->zstd = ZSTD_createCCtx();
    if (c == NULL || c->zstd == NULL) {
        compressor_free(c);
        *compressor = NULL;
        return error_set(error, ERR_INTERNAL, "out of memory for a compressor");
    }
    if (level > COMPRESS_LEVEL_MAX)
        level = COMPRESS_LEVEL_MAX;
    ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, level);
    if (level == SMALL_TABLES_LEVEL) {
        ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_hashLog, SMALL_HASH_LOG);
        ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_chainLog, SMALL_CHAIN_LOG);
    }
    if (level <= THREADS_LEVEL_MAX)
        use_threads(c->zstd);
    return 0;
}

void compressor_free(struct compressor *compressor)
{
    if (compressor == NULL)
        return;
    ZSTD_freeCCtx(compressor->zstd);
    free(compressor);
}

/* Run zstd until all of the input is taken and, with another directive than ZSTD_e_continue, all of it is out. */
static int compress(struct compressor *c, ZSTD_inBuffer *input, ZSTD_EndDirective directive,
                    struct buffer *out, struct error *error)
{
    size_t left;

    do {
        ZSTD_outBuffer output = {0};
        uint8_t *spot;
        int rc = buffer_reserve(out, 4096, &spot, error);

        if (rc != 0)
            return rc;
        output.dst = spot;
        output.size = out->cap - out->len;
        left = ZSTD_compressStream2(c->zstd, &output, input, directive);
        if (ZSTD_isError(left))
            return error_set(error, ERR_INTERNAL, "compressing: %s", ZSTD_getErrorName(left));
        out->len += output.pos;
    } while (directive == ZSTD_e_continue ? input->pos < input->size : left > 0);
    return 0;
}

static int start(struct compressor *c, struct buffer *out, struct error *error)
{
    uint8_t mode = c->zstd != NULL ? MODE_ZSTD : MODE_BARE;

    if (c->started)
        return 0;
    c->started = 1;
    return buffer_append(out, &mode, 1, error);
}

int compressor_write(struct compressor *compressor, const void *data, size_t len,
                     struct buffer *out, struct error *error)
{
    ZSTD_inBuffer input = {data, len, 0};
    int rc = start(compressor, out, error);

    if (rc != 0)
        return rc;
    if (compressor->zstd == NULL)
        return buffer_append(out, data, len, error);
    return compress(compressor, &input, ZSTD_e_continue, out, error);
}

int compressor_flush(struct compressor *compressor, struct buffer *out, struct error *error)
{
    ZSTD_inBuffer input = {NULL, 0, 0};

    return compressor->zstd == NULL ? 0 : compress(compressor, &input, ZSTD_e_flush, out, error);
}

int compressor_finish(struct compressor *compressor, struct buffer *out, struct error *error)
{
    ZSTD_inBuffer input = {NULL, 0, 0};
    int rc = start(compressor, out, error);

    if (rc != 0 || compressor->zstd == NULL)
        return rc;
    return compress(compressor, &input, ZSTD_e_end, out, error);
}

int decompressor_new(struct decompressor **decompressor, struct error *error)
{
    struct decompressor *d = calloc(1, sizeof(*d));

    *decompressor = d;
    if (d != NULL)
        d->zstd = ZSTD_createDCtx();
    if (d == NULL || d->zstd == NULL) {
        decompressor_free(d);
        *decompressor = NULL;
        return error_set(error, ERR_INTERNAL, "out of memory for a decompressor");
    }
    d->mode = MODE_UNKNOWN;
    ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, LIMIT_ZSTD_WINDOW_LOG);
    return 0;
}

void decompressor_free(struct decompressor *decompressor)
{
    if (decompressor == NULL)
        return;
    ZSTD_freeDCtx(decompressor->zstd);
    free(decompressor);
}

void decompressor_feed(struct decompressor *decompressor, const uint8_t *data, size_t len)
{
    decompressor->data = data;
    decompressor->len = len;
}

static void take(struct decompressor *d, size_t len)
{
    d->data += len;
    d->len -= len;
}

static int read_zstd(struct decompressor *d, struct buffer *into, size_t want, struct error *error)
{
    while (into->len < want && !d->at_end) {
        ZSTD_inBuffer input = {d->data, d->len, 0};
        ZSTD_outBuffer output = {into->data + into->len, want - into->len, 0};
        size_t rc = ZSTD_decompressStream(d->zstd, &output, &input);

        if (ZSTD_isError(rc))
            return error_set(error, ERR_PROTOCOL, "the compressed stream is damaged: %s",
                             ZSTD_getErrorName(rc));
        take(d, input.pos);
        into->len += output.pos;
        d->at_end = rc == 0;
        if (input.pos == 0 && output.pos == 0)
            break;
    }
    return 0;
}

int decompressor_read(struct decompressor *decompressor, struct buffer *into, size_t want,
                      struct error *error)
{
    struct decompressor *d = decompressor;
    uint8_t *spot;
    size_t len;
    int rc;

    if (d->mode == MODE_UNKNOWN && d->len > 0) {
        d->mode = d->data[0];
        take(d, 1);
        if (d->mode != MODE_BARE && d->mode != MODE_ZSTD)
            return error_set(error, ERR_PROTOCOL, "a stream of pages starts with %d, not 0 or 1",
                             d->mode);
    }
    if (d->mode == MODE_UNKNOWN || want <= into->len)
        return 0;
    rc = buffer_reserve(into, want - into->len, &spot, error);
    if (rc != 0)
        return rc;
    if (d->mode == MODE_ZSTD)
        return read_zstd(d, into, want, error);
    len = d->len < want - into->len ? d->len : want - into->len;
    rc = buffer_append(into, d->data, len, error);
    take(d, len);
    return rc;
}

size_t decompressor_pending(const struct decompressor *decompressor)
{
    return decompressor->len;
}

int decompressor_exhausted(const struct decompressor *decompressor)
{
    return decompressor->at_end;
}

int decompressor_may_end(const struct decompressor *decompressor)
{
    return decompressor->mode == MODE_BARE || decompressor->at_end;
}
