/*
 * fd_carrier: what a libuv loop carries the bytes of a descriptor with: a stream for a pipe or a
 * socket, and for a file the descriptor itself.
 *
 * Embedded in its user's struct, whose memory must stay until fd_carrier_close has called back.
 */
#ifndef LOCKSTEP_LINK_FD_CARRIER_H
#define LOCKSTEP_LINK_FD_CARRIER_H

#include <uv.h>

struct error;
struct fd_carrier;

typedef void fd_carrier_close_cb(struct fd_carrier *carrier);

struct fd_carrier {
    void *user;
    union {
        uv_handle_t handle; /* its data is the carrier */
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
        uv_idle_t idle; /* for a file: something to close */
    } as;
    int fd;      /* for a file; owned. -1 otherwise */
    int flags;   /* the open file's status flags before libuv made it non-blocking */
    int is_open; /* there is a handle to be closed */
    fd_carrier_close_cb *on_closed;
};

/*
 * Carry the bytes of fd, which is then the carrier's to close, even after a failure. access:
 * O_RDONLY or O_WRONLY, what the descriptor must allow. what names it in errors. ERR_USAGE: it is a
 * terminal. ERR_IO: it does not allow that, or is of another kind. After a failure with is_open
 * set, the carrier must still be closed.
 */
int fd_carrier_open(struct fd_carrier *carrier, uv_loop_t *loop, int fd, int access,
                    const char *what, void *user, struct error *error);

/* Close the descriptor; on_closed comes later. */
void fd_carrier_close(struct fd_carrier *carrier, fd_carrier_close_cb *on_closed);

#endif
