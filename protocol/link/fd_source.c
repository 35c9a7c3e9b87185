#include "protocol/link/fd_source.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "protocol/base/error.h"

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void read_cb(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf);
static void read_file(struct fd_source *source);
static void read_file_cb(uv_fs_t *request);
static void deliver_cb(uv_idle_t *idle);
static void close_carrier(struct fd_source *source);
static void closed_cb(uv_handle_t *handle);

int fd_source_open(struct fd_source *source, uv_loop_t *loop, int fd, const char *what,
                   fd_source_bytes_cb *on_bytes, fd_source_end_cb *on_end, void *user,
                   struct error *error)
{
    int flags = fcntl(fd, F_GETFL);
    int status = 0;

    source->user = user;
    source->fd = -1;
    source->flags = flags;
    source->is_open = source->wanted = source->reading = source->ended = 0;
    source->on_bytes = on_bytes;
    source->on_end = on_end;
    source->on_closed = NULL;
    source->held = 0;
    if (flags < 0)
        return error_set_errno(error, ERR_IO, errno, "%s cannot be read", what);
    if ((flags & O_ACCMODE) == O_WRONLY) {
        close(fd);
        return error_set(error, ERR_IO, "%s is open for writing only", what);
    }
    switch (uv_guess_handle(fd)) {
    case UV_NAMED_PIPE:
        uv_pipe_init(loop, &source->carrier.pipe, 0);
        status = uv_pipe_open(&source->carrier.pipe, fd);
        break;
    case UV_TCP:
        uv_tcp_init(loop, &source->carrier.tcp);
        status = uv_tcp_open(&source->carrier.tcp, fd);
        break;
    case UV_FILE:
        uv_idle_init(loop, &source->carrier.idle);
        source->fd = fd;
        break;
    case UV_TTY:
        close(fd);
        return error_set(error, ERR_USAGE, "%s is a terminal, which cannot speak the protocol",
                         what);
    default:
        close(fd);
        return error_set(error, ERR_IO, "%s is neither a pipe, a socket nor a file", what);
    }
    source->carrier.handle.data = source;
    source->is_open = 1;
    if (status == 0)
        return 0;
    close(fd);
    source->ended = 1;
    return error_set(error, ERR_IO, "%s cannot be read: %s", what, uv_strerror(status));
}

void fd_source_start(struct fd_source *source)
{
    if (source->wanted || source->ended)
        return;
    source->wanted = 1;
    if (source->fd < 0)
        uv_read_start(&source->carrier.stream, alloc_cb, read_cb);
    else if (source->held > 0)
        uv_idle_start(&source->carrier.idle, deliver_cb);
    else
        read_file(source);
}

void fd_source_stop(struct fd_source *source)
{
    if (!source->wanted || source->ended)
        return;
    source->wanted = 0;
    if (source->fd < 0)
        uv_read_stop(&source->carrier.stream);
    else
        uv_idle_stop(&source->carrier.idle);
}

void fd_source_close(struct fd_source *source, fd_source_close_cb *on_closed)
{
    fd_source_stop(source);
    source->ended = 1;
    source->on_closed = on_closed;
    /* A file's read cannot be called back: its completion then closes. */
    if (!source->reading)
        close_carrier(source);
}

/* Give the open file its mode back first: it may be shared with a shell, which does not expect it
 * non-blocking. */
static void close_carrier(struct fd_source *source)
{
    uv_os_fd_t fd;

    if (source->fd < 0 && uv_fileno(&source->carrier.handle, &fd) == 0)
        fcntl(fd, F_SETFL, source->flags);
    uv_close(&source->carrier.handle, closed_cb);
}

static void closed_cb(uv_handle_t *handle)
{
    struct fd_source *source = handle->data;

    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
    source->is_open = 0;
    source->on_closed(source);
}

static void end(struct fd_source *source, int status)
{
    fd_source_stop(source);
    source->ended = 1;
    source->on_end(source, status);
}

/* ---- pipes and sockets ---- */

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct fd_source *source = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)source->chunk, sizeof(source->chunk));
}

static void read_cb(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct fd_source *source = stream->data;

    if (count > 0)
        source->on_bytes(source, (const uint8_t *)buf->base, (size_t)count);
    else if (count < 0)
        end(source, count == UV_EOF ? 0 : (int)count);
}

/* ---- files ---- */

static void read_file(struct fd_source *source)
{
    uv_buf_t buf = uv_buf_init((char *)source->chunk, sizeof(source->chunk));

    if (source->reading)
        return;
    source->request.data = source;
    source->reading = 1;
    /* An offset of -1 reads on from the descriptor's own position. */
    uv_fs_read(source->carrier.handle.loop, &source->request, source->fd, &buf, 1, -1,
               read_file_cb);
}

static void read_file_cb(uv_fs_t *request)
{
    struct fd_source *source = request->data;
    ssize_t count = request->result;

    uv_fs_req_cleanup(request);
    source->reading = 0;
    if (source->on_closed != NULL) {
        close_carrier(source);
    } else if (count > 0) {
        source->held = (size_t)count;
        if (source->wanted)
            deliver_cb(&source->carrier.idle);
    } else {
        end(source, (int)count);
    }
}

static void deliver_cb(uv_idle_t *idle)
{
    struct fd_source *source = idle->data;
    size_t len = source->held;

    uv_idle_stop(idle);
    source->held = 0;
    source->on_bytes(source, source->chunk, len);
    if (source->wanted && !source->ended && source->held == 0)
        read_file(source);
}
