/*
 * fd_sink: bytes to a descriptor of this process, on a libuv loop: a pipe, a socket, or a file.
 * What is given is written in order, however long it has to wait.
 *
 * Embedded in its user's struct, whose memory must stay until fd_sink_close has called back.
 */
#ifndef LOCKSTEP_LINK_FD_SINK_H
#define LOCKSTEP_LINK_FD_SINK_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "protocol/link/fd_carrier.h"

struct error;
struct fd_sink;
struct sink_write;

/* len bytes are out of the queue: written where status is 0, else lost. */
typedef void fd_sink_written_cb(struct fd_sink *sink, size_t len, int status);
typedef void fd_sink_close_cb(struct fd_sink *sink);

struct fd_sink {
    void *user;
    struct fd_carrier carrier;
    struct sink_write
        *first; /* writes that wait, oldest first; for a file, the first is under way */
    struct sink_write **tail; /* where the next one is linked in */
    fd_sink_written_cb *on_written;
    fd_sink_close_cb *on_closed;
};

/*
 * Write to fd, which the sink then owns and closes, even on failure. Errors as for fd_carrier_open;
 * after a failure with carrier.is_open set, the sink must still be closed.
 */
int fd_sink_open(struct fd_sink *sink, uv_loop_t *loop, int fd, const char *what,
                 fd_sink_written_cb *on_written, void *user, struct error *error);

/* Write len bytes at data, which come from malloc and are freed. on_written comes later, once for
 * each call. */
void fd_sink_write_take(struct fd_sink *sink, uint8_t *data, size_t len);

/*
 * Close the descriptor: the reader sees the end of the stream. What waits is lost, its on_written
 * called with UV_ECANCELED; on_closed comes last.
 */
void fd_sink_close(struct fd_sink *sink, fd_sink_close_cb *on_closed);

#endif
