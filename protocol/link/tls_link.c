#include "protocol/link/tls_link.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/limits.h"
#include "protocol/link/tls_stream.h"

/* How long an alert, or what was sent before a broken write, may take to arrive. */
#define LINGER_MS 2000
/* The same for a paused link, whose user will read what came: so many times LINGER_MS. */
#define LINGER_PAUSED 30
/* Records in one write to the network. */
#define SLICES 4
/* Bytes of one read from the network: what a paused link holds, and what OpenSSL keeps allocated
 * for it. */
#define CHUNK 16384

/* Plain bytes that wait. */
struct tls_link_piece {
    struct tls_link_piece *next;
    uint8_t *data; /* owned */
    size_t len;
    size_t done; /* of them, those that were encrypted */
};

static void write_take(struct link *link, uint8_t *data, size_t len);
static void pause_reading(struct link *link);
static void resume_reading(struct link *link);
static void shut(struct link *link);
static void close_link(struct link *link);
static void deliver(struct tls_link *self);
static void flush(struct tls_link *self);
static void idle_cb(uv_idle_t *idle);
static void deliver_now(void *user);
static void flush_now(void *user);
static void free_now(void *user);
static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void read_cb(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf);
static void timeout_cb(uv_timer_t *timer);
static void written_cb(uv_write_t *write, int status);

static const struct link_methods methods = {write_take, pause_reading, resume_reading, shut,
                                            close_link};

void tls_link_init(struct tls_link *self, uv_loop_t *loop, struct loop_turn *turn,
                   const struct link_callbacks *callbacks, void *user, tls_link_cb *on_settled,
                   tls_link_cb *on_gone)
{
    signal(SIGPIPE, SIG_IGN);
    self->link.methods = &methods;
    self->link.callbacks = *callbacks;
    self->link.user = user;
    self->on_settled = on_settled;
    self->on_gone = on_gone;
    self->turn = turn;
    self->delivering.on_time = deliver_now;
    self->flushing.on_time = flush_now;
    self->freeing.on_time = free_now;
    self->delivering.user = self->flushing.user = self->freeing.user = self;
    uv_timer_init(loop, &self->timer);
    uv_idle_init(loop, &self->idle);
    self->timer.data = self->idle.data = self;
}

void tls_link_begin(struct tls_link *self, struct tls_context *context, const char *host,
                    uint64_t timeout_ms)
{
    self->carrier.handle.data = self;
    if (tls_stream_new(&self->tls, context, host, self->link.name, &self->error) != 0) {
        tls_link_fail(self);
        return;
    }
    uv_timer_start(&self->timer, timeout_cb, timeout_ms, 0);
    uv_read_start(&self->carrier.stream, alloc_cb, read_cb);
    uv_idle_start(&self->idle, idle_cb);
}

/* ---- the end ---- */

static void settle(struct tls_link *self)
{
    if (self->is_settled)
        return;
    self->is_settled = 1;
    if (self->error.code == ERR_NONE && self->write_status != 0 && !self->has_far_ended)
        error_set(&self->error, ERR_NO_LINK, "writing to %s: %s", self->link.name,
                  uv_strerror(self->write_status));
    uv_timer_stop(&self->timer);
    uv_idle_stop(&self->idle);
    loop_turn_leave(self->turn, &self->delivering);
    loop_turn_leave(self->turn, &self->flushing);
    if (self->tls != NULL)
        uv_read_stop(&self->carrier.stream);
    self->on_settled(self);
}

void tls_link_fail(struct tls_link *self)
{
    assert(self->tls == NULL);
    uv_idle_start(&self->idle, idle_cb);
}

static void drop_queue(struct tls_link *self)
{
    while (self->first != NULL) {
        struct tls_link_piece *piece = self->first;

        self->first = piece->next;
        self->link.queued -= piece->len - piece->done;
        explicit_bzero(piece->data, piece->len);
        free(piece->data);
        free(piece);
    }
    self->last = NULL;
}

/* It broke. Nothing more is delivered; an alert, and the reading of it, get a little while. */
static void fail(struct tls_link *self, const struct error *error)
{
    if (self->error.code == ERR_NONE)
        self->error = *error;
    if (self->has_failed || self->is_settled)
        return;
    self->has_failed = 1;
    drop_queue(self);
    uv_timer_start(&self->timer, timeout_cb, LINGER_MS, 0);
    uv_read_start(&self->carrier.stream, alloc_cb, read_cb);
    flush(self);
}

static void timeout_cb(uv_timer_t *timer)
{
    struct tls_link *self = timer->data;

    if (self->is_open && !self->has_failed && self->is_paused && self->lingered++ < LINGER_PAUSED) {
        uv_timer_start(timer, timeout_cb, LINGER_MS, 0);
        return;
    }
    if (!self->is_open && !self->has_failed)
        error_set(&self->error, ERR_TIMEOUT,
                  "TLS with %s: no answer in time; is it a lockstep-origin that listens there?",
                  self->link.name);
    settle(self);
}

static void free_now(void *user)
{
    struct tls_link *self = user;

    tls_stream_free(self->tls);
    drop_queue(self);
    free(self->sent);
    self->on_gone(self);
}

static void closed_cb(uv_handle_t *handle)
{
    struct tls_link *self = handle->data;

    assert(self->handles > 0);
    if (--self->handles > 0)
        return;
    if (loop_turn_has_time(self->turn, TURN_SHORT))
        free_now(self);
    else
        loop_turn_wait(self->turn, TURN_SHORT, &self->freeing);
}

void tls_link_finish(struct tls_link *self)
{
    assert(self->is_settled && self->handles == 0);
    self->handles = 2 + self->has_carrier;
    if (self->has_carrier) {
        self->carrier.handle.data = self;
        uv_close(&self->carrier.handle, closed_cb);
    }
    uv_close((uv_handle_t *)&self->timer, closed_cb);
    uv_close((uv_handle_t *)&self->idle, closed_cb);
}

/* ---- reading ---- */

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    /* What is read goes into OpenSSL at once, so all links of a loop share it. */
    static _Thread_local char chunk[CHUNK];

    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(chunk, sizeof(chunk));
}

/* The connection ended, whether the far side announced that or not. */
static void end_of_connection(struct tls_link *self, int status)
{
    uv_read_stop(&self->carrier.stream);
    if (!self->has_far_ended && self->error.code == ERR_NONE)
        error_set(&self->error, ERR_NO_LINK, "the connection to %s broke off: %s; try again",
                  self->link.name, status == UV_EOF ? "it was closed there" : uv_strerror(status));
    settle(self);
}

static void read_cb(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct tls_link *self = stream->data;
    struct error error = {0};

    if (count < 0) {
        end_of_connection(self, (int)count);
    } else if (count > 0 && !self->has_failed) {
        if (tls_stream_feed(self->tls, (const uint8_t *)buf->base, (size_t)count, &error) != 0)
            fail(self, &error);
        else
            deliver(self);
    }
}

static void idle_cb(uv_idle_t *idle)
{
    struct tls_link *self = idle->data;

    uv_idle_stop(idle);
    if (self->tls == NULL)
        settle(self);
    else
        deliver(self);
}

/* The handshake's next step. Returns whether it is through. */
static int shake_hands(struct tls_link *self)
{
    struct error error = {0};
    int done = 0;

    if (tls_stream_handshake(self->tls, &done, &error) != 0) {
        fail(self, &error);
        return 0;
    }
    if (!done) {
        uv_read_start(&self->carrier.stream, alloc_cb, read_cb);
        flush(self);
        return 0;
    }
    uv_timer_stop(&self->timer);
    self->is_open = 1;
    if (self->link.callbacks.on_open != NULL)
        self->link.callbacks.on_open(self->link.user);
    return !self->is_settled;
}

/* Decrypt what came, and hand it to the user, for as long as he takes it. */
static void deliver_now(void *user)
{
    struct tls_link *self = user;
    static _Thread_local uint8_t plain[TLS_RECORD];
    struct error error = {0};
    size_t len = 1;
    int ended = 0;

    if (self->is_settled || self->has_failed || (!self->is_open && !shake_hands(self)))
        return;
    while (!self->is_paused && !self->is_settled && !self->has_far_ended && len > 0) {
        if (tls_stream_read(self->tls, plain, sizeof(plain), &len, &ended, &error) != 0) {
            fail(self, &error);
            break;
        }
        self->has_far_ended = ended;
        self->link.traffic.received += len;
        if (len > 0)
            self->link.callbacks.on_bytes(self->link.user, plain, len);
    }
    explicit_bzero(plain, sizeof(plain));
    if (self->is_settled || self->has_failed)
        return;
    if (self->is_paused || self->has_far_ended)
        uv_read_stop(&self->carrier.stream);
    else
        uv_read_start(&self->carrier.stream, alloc_cb, read_cb);
    flush(self);
}

/* The same, in this turn of the loop or in another one. */
static void deliver(struct tls_link *self)
{
    enum turn_kind kind = self->is_open ? TURN_SHORT : TURN_HANDSHAKE;

    if (self->is_settled || self->has_failed || self->delivering.is_waiting)
        return;
    if (loop_turn_has_time(self->turn, kind)) {
        deliver_now(self);
        return;
    }
    uv_read_stop(&self->carrier.stream);
    loop_turn_wait(self->turn, kind, &self->delivering);
}

static void pause_reading(struct link *link)
{
    struct tls_link *self = (struct tls_link *)link;

    self->is_paused = 1;
    if (self->is_open && !self->is_settled && !self->has_failed)
        uv_read_stop(&self->carrier.stream);
}

static void resume_reading(struct link *link)
{
    struct tls_link *self = (struct tls_link *)link;

    if (!self->is_paused)
        return;
    self->is_paused = 0;
    if (self->is_open && !self->is_settled && !self->has_failed)
        uv_idle_start(&self->idle, idle_cb);
}

/* ---- writing ---- */

static void write_take(struct link *link, uint8_t *data, size_t len)
{
    struct tls_link *self = (struct tls_link *)link;
    struct tls_link_piece *piece = calloc(1, sizeof(*piece));
    struct error error;

    if (piece == NULL || self->is_shut || self->is_settled || self->has_failed) {
        if (piece == NULL) {
            error_set(&error, ERR_INTERNAL, "out of memory for what goes to %s", link->name);
            fail(self, &error);
        }
        free(piece);
        free(data);
        return;
    }
    *piece = (struct tls_link_piece){.data = data, .len = len};
    if (self->last != NULL)
        self->last->next = piece;
    else
        self->first = piece;
    self->last = piece;
    link->queued += len;
    if (link->queued > link_queue_max(link))
        self->is_above = 1;
    if (self->is_open)
        flush(self);
}

/* Encrypt the next bytes of the queue, a record at most. */
static int encrypt_next(struct tls_link *self, struct error *error)
{
    struct tls_link_piece *piece = self->first;
    size_t len = piece->len - piece->done < TLS_RECORD ? piece->len - piece->done : TLS_RECORD;
    int rc = tls_stream_write(self->tls, piece->data + piece->done, len, error);

    if (rc != 0)
        return rc;
    piece->done += len;
    self->sent_plain += len;
    if (piece->done < piece->len)
        return 0;
    self->first = piece->next;
    if (self->first == NULL)
        self->last = NULL;
    explicit_bzero(piece->data, piece->len);
    free(piece->data);
    free(piece);
    return 0;
}

/* Move what is to be sent behind the *len bytes in self->sent. */
static int collect(struct tls_link *self, size_t *len, struct error *error)
{
    size_t more;
    const uint8_t *data = tls_stream_output(self->tls, &more);
    uint8_t *grown;

    if (more == 0)
        return 0;
    grown = realloc(self->sent, *len + more);
    if (grown == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for what goes to %s", self->link.name);
    memcpy(grown + *len, data, more);
    self->sent = grown;
    *len += more;
    tls_stream_taken(self->tls);
    return 0;
}

/* Fill self->sent with what goes to the network next. */
static int fill(struct tls_link *self, size_t *len, struct error *error)
{
    int rc = collect(self, len, error);

    for (int i = 0; rc == 0 && i < SLICES && self->is_open && self->first != NULL; i++) {
        rc = encrypt_next(self, error);
        if (rc == 0)
            rc = collect(self, len, error);
    }
    if (rc != 0 || self->is_finished || self->first != NULL)
        return rc;
    if (!self->has_failed && !(self->is_open && (self->is_shut || self->has_far_ended)))
        return 0;
    self->is_finished = 1;
    if (!self->has_failed)
        tls_stream_finish(self->tls);
    return collect(self, len, error);
}

static void shut_cb(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown;
    (void)status;
}

/* All is written. */
static void end_writing(struct tls_link *self)
{
    if (self->has_far_ended && !self->has_failed)
        settle(self);
    else if (self->shutdown.handle == NULL)
        uv_shutdown(&self->shutdown, &self->carrier.stream, shut_cb);
}

/* Write what there is to write, one write at a time. */
static void flush_now(void *user)
{
    struct tls_link *self = user;
    struct error error = {0};
    size_t len = 0;
    uv_buf_t buf;

    if (self->is_writing || self->is_settled)
        return;
    if (fill(self, &len, &error) != 0) {
        fail(self, &error);
        return;
    }
    if (len == 0) {
        if (self->is_finished)
            end_writing(self);
        return;
    }
    buf = uv_buf_init((char *)self->sent, (unsigned)len);
    self->write.data = self;
    self->is_writing = 1;
    if (uv_write(&self->write, &self->carrier.stream, &buf, 1, written_cb) != 0)
        settle(self);
}

/* Whether flush_now would do anything. */
static int has_output(const struct tls_link *self)
{
    size_t len;

    tls_stream_output(self->tls, &len);
    return len > 0 || self->has_failed || self->is_shut || self->has_far_ended ||
           (self->is_open && self->first != NULL);
}

/* The same, in this turn of the loop or in another one. */
static void flush(struct tls_link *self)
{
    if (self->is_writing || self->is_settled || self->flushing.is_waiting || !has_output(self))
        return;
    if (loop_turn_has_time(self->turn, TURN_SHORT))
        flush_now(self);
    else
        loop_turn_wait(self->turn, TURN_SHORT, &self->flushing);
}

static void tell_of_drain(struct tls_link *self)
{
    if (self->is_settled || !self->is_above || self->link.queued > link_queue_max(&self->link) / 2)
        return;
    self->is_above = 0;
    if (self->link.callbacks.on_drain != NULL)
        self->link.callbacks.on_drain(self->link.user);
}

static void written_cb(uv_write_t *write, int status)
{
    struct tls_link *self = write->data;
    size_t plain = self->sent_plain;

    self->is_writing = 0;
    free(self->sent);
    self->sent = NULL;
    self->sent_plain = 0;
    self->link.queued -= plain;
    if (self->is_settled)
        return;
    if (status != 0) {
        /* Why the far side went may be among what it sent before. */
        self->write_status = status;
        drop_queue(self);
        self->is_shut = self->is_finished = 1;
        uv_timer_start(&self->timer, timeout_cb, LINGER_MS, 0);
        if (self->has_far_ended)
            settle(self);
        tell_of_drain(self);
        return;
    }
    self->link.traffic.sent += plain;
    flush(self);
    tell_of_drain(self);
}

static void shut(struct link *link)
{
    struct tls_link *self = (struct tls_link *)link;

    self->is_shut = 1;
    if (self->is_open)
        flush(self);
}

static void close_link(struct link *link)
{
    struct tls_link *self = (struct tls_link *)link;

    if (self->is_closing)
        return;
    self->is_closing = 1;
    settle(self);
}
