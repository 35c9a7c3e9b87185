#include "protocol/wire/frame.h"

#include <assert.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"

void frame_reader_init(struct frame_reader *reader)
{
    *reader = (struct frame_reader){.max = LIMIT_FRAME};
    buffer_init(&reader->pending, FRAME_HEADER_SIZE + LIMIT_FRAME + LIMIT_READ_AHEAD);
}

void frame_reader_release(struct frame_reader *reader)
{
    buffer_wipe(&reader->pending);
    frame_reader_init(reader);
}

void frame_reader_limit(struct frame_reader *reader, uint32_t max)
{
    assert(max <= LIMIT_FRAME);
    reader->max = max;
}

int frame_reader_feed(struct frame_reader *reader, const void *data, size_t len,
                      struct error *error)
{
    /* Frames that were handed out are dropped here, once a feed, and not once a frame: many small
     * frames in one feed would move the bytes behind them again and again. */
    buffer_consume(&reader->pending, reader->taken);
    reader->taken = 0;
    return buffer_append(&reader->pending, data, len, error);
}

int frame_reader_next(struct frame_reader *reader, const uint8_t **payload, size_t *len,
                      struct error *error)
{
    const uint8_t *header;
    size_t waiting = frame_reader_pending(reader);
    uint32_t size;

    *payload = NULL;
    *len = 0;
    if (waiting < FRAME_HEADER_SIZE)
        return 0;
    header = reader->pending.data + reader->taken;
    size = (uint32_t)header[0] << 24 | (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 |
           header[3];
    /* Such a header is not taken: it is found again by every later call. */
    if (size == 0 || size > reader->max)
        return error_set(error, ERR_PROTOCOL,
                         "a frame claims %u bytes, 1 to %u are allowed: the other side does not "
                         "speak Lockstep's protocol, or something else writes into the link",
                         size, reader->max);
    if (waiting - FRAME_HEADER_SIZE < size)
        return 0;
    *payload = header + FRAME_HEADER_SIZE;
    *len = size;
    reader->taken += FRAME_HEADER_SIZE + size;
    return 0;
}

size_t frame_reader_pending(const struct frame_reader *reader)
{
    return reader->pending.len - reader->taken;
}

void frame_write_header(uint8_t header[FRAME_HEADER_SIZE], size_t len)
{
    assert(len > 0 && len <= LIMIT_FRAME);
    header[0] = (uint8_t)(len >> 24);
    header[1] = (uint8_t)(len >> 16);
    header[2] = (uint8_t)(len >> 8);
    header[3] = (uint8_t)len;
}
