#include "protocol/link/fd_source.h"

#include <fcntl.h>

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void read_cb(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf);
static void read_file(struct fd_source *source);
static void read_file_cb(uv_fs_t *request);
static void deliver_cb(uv_idle_t *idle);
static void closed_cb(struct fd_carrier *carrier);

int fd_source_open(struct fd_source *source, uv_loop_t *loop, int fd, const char *what,
                   fd_source_bytes_cb *on_bytes, fd_source_end_cb *on_end, void *user,
                   struct error *error)
{
    int rc;

    source->user = user;
    source->wanted = source->reading = source->ended = 0;
    source->on_bytes = on_bytes;
    source->on_end = on_end;
    source->on_closed = NULL;
    source->held = 0;
    rc = fd_carrier_open(&source->carrier, loop, fd, O_RDONLY, what, source, error);
    source->ended = rc != 0;
    return rc;
}

void fd_source_start(struct fd_source *source)
{
    if (source->wanted || source->ended)
        return;
    source->wanted = 1;
    if (source->carrier.fd < 0)
        uv_read_start(&source->carrier.as.stream, alloc_cb, read_cb);
    else if (source->held > 0)
        uv_idle_start(&source->carrier.as.idle, deliver_cb);
    else
        read_file(source);
}

void fd_source_stop(struct fd_source *source)
{
    if (!source->wanted || source->ended)
        return;
    source->wanted = 0;
    if (source->carrier.fd < 0)
        uv_read_stop(&source->carrier.as.stream);
    else
        uv_idle_stop(&source->carrier.as.idle);
}

void fd_source_close(struct fd_source *source, fd_source_close_cb *on_closed)
{
    fd_source_stop(source);
    source->ended = 1;
    source->on_closed = on_closed;
    /* A file's read cannot be called back: its completion then closes. */
    if (!source->reading)
        fd_carrier_close(&source->carrier, closed_cb);
}

static void closed_cb(struct fd_carrier *carrier)
{
    struct fd_source *source = carrier->user;

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
    struct fd_source *source = ((struct fd_carrier *)handle->data)->user;

    (void)suggested;
    *buf = uv_buf_init((char *)source->chunk, sizeof(source->chunk));
}

static void read_cb(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct fd_source *source = ((struct fd_carrier *)stream->data)->user;

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
    uv_fs_read(source->carrier.as.handle.loop, &source->request, source->carrier.fd, &buf, 1, -1,
               read_file_cb);
}

static void read_file_cb(uv_fs_t *request)
{
    struct fd_source *source = request->data;
    ssize_t count = request->result;

    uv_fs_req_cleanup(request);
    source->reading = 0;
    if (source->on_closed != NULL) {
        fd_carrier_close(&source->carrier, closed_cb);
    } else if (count > 0) {
        source->held = (size_t)count;
        if (source->wanted)
            deliver_cb(&source->carrier.as.idle);
    } else {
        end(source, (int)count);
    }
}

static void deliver_cb(uv_idle_t *idle)
{
    struct fd_source *source = ((struct fd_carrier *)idle->data)->user;
    size_t len = source->held;

    uv_idle_stop(idle);
    source->held = 0;
    source->on_bytes(source, source->chunk, len);
    if (source->wanted && !source->ended && source->held == 0)
        read_file(source);
}
