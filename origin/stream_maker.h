/*
 * stream_maker: makes the parts of one stream of pages, with a connection to the database and a
 * look at the page-version log of its own, so that it needs no session.
 *
 * It belongs to one thread at a time.
 */
#ifndef LOCKSTEP_ORIGIN_STREAM_MAKER_H
#define LOCKSTEP_ORIGIN_STREAM_MAKER_H

#include <stdint.h>

#include "protocol/base/limits.h"

struct error;
struct local_copy;
struct sender;
struct stream_maker;
struct stream_parts;

struct stream_options {
    const char *path;       /* of the database */
    uint32_t timeout_ms;    /* for each wait for another program's lock */
    int level;              /* zstd's; the sender's */
    int build_on_nothing;   /* the sender's */
    int has_history;        /* there may be a page-version log */
    uint64_t history_bytes; /* that it may hold */
};

/* About so many bytes are made at a time. */
#define STREAM_BATCH (8 * LIMIT_CHUNK)

/*
 * sender: it stopped when it had found what differs, and is taken. copy: whose scan is borrowed.
 * The path of the options is borrowed until stream_maker_free. NULL: memory ran out, and the sender
 * stays the caller's.
 */
struct stream_maker *stream_maker_new(struct sender *sender, const struct local_copy *copy,
                                      const struct stream_options *options);

/* NULL is accepted. */
void stream_maker_free(struct stream_maker *maker);

/* The sender is the caller's again; nothing was made, and nothing will be. */
struct sender *stream_maker_detach(struct stream_maker *maker);

/*
 * Make parts until there is a batch of them, or the end is reached, which *ended says. ERR_MOVED:
 * the database is not what was scanned any more, before anything was read of it. After a failure it
 * can only be freed.
 */
int stream_maker_make(struct stream_maker *maker, struct stream_parts *parts, int *ended,
                      struct error *error);

/* Bytes of memory that a maker takes beside the parts, by zstd's level. */
uint64_t stream_maker_bytes(int level);

#endif
