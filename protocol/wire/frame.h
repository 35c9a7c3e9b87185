/*
 * frame: messages cut out of a stream of bytes, and put into one.
 *
 * A frame is the length of its payload, 4 bytes, big-endian, then the payload: one message in msgpack
 * (message.h). The length is checked against LIMIT_FRAME before anything is allocated for it.
 */
#ifndef LOCKSTEP_WIRE_FRAME_H
#define LOCKSTEP_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/buffer.h"

struct error;

#define FRAME_HEADER_SIZE 4

/* Cuts a stream into frames. Memory: at most one frame and the bytes of one frame_reader_feed. */
struct frame_reader {
    struct buffer pending; /* bytes that came and were not yet taken */
    size_t taken;          /* of them, those of the frame that was handed out last */
};

void frame_reader_init(struct frame_reader *reader);
void frame_reader_release(struct frame_reader *reader);

/* Add bytes that came. They are copied. ERR_INTERNAL when memory ran out. */
int frame_reader_feed(struct frame_reader *reader, const void *data, size_t len, struct error *error);

/*
 * The next whole frame: *payload and *len, good until the next call with this reader; *payload is NULL
 * when more bytes are needed first. ERR_PROTOCOL for an empty frame or one over LIMIT_FRAME; a reader that
 * failed stays failed.
 */
int frame_reader_next(struct frame_reader *reader, const uint8_t **payload, size_t *len, struct error *error);

/* Bytes of an unfinished frame that wait. Non-zero at the end of the stream means it was cut inside a frame. */
size_t frame_reader_pending(const struct frame_reader *reader);

/* Write the 4 bytes that go before a payload of len bytes (at most LIMIT_FRAME). */
void frame_write_header(uint8_t header[FRAME_HEADER_SIZE], size_t len);

#endif
