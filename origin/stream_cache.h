/*
 * stream_cache: the streams of pages that pulls are answered with, each made once for all sessions that want the same.
 *
 * What a stream holds depends on the new content, on which pages of the old content differ and had which hashes, and on how it is packed, and on
 * nothing else that a session has. So replicas that had the same and get the same are sent the same bytes. The session that finds nothing
 * ready makes the next part, with the stream's own connection to the database; those that come meanwhile wait, without a thread. If
 * the one that makes it goes, the next one goes on.
 *
 * A stream has a name (stream_name.h) that is taken from what the origin itself found out, so no client can have another one sent a stream
 * that was made for something else.
 *
 * Its bytes are kept in memory as far as the budget allows, then in a file (stream_parts.h). Streams that nobody reads any more are kept until
 * room is needed, or the database has moved on and another one is begun.
 *
 * All functions may be called on any thread but the loop's, where none is said.
 */
#ifndef LOCKSTEP_ORIGIN_STREAM_CACHE_H
#define LOCKSTEP_ORIGIN_STREAM_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "origin/bell.h"

struct bell;
struct buffer;
struct error;
struct local_copy;
struct memory_budget;
struct sender;
struct stream;
struct stream_cache;
struct stream_options;

/* Where a session is in a stream. Embedded by its user, zeroed but for the ticket's on_ring and user. */
struct stream_reader {
    struct bell_ticket ticket; /* on_ring: call stream_read again */
    struct stream_reader *next;
    struct stream *stream;     /* NULL: none is read */
    size_t part;               /* the next one */
};

struct stream_cache_stats {
    uint64_t made;        /* streams that were begun */
    uint64_t shared;      /* pulls that one which was there already served */
    uint64_t spool_bytes; /* that the files of streams have, or may come to have */
};

/* bell and budget outlive the cache. spool_max: bytes in files. NULL: memory ran out. */
struct stream_cache *stream_cache_new(struct bell *bell, struct memory_budget *budget, uint64_t spool_max);

/* No stream is read any more. NULL is accepted. Any thread. */
void stream_cache_free(struct stream_cache *cache);

/*
 * Begin to read the stream that *sender, which stopped when it had found what differs, would make of copy, whose scan is borrowed. The sender is taken,
 * and *sender is NULL then. Where it stays, and reader->stream is NULL, there might not be room for all of the stream: it is to be
 * sent as it is made, to this session alone. ERR_TRY_LATER: there is no memory for making one; ERR_INTERNAL.
 */
int stream_open(struct stream_cache *cache, struct stream_reader *reader, struct sender **sender, const struct local_copy *copy,
                const struct stream_options *options, struct error *error);

enum stream_status {
    STREAM_GOES_ON,
    STREAM_WAITS, /* another session makes the next part: the ticket is rung for */
    STREAM_ENDS   /* all was read */
};

/*
 * Append the next part, whole frames of about LIMIT_CHUNK, to out. What went wrong goes wrong for all readers; ERR_MOVED: the database is not what
 * was scanned any more, before anything was read of it.
 */
int stream_read(struct stream_cache *cache, struct stream_reader *reader, enum stream_status *status, struct buffer *out,
                struct error *error);

/* Pages in the stream. */
uint32_t stream_pages(const struct stream_reader *reader);

/* The reader does not wait any more. On the loop; harmless for one that does not. */
void stream_leave(struct stream_cache *cache, struct stream_reader *reader);

/* Read no more. The reader does not wait. Harmless for one that reads nothing. */
void stream_close(struct stream_cache *cache, struct stream_reader *reader);

/* Count the memory for making a stream that nobody shares, and give it back. ERR_TRY_LATER: there is none. */
int stream_cache_take_memory(struct stream_cache *cache, int level, struct error *error);
void stream_cache_give_memory(struct stream_cache *cache, int level);

/* Any thread. */
void stream_cache_read(struct stream_cache *cache, struct stream_cache_stats *stats);

#endif
