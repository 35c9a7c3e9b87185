/*
 * delay_line: one direction of a slow link. Bytes go in when they are sent and come out when they
 * would have arrived: after those before them have left at the link's rate, and then half a round
 * trip. No input or output happens here, and no clock is read.
 */
#ifndef LOCKSTEP_BENCH_DELAY_LINE_H
#define LOCKSTEP_BENCH_DELAY_LINE_H

#include <stddef.h>
#include <stdint.h>

struct delay_chunk;

struct delay_line {
    uint64_t delay;           /* nanoseconds on the way */
    uint64_t rate;            /* bytes a second; 0 for no bound */
    size_t capacity;          /* bytes after which it is full */
    size_t held;              /* bytes in it */
    uint64_t free_at;         /* when the last byte that was put in has left, in ns */
    struct delay_chunk *head; /* the oldest; owned, NULL when empty */
    struct delay_chunk *tail; /* the newest */
};

/* Bytes that have arrived. They belong to the line, until delay_line_consume. */
struct delay_arrival {
    const uint8_t *data; /* NULL for the end of the stream */
    size_t len;          /* 0 for the end of the stream */
    unsigned legs;       /* as given to delay_line_put */
};

/* A line with half of round_trip (ns) to go, rate bytes a second. It holds what is under way, and a
 * little more. */
void delay_line_init(struct delay_line *line, uint64_t round_trip, uint64_t rate);

/* Drop what it holds. */
void delay_line_release(struct delay_line *line);

/*
 * Send len bytes at data (from malloc, the line frees them; NULL and 0 for the end of the stream)
 * at the time now, in ns, which never goes back. legs is handed out with them. Returns 0, or -1
 * without memory, when data is freed.
 */
int delay_line_put_take(struct delay_line *line, uint64_t now, uint8_t *data, size_t len,
                        unsigned legs);

/* Whether so much is under way that nothing should be put in before something has come out. */
int delay_line_full(const struct delay_line *line);

/* Whether something has arrived by now, and what. */
int delay_line_arrived(const struct delay_line *line, uint64_t now, struct delay_arrival *arrival);

/* Take the first len bytes of the last arrival, or all of it, out; 0 for an end of stream. */
void delay_line_consume(struct delay_line *line, size_t len);

/* When the next bytes arrive, in ns; UINT64_MAX when the line is empty. */
uint64_t delay_line_next(const struct delay_line *line);

#endif
