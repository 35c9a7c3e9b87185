/*
 * stream_name: by which streams of pages are told apart: a SHA-256 over all that the bytes of one
 * depend on, taken from what the origin itself found out.
 */
#ifndef LOCKSTEP_ORIGIN_STREAM_NAME_H
#define LOCKSTEP_ORIGIN_STREAM_NAME_H

#include <stdint.h>

struct error;
struct local_copy;
struct sender;
struct stream_options;

#define STREAM_NAME_SIZE 32

/* The name of what the sender, which has found what differs, would make of copy. ERR_INTERNAL. */
int stream_name(uint8_t name[STREAM_NAME_SIZE], const struct sender *sender,
                const struct local_copy *copy, const struct stream_options *options,
                struct error *error);

#endif
