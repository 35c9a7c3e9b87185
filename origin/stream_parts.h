/*
 * stream_parts: the bytes of a stream of pages, while one session makes them and others read: parts
 * of some whole frames, which never change once they are there.
 *
 * They are kept in memory as far as the budget allows, then in a file without a name beside the
 * database. One thread at a time adds; all else may be called on any thread.
 */
#ifndef LOCKSTEP_ORIGIN_STREAM_PARTS_H
#define LOCKSTEP_ORIGIN_STREAM_PARTS_H

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct error;
struct memory_budget;
struct stream_parts;

/* budget outlives them. path: of the database, copied. NULL: memory ran out. */
struct stream_parts *stream_parts_new(struct memory_budget *budget, const char *path);

/* NULL is accepted. */
void stream_parts_free(struct stream_parts *parts);

/* Put the bytes behind the others, as one part. The caller holds no lock that a holder of the
 * budget takes. ERR_DISK_FULL, ERR_IO, ERR_NOT_ALLOWED, ERR_INTERNAL. */
int stream_parts_add(struct stream_parts *parts, const struct buffer *bytes, struct error *error);

size_t stream_parts_count(struct stream_parts *parts);

/* Append the part of that number, which must be there, to out. ERR_IO. */
int stream_parts_read(struct stream_parts *parts, size_t number, struct buffer *out,
                      struct error *error);

/* Bytes in the file. */
uint64_t stream_parts_in_file(struct stream_parts *parts);

#endif
