/*
 * frame: messages cut out of a stream of bytes, and put into one.
 *
 * A frame is the length of its payload, 4 bytes, big-endian, then the payload: one message in msgpack
 * (message.h). The length is checked against LIMIT_FRAME before anything else is done with it, and nothing is
 * ever allocated for bytes that were only announced.
 */
#ifndef LOCKSTEP_WIRE_FRAME_H
#define LOCKSTEP_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/buffer.h"

struct error;

#define FRAME_HEADER_SIZE 4

/* Cuts a stream into frames. Memory: at most one frame and LIMIT_READ_AHEAD, and no more than what came. */
struct frame_reader {
    struct buffer pending; /* bytes that came */
    size_t taken;          /* of them, those of frames that were handed out */
    uint32_t max;          /* the largest frame that is taken; LIMIT_FRAME unless it was made less */
};

void frame_reader_init(struct frame_reader *reader);

/* Frees the bytes, wiped, as keys are among what crosses. The reader is as after frame_reader_init. */
void frame_reader_release(struct frame_reader *reader);

/* From the next frame on, take none larger than max, which is at most LIMIT_FRAME. */
void frame_reader_limit(struct frame_reader *reader, uint32_t max);

/*
 * Add bytes that came. They are copied. ERR_INTERNAL when memory ran out, or when more than LIMIT_READ_AHEAD
 * bytes wait beside a whole frame: take frames before feeding more.
 */
int frame_reader_feed(struct frame_reader *reader, const void *data, size_t len, struct error *error);

/*
 * The next whole frame: *payload and *len, good until the next call of frame_reader_feed or _release; *payload is
 * NULL and *len 0 when more bytes are needed first. ERR_PROTOCOL for an empty frame or one over the limit, as
 * soon as its header is there; a reader that failed stays failed, as where the next frame starts is not known.
 */
int frame_reader_next(struct frame_reader *reader, const uint8_t **payload, size_t *len, struct error *error);

/*
 * Bytes that came and were not yet handed out. After frame_reader_next had nothing more to give they are those of
 * an unfinished frame: non-zero at the end of the stream means that it was cut inside a frame.
 */
size_t frame_reader_pending(const struct frame_reader *reader);

/* Write the 4 bytes that go before a payload of len bytes (1 to LIMIT_FRAME). */
void frame_write_header(uint8_t header[FRAME_HEADER_SIZE], size_t len);

#endif
