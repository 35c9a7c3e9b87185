#include "bench/delay_line.h"

#include <assert.h>
#include <stdlib.h>

#define NANOSECONDS UINT64_C(1000000000)

/* Bytes that arrive together: what an Ethernet frame carries of a TCP stream. */
#define SEGMENT 1448

/* Bytes beyond those under way that may wait: what a kernel's buffers would hold. */
#define SLACK (128 * 1024)

/* Bytes that may be under way where the rate has no bound. */
#define UNBOUNDED_CAPACITY (64 * 1024 * 1024)

/* Bytes that were put in together. */
struct delay_chunk {
    struct delay_chunk *next;
    uint8_t *data; /* owned; NULL for the end of the stream */
    size_t len;    /* bytes at data */
    size_t done;   /* of them, those consumed */
    uint64_t from; /* when the first byte starts to leave, in ns */
    unsigned legs; /* as given */
};

void delay_line_init(struct delay_line *line, uint64_t round_trip, uint64_t rate)
{
    *line = (struct delay_line){.delay = round_trip / 2, .rate = rate};
    if (rate == 0)
        line->capacity = UNBOUNDED_CAPACITY;
    else
        line->capacity = (size_t)((double)rate * (double)round_trip / (double)NANOSECONDS) + SLACK;
}

static void drop_head(struct delay_line *line)
{
    struct delay_chunk *chunk = line->head;

    line->held -= chunk->len - chunk->done;
    line->head = chunk->next;
    if (!line->head)
        line->tail = NULL;
    free(chunk->data);
    free(chunk);
}

void delay_line_release(struct delay_line *line)
{
    while (line->head)
        drop_head(line);
}

/* How long len bytes take to leave. */
static uint64_t leaving(const struct delay_line *line, size_t len)
{
    return line->rate ? (uint64_t)((double)len * (double)NANOSECONDS / (double)line->rate) : 0;
}

int delay_line_put_take(struct delay_line *line, uint64_t now, uint8_t *data, size_t len,
                        unsigned legs)
{
    struct delay_chunk *chunk = calloc(1, sizeof(*chunk));

    if (!chunk) {
        free(data);
        return -1;
    }
    chunk->data = data;
    chunk->len = len;
    chunk->legs = legs;
    chunk->from = now > line->free_at ? now : line->free_at;
    line->free_at = chunk->from + leaving(line, len);
    line->held += len;
    if (line->tail)
        line->tail->next = chunk;
    else
        line->head = chunk;
    line->tail = chunk;
    return 0;
}

int delay_line_full(const struct delay_line *line)
{
    return line->held >= line->capacity;
}

/* When the first len bytes of the chunk have arrived. */
static uint64_t arrival_of(const struct delay_line *line, const struct delay_chunk *chunk,
                           size_t len)
{
    return chunk->from + leaving(line, len) + line->delay;
}

/* The chunk's bytes up to the end of the segment that has byte number done in it. */
static size_t segment_end(const struct delay_chunk *chunk)
{
    size_t end = chunk->done - chunk->done % SEGMENT + SEGMENT;

    return end < chunk->len ? end : chunk->len;
}

int delay_line_arrived(const struct delay_line *line, uint64_t now, struct delay_arrival *arrival)
{
    const struct delay_chunk *chunk = line->head;
    size_t end;

    if (!chunk || arrival_of(line, chunk, segment_end(chunk)) > now)
        return 0;
    end = chunk->len;
    if (arrival_of(line, chunk, end) > now) {
        /* Whole segments only: now is past the first, so end stays beyond done. */
        uint64_t sent = now - line->delay - chunk->from;

        end = (size_t)((double)sent * (double)line->rate / (double)NANOSECONDS);
        end -= end % SEGMENT;
        if (end < segment_end(chunk))
            end = segment_end(chunk);
        if (end > chunk->len)
            end = chunk->len;
    }
    *arrival = (struct delay_arrival){.data = chunk->data ? chunk->data + chunk->done : NULL,
                                      .len = end - chunk->done,
                                      .legs = chunk->legs};
    return 1;
}

void delay_line_consume(struct delay_line *line, size_t len)
{
    struct delay_chunk *chunk = line->head;

    assert(chunk && len <= chunk->len - chunk->done);
    chunk->done += len;
    line->held -= len;
    if (chunk->done == chunk->len)
        drop_head(line);
}

uint64_t delay_line_next(const struct delay_line *line)
{
    return line->head ? arrival_of(line, line->head, segment_end(line->head)) : UINT64_MAX;
}
