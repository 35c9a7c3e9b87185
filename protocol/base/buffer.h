/*
 * buffer: bytes that grow up to a maximum that is fixed when the buffer is made.
 */
#ifndef LOCKSTEP_BASE_BUFFER_H
#define LOCKSTEP_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct error;

struct buffer {
    uint8_t *data; /* owned; NULL while capacity is 0 */
    size_t len;    /* bytes in use, from data[0] on */
    size_t cap;    /* bytes allocated */
    size_t max;    /* cap never exceeds this */
};

/* An empty buffer that will hold at most max bytes. Allocates nothing. */
void buffer_init(struct buffer *buffer, size_t max);

/* Free the bytes; the buffer is empty again and keeps its maximum. */
void buffer_release(struct buffer *buffer);

/* As buffer_release, for a secret: the bytes are wiped first. */
void buffer_wipe(struct buffer *buffer);

/*
 * Make room for len more bytes behind those in use, and point *spot at them; the caller adds what it
 * wrote to buffer->len. ERR_INTERNAL when memory ran out or the maximum would be passed; the buffer is
 * then as it was.
 */
int buffer_reserve(struct buffer *buffer, size_t len, uint8_t **spot, struct error *error);

/* Copy len bytes behind those in use. Fails as buffer_reserve does. */
int buffer_append(struct buffer *buffer, const void *data, size_t len, struct error *error);

/* Drop the first len bytes (at most buffer->len), moving the rest to the front. */
void buffer_consume(struct buffer *buffer, size_t len);

/* Take the bytes out: the caller frees them with free(). The buffer is empty afterwards. */
uint8_t *buffer_detach(struct buffer *buffer, size_t *len);

#endif
