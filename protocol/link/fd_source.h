/*
 * fd_source: bytes from a descriptor of this process, on a libuv loop: a pipe, a socket, or a file
 * (which epoll does not take, so it is read by libuv's threads).
 *
 * Embedded in its user's struct, whose memory must stay until fd_source_close has called back.
 */
#ifndef LOCKSTEP_LINK_FD_SOURCE_H
#define LOCKSTEP_LINK_FD_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "protocol/link/fd_carrier.h"

struct error;
struct fd_source;

typedef void fd_source_bytes_cb(struct fd_source *source, const uint8_t *data, size_t len);
/* No more bytes: status is 0 at the end of the stream, or libuv's error. */
typedef void fd_source_end_cb(struct fd_source *source, int status);
typedef void fd_source_close_cb(struct fd_source *source);

struct fd_source {
    void *user;
    struct fd_carrier carrier;
    uv_fs_t request; /* for a file: the read that is under way */
    int wanted;      /* between fd_source_start and fd_source_stop */
    int reading;     /* for a file: request is under way */
    int ended;       /* on_end was called */
    fd_source_bytes_cb *on_bytes;
    fd_source_end_cb *on_end;
    fd_source_close_cb *on_closed;
    size_t held;          /* for a file: bytes in chunk that came while it was stopped */
    uint8_t chunk[65536]; /* what was read last */
};

/*
 * Read from fd, which the source then owns and closes, even on failure. Neither callback comes
 * before fd_source_start. Errors as for fd_carrier_open; after a failure with carrier.is_open set,
 * the source must still be closed.
 */
int fd_source_open(struct fd_source *source, uv_loop_t *loop, int fd, const char *what,
                   fd_source_bytes_cb *on_bytes, fd_source_end_cb *on_end, void *user,
                   struct error *error);

/* Deliver bytes, and hold them back. Harmless when repeated. */
void fd_source_start(struct fd_source *source);
void fd_source_stop(struct fd_source *source);

/* Close the descriptor and forget the callbacks; on_closed comes later, once, on the loop. */
void fd_source_close(struct fd_source *source, fd_source_close_cb *on_closed);

#endif
