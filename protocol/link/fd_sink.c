#include "protocol/link/fd_sink.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

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
static void closed_cb(struct fd_carrier *carrier);

int fd_sink_open(struct fd_sink *sink, uv_loop_t *loop, int fd, const char *what,
                 fd_sink_written_cb *on_written, void *user, struct error *error)
{
    *sink = (struct fd_sink){.user = user, .on_written = on_written};
    sink->tail = &sink->first;
    return fd_carrier_open(&sink->carrier, loop, fd, O_WRONLY, what, sink, error);
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
    if (sink->carrier.fd >= 0) {
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
    status = uv_write(&write->request.stream, &sink->carrier.as.stream, &buf, 1, write_cb);
    assert(status ==
           0); /* it fails at once only for a stream that is closed or cannot be written */
    (void)status;
}

void fd_sink_close(struct fd_sink *sink, fd_sink_close_cb *on_closed)
{
    sink->on_closed = on_closed;
    /* A file's write cannot be called back: its completion then closes. */
    if (sink->first == NULL)
        fd_carrier_close(&sink->carrier, closed_cb);
}

static void closed_cb(struct fd_carrier *carrier)
{
    struct fd_sink *sink = carrier->user;

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
    uv_fs_write(sink->carrier.as.handle.loop, &write->request.file, sink->carrier.fd, &buf, 1, -1,
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
    else if (sink->on_closed != NULL && !uv_is_closing(&sink->carrier.as.handle))
        fd_carrier_close(&sink->carrier, closed_cb);
}
