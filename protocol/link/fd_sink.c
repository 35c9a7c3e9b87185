#include "protocol/link/fd_sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/base/error.h"

/* One call of fd_sink_write_take. */
struct sink_write {
    struct fd_sink *sink;
    struct sink_write *next; /* for a file: what is written after this one */
    uint8_t *data;           /* owned */
    size_t len;              /* bytes at data */
    size_t done;             /* for a file: bytes of them that are written */
    union {
        uv_write_t stream;
        uv_fs_t file;
    } request;
};

static void write_cb(uv_write_t *request, int status);
static void write_file(struct fd_sink *sink);
static void write_file_cb(uv_fs_t *request);
static void finish(struct sink_write *write, int status);
static void close_carrier(struct fd_sink *sink);
static void closed_cb(uv_handle_t *handle);

int fd_sink_open(struct fd_sink *sink, uv_loop_t *loop, int fd, const char *what,
                 fd_sink_written_cb *on_written, void *user, struct error *error)
{
    int flags = fcntl(fd, F_GETFL);
    int status = 0;

    *sink = (struct fd_sink){.user = user, .fd = -1, .flags = flags, .on_written = on_written};
    sink->tail = &sink->first;
    if (flags < 0)
        return error_set_errno(error, ERR_IO, errno, "%s cannot be written", what);
    if ((flags & O_ACCMODE) == O_RDONLY) {
        close(fd);
        return error_set(error, ERR_IO, "%s is open for reading only", what);
    }
    switch (uv_guess_handle(fd)) {
    case UV_NAMED_PIPE:
        uv_pipe_init(loop, &sink->carrier.pipe, 0);
        status = uv_pipe_open(&sink->carrier.pipe, fd);
        break;
    case UV_TCP:
        uv_tcp_init(loop, &sink->carrier.tcp);
        status = uv_tcp_open(&sink->carrier.tcp, fd);
        break;
    case UV_FILE:
        uv_idle_init(loop, &sink->carrier.idle);
        sink->fd = fd;
        break;
    case UV_TTY:
        close(fd);
        return error_set(error, ERR_USAGE, "%s is a terminal, which cannot speak the protocol",
                         what);
    default:
        close(fd);
        return error_set(error, ERR_IO, "%s is neither a pipe, a socket nor a file", what);
    }
    sink->carrier.handle.data = sink;
    sink->is_open = 1;
    if (status == 0)
        return 0;
    close(fd);
    return error_set(error, ERR_IO, "%s cannot be written: %s", what, uv_strerror(status));
}

void fd_sink_write_take(struct fd_sink *sink, uint8_t *data, size_t len)
{
    struct sink_write *write = calloc(1, sizeof(*write));
    uv_buf_t buf;
    int status;

    /* libuv itself aborts where it cannot allocate a loop's few bytes; so does this. */
    if (write == NULL)
        abort();
    write->sink = sink;
    write->data = data;
    write->len = len;
    if (sink->fd >= 0) {
        int is_idle = sink->first == NULL;

        *sink->tail = write;
        sink->tail = &write->next;
        if (is_idle)
            write_file(sink);
        return;
    }
    /* libuv's lengths are unsigned int; a write is a frame, far below that. */
    assert(len <= UINT_MAX);
    buf = uv_buf_init((char *)data, (unsigned int)len);
    write->request.stream.data = write;
    status = uv_write(&write->request.stream, &sink->carrier.stream, &buf, 1, write_cb);
    assert(status ==
           0); /* it fails at once only for a stream that is closed or cannot be written */
    (void)status;
}

void fd_sink_close(struct fd_sink *sink, fd_sink_close_cb *on_closed)
{
    sink->on_closed = on_closed;
    /* A file's write cannot be called back: its completion then closes. */
    if (sink->first == NULL)
        close_carrier(sink);
}

/* Give the open file its mode back first: it may be shared with a shell, which does not expect it
 * non-blocking. */
static void close_carrier(struct fd_sink *sink)
{
    uv_os_fd_t fd;

    if (sink->fd < 0 && uv_fileno(&sink->carrier.handle, &fd) == 0)
        fcntl(fd, F_SETFL, sink->flags);
    uv_close(&sink->carrier.handle, closed_cb);
}

static void closed_cb(uv_handle_t *handle)
{
    struct fd_sink *sink = handle->data;

    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = -1;
    sink->is_open = 0;
    sink->on_closed(sink);
}

static void finish(struct sink_write *write, int status)
{
    struct fd_sink *sink = write->sink;
    size_t len = write->len;

    free(write->data);
    free(write);
    sink->on_written(sink, len, status);
}

static void write_cb(uv_write_t *request, int status)
{
    finish(request->data, status);
}

/* ---- files ---- */

static void write_file(struct fd_sink *sink)
{
    struct sink_write *write = sink->first;
    size_t left = write->len - write->done;
    uv_buf_t buf = uv_buf_init((char *)write->data + write->done, (unsigned int)left);

    write->request.file.data = write;
    /* An offset of -1 writes on from the descriptor's own position. */
    uv_fs_write(sink->carrier.handle.loop, &write->request.file, sink->fd, &buf, 1, -1,
                write_file_cb);
}

static void write_file_cb(uv_fs_t *request)
{
    struct sink_write *write = request->data;
    struct fd_sink *sink = write->sink;
    ssize_t count = request->result;
    int status = count < 0 ? (int)count : 0;

    uv_fs_req_cleanup(request);
    if (sink->on_closed != NULL && status == 0)
        status = UV_ECANCELED;
    if (count > 0)
        write->done += (size_t)count;
    if (status == 0 && write->done < write->len) {
        write_file(sink);
        return;
    }
    do {
        write = sink->first;
        sink->first = write->next;
        if (sink->first == NULL)
            sink->tail = &sink->first;
        finish(write, status);
        status = UV_ECANCELED; /* for the rest, where the sink is being closed */
    } while (sink->on_closed != NULL && sink->first != NULL);
    if (sink->on_closed == NULL && sink->first != NULL)
        write_file(sink);
    else if (sink->on_closed != NULL && !uv_is_closing(&sink->carrier.handle))
        close_carrier(sink);
}
