/*
 * tls_stream: one TLS connection as a machine without input or output: bytes that came from the
 * network go in, bytes for the network come out, and so do plain bytes on the other side. Over
 * OpenSSL's memory BIOs.
 *
 * Memory: OpenSSL's own, what was fed and not yet read (at most one feed), and what was written
 * and not yet taken (the user writes at most TLS_RECORD bytes before it takes).
 */
#ifndef LOCKSTEP_LINK_TLS_STREAM_H
#define LOCKSTEP_LINK_TLS_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct tls_context;
struct tls_peer;
struct tls_stream;

/* Plain bytes in one record, at most (RFC 8446, section 5.1). */
#define TLS_RECORD 16384u

/*
 * host: of the server that this client connects to; NULL: we are the server. peer names the other
 * side in errors; borrowed. ERR_INTERNAL.
 */
int tls_stream_new(struct tls_stream **stream, struct tls_context *context, const char *host,
                   const char *peer, struct error *error);
void tls_stream_free(struct tls_stream *stream);

/* Bytes came from the network; they are copied. ERR_INTERNAL. */
int tls_stream_feed(struct tls_stream *stream, const uint8_t *data, size_t len,
                    struct error *error);

/*
 * Go on with the handshake; a client's first step needs no bytes. *done: it is through. On failure
 * (ERR_AUTH: somebody's certificate was not taken; ERR_NO_LINK: it is no TLS 1.3 at all) there may
 * still be an alert to be sent.
 */
int tls_stream_handshake(struct tls_stream *stream, int *done, struct error *error);

/*
 * Plain bytes, at most size, into out. *len is 0 when more must be fed first, or when *ended: the
 * other side said, by close_notify, that nothing more comes. ERR_AUTH: the server refused our
 * certificate (it says so only after the handshake); ERR_NO_LINK for anything that is not TLS.
 */
int tls_stream_read(struct tls_stream *stream, uint8_t *out, size_t size, size_t *len, int *ended,
                    struct error *error);

/* Encrypt up to TLS_RECORD plain bytes. ERR_INTERNAL. */
int tls_stream_write(struct tls_stream *stream, const uint8_t *data, size_t len,
                     struct error *error);

/* Say that nothing more will be written. */
void tls_stream_finish(struct tls_stream *stream);

/* What is to be sent: *len bytes, good until the next call. tls_stream_taken drops them. */
const uint8_t *tls_stream_output(struct tls_stream *stream, size_t *len);
void tls_stream_taken(struct tls_stream *stream);

/* Who is on the other side. After the handshake. */
void tls_stream_peer(const struct tls_stream *stream, struct tls_peer *peer);

/* Whether this handshake went on from an earlier one. */
int tls_stream_is_resumed(const struct tls_stream *stream);

#endif
