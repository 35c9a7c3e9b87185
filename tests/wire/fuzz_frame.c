/*
 * A stream cut into pieces gives the same frames as the stream in one piece. The first byte of the
 * input is the size of the pieces, the rest is the stream.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/limits.h"
#include "protocol/wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Append to out every frame that the stream holds when it comes in pieces of this size. Returns the
 * last result. */
static int cut(const uint8_t *data, size_t size, size_t piece, struct buffer *out)
{
    struct frame_reader reader;
    const uint8_t *payload;
    int rc = 0;
    size_t len;

    frame_reader_init(&reader);
    for (size_t at = 0; at < size && rc == 0; at += piece) {
        uint8_t header[FRAME_HEADER_SIZE];

        rc = frame_reader_feed(&reader, data + at, size - at < piece ? size - at : piece, NULL);
        while (rc == 0 && (rc = frame_reader_next(&reader, &payload, &len, NULL)) == 0 &&
               payload != NULL) {
            frame_write_header(header, len);
            if (buffer_append(out, header, sizeof(header), NULL) != 0 ||
                buffer_append(out, payload, len, NULL) != 0)
                abort();
        }
    }
    frame_reader_release(&reader);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer whole;
    struct buffer pieces;

    if (size < 2 || size > LIMIT_READ_AHEAD)
        return 0;
    buffer_init(&whole, size);
    buffer_init(&pieces, size);
    if (cut(data + 1, size - 1, size, &whole) != cut(data + 1, size - 1, data[0] + 1u, &pieces))
        abort();
    if (whole.len != pieces.len ||
        (whole.len > 0 && memcmp(whole.data, pieces.data, whole.len) != 0))
        abort();
    if (whole.len > 0 && memcmp(whole.data, data + 1, whole.len) != 0)
        abort();
    buffer_release(&whole);
    buffer_release(&pieces);
    return 0;
}
