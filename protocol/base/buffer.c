#include "protocol/base/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"

void buffer_init(struct buffer *buffer, size_t max)
{
    *buffer = (struct buffer){.max = max};
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    buffer_init(buffer, buffer->max);
}

void buffer_wipe(struct buffer *buffer)
{
    if (buffer->data != NULL)
        explicit_bzero(buffer->data, buffer->cap);
    buffer_release(buffer);
}

int buffer_reserve(struct buffer *buffer, size_t len, uint8_t **spot, struct error *error)
{
    size_t cap = buffer->cap;
    uint8_t *data;

    assert(buffer->len <= buffer->max);
    if (len > buffer->max - buffer->len)
        return error_set(error, ERR_INTERNAL,
                         "a buffer of at most %zu bytes would need %zu more than it may hold",
                         buffer->max, len - (buffer->max - buffer->len));
    if (buffer->len + len > cap) {
        cap = cap < 256 ? 256 : cap;
        while (cap < buffer->len + len)
            cap = cap > buffer->max / 2 ? buffer->max : cap * 2;
        if (cap > buffer->max)
            cap = buffer->max;
        data = realloc(buffer->data, cap);
        if (data == NULL)
            return error_set(error, ERR_INTERNAL, "out of memory for a buffer of %zu bytes", cap);
        buffer->data = data;
        buffer->cap = cap;
    }
    *spot = buffer->data + buffer->len;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *data, size_t len, struct error *error)
{
    uint8_t *spot;
    int rc;

    if (len == 0)
        return 0;
    rc = buffer_reserve(buffer, len, &spot, error);
    if (rc != 0)
        return rc;
    memcpy(spot, data, len);
    buffer->len += len;
    return 0;
}

void buffer_consume(struct buffer *buffer, size_t len)
{
    assert(len <= buffer->len);
    if (len > 0)
        memmove(buffer->data, buffer->data + len, buffer->len - len);
    buffer->len -= len;
}

uint8_t *buffer_detach(struct buffer *buffer, size_t *len)
{
    uint8_t *data = buffer->data;

    *len = buffer->len;
    buffer_init(buffer, buffer->max);
    return data;
}
