#include "protocol/link/fd_carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "protocol/base/error.h"

/* Give it to the handle of its kind. Returns libuv's status, or 1 where there is none for it. */
static int choose(struct fd_carrier *carrier, uv_loop_t *loop, int fd)
{
    switch (uv_guess_handle(fd)) {
    case UV_NAMED_PIPE:
        uv_pipe_init(loop, &carrier->as.pipe, 0);
        return uv_pipe_open(&carrier->as.pipe, fd);
    case UV_TCP:
        uv_tcp_init(loop, &carrier->as.tcp);
        return uv_tcp_open(&carrier->as.tcp, fd);
    case UV_FILE:
        uv_idle_init(loop, &carrier->as.idle);
        carrier->fd = fd;
        return 0;
    default:
        return 1;
    }
}

int fd_carrier_open(struct fd_carrier *carrier, uv_loop_t *loop, int fd, int access,
                    const char *what, void *user, struct error *error)
{
    const char *verb = access == O_RDONLY ? "read" : "written";
    const char *other = access == O_RDONLY ? "writing" : "reading";
    int flags = fcntl(fd, F_GETFL);
    int status;

    *carrier = (struct fd_carrier){.user = user, .fd = -1, .flags = flags};
    if (flags < 0)
        return error_set_errno(error, ERR_IO, errno, "%s cannot be %s", what, verb);
    if ((flags & O_ACCMODE) != O_RDWR && (flags & O_ACCMODE) != access) {
        close(fd);
        return error_set(error, ERR_IO, "%s is open for %s only", what, other);
    }
    if (uv_guess_handle(fd) == UV_TTY) {
        close(fd);
        return error_set(error, ERR_USAGE, "%s is a terminal, which cannot speak the protocol",
                         what);
    }
    status = choose(carrier, loop, fd);
    if (status > 0) {
        close(fd);
        return error_set(error, ERR_IO, "%s is neither a pipe, a socket nor a file", what);
    }
    carrier->as.handle.data = carrier;
    carrier->is_open = 1;
    if (status == 0)
        return 0;
    close(fd);
    return error_set(error, ERR_IO, "%s cannot be %s: %s", what, verb, uv_strerror(status));
}

static void closed_cb(uv_handle_t *handle)
{
    struct fd_carrier *carrier = handle->data;

    if (carrier->fd >= 0)
        close(carrier->fd);
    carrier->fd = -1;
    carrier->is_open = 0;
    carrier->on_closed(carrier);
}

/* Give the open file its mode back first: it may be shared with a shell, which does not expect it
 * non-blocking. */
void fd_carrier_close(struct fd_carrier *carrier, fd_carrier_close_cb *on_closed)
{
    uv_os_fd_t fd;

    carrier->on_closed = on_closed;
    if (carrier->fd < 0 && uv_fileno(&carrier->as.handle, &fd) == 0)
        fcntl(fd, F_SETFL, carrier->flags);
    uv_close(&carrier->as.handle, closed_cb);
}
