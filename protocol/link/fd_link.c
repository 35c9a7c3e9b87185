#include "protocol/link/fd_link.h"

#include <assert.h>
#include <stdlib.h>

#include "protocol/base/limits.h"

/* How long what was sent before a broken write may still take to arrive. */
#define LINGER_MS 2000

static void write_take(struct link *link, uint8_t *data, size_t len);
static void pause_reading(struct link *link);
static void resume_reading(struct link *link);
static void shut(struct link *link);
static void close_link(struct link *link);
static void open_cb(uv_timer_t *timer);
static void bytes_cb(struct fd_source *source, const uint8_t *data, size_t len);
static void end_cb(struct fd_source *source, int status);
static void written_cb(struct fd_sink *sink, size_t len, int status);
static void linger_cb(uv_timer_t *timer);
static void sink_closed_cb(struct fd_sink *sink);

static const struct link_methods methods = {write_take, pause_reading, resume_reading, shut,
                                            close_link};

void fd_link_init(struct fd_link *self, uv_loop_t *loop, const struct link_callbacks *callbacks,
                  void *user, fd_link_cb *on_settled, fd_link_cb *on_gone)
{
    self->link.methods = &methods;
    self->link.callbacks = *callbacks;
    self->link.user = user;
    self->on_settled = on_settled;
    self->on_gone = on_gone;
    uv_timer_init(loop, &self->timer);
    self->timer.data = self;
}

void fd_link_open(struct fd_link *self, int in, const char *in_name, int out, const char *out_name)
{
    uv_loop_t *loop = self->timer.loop;
    int rc = fd_source_open(&self->source, loop, in, in_name, bytes_cb, end_cb, self, &self->error);
    int out_rc = fd_sink_open(&self->sink, loop, out, out_name, written_cb, self,
                              rc == 0 ? &self->error : NULL);

    self->is_write_broken = out_rc != 0;
    if (rc != 0 || out_rc != 0)
        fd_link_fail(self);
    else
        uv_timer_start(&self->timer, open_cb, 0, 0);
}

static void open_cb(uv_timer_t *timer)
{
    struct fd_link *self = timer->data;

    self->is_open = 1;
    if (!self->is_paused)
        fd_source_start(&self->source);
    if (self->link.callbacks.on_open != NULL)
        self->link.callbacks.on_open(self->link.user);
}

/* ---- the end ---- */

void fd_link_settle(struct fd_link *self)
{
    if (self->is_settled)
        return;
    self->is_settled = 1;
    uv_timer_stop(&self->timer);
    if (self->source.carrier.is_open)
        fd_source_stop(&self->source);
    self->on_settled(self);
}

static void settle_cb(uv_timer_t *timer)
{
    fd_link_settle(timer->data);
}

void fd_link_fail(struct fd_link *self)
{
    uv_timer_start(&self->timer, settle_cb, 0, 0);
}

/* Settle if there is no reason to go on. */
static void settle_if_over(struct fd_link *self)
{
    if (self->has_far_ended && (self->link.queued == 0 || self->is_write_broken))
        fd_link_settle(self);
}

static void gone_one(struct fd_link *self)
{
    assert(self->handles > 0);
    if (--self->handles == 0)
        self->on_gone(self);
}

static void timer_closed_cb(uv_handle_t *handle)
{
    gone_one(handle->data);
}

static void source_closed_cb(struct fd_source *source)
{
    gone_one(source->user);
}

static void sink_closed_cb(struct fd_sink *sink)
{
    struct fd_link *self = sink->user;

    /* One that was closed early, by link_shutdown, may be gone before the rest is closed. */
    if (self->handles > 0)
        gone_one(self);
}

void fd_link_close_sink(struct fd_link *self)
{
    if (self->sink.carrier.is_open && self->sink.on_closed == NULL)
        fd_sink_close(&self->sink, sink_closed_cb);
}

void fd_link_finish(struct fd_link *self)
{
    assert(self->is_settled && self->handles == 0);
    self->handles = 1 + self->source.carrier.is_open + self->sink.carrier.is_open;
    if (self->source.carrier.is_open)
        fd_source_close(&self->source, source_closed_cb);
    fd_link_close_sink(self);
    uv_close((uv_handle_t *)&self->timer, timer_closed_cb);
}

/* ---- reading ---- */

static void bytes_cb(struct fd_source *source, const uint8_t *data, size_t len)
{
    struct fd_link *self = source->user;

    self->link.traffic.received += len;
    if (uv_is_active((uv_handle_t *)&self->timer))
        uv_timer_again(&self->timer);
    self->link.callbacks.on_bytes(self->link.user, data, len);
}

static void end_cb(struct fd_source *source, int status)
{
    struct fd_link *self = source->user;

    self->has_far_ended = 1;
    if (status != 0 && self->error.code == ERR_NONE)
        error_set(&self->error, ERR_NO_LINK, "reading from %s: %s", self->link.name,
                  uv_strerror(status));
    settle_if_over(self);
}

static void pause_reading(struct link *link)
{
    struct fd_link *self = (struct fd_link *)link;

    self->is_paused = 1;
    if (self->is_open && !self->is_settled)
        fd_source_stop(&self->source);
}

static void resume_reading(struct link *link)
{
    struct fd_link *self = (struct fd_link *)link;

    self->is_paused = 0;
    if (self->is_open && !self->is_settled)
        fd_source_start(&self->source);
}

/* ---- writing ---- */

static void write_take(struct link *link, uint8_t *data, size_t len)
{
    struct fd_link *self = (struct fd_link *)link;

    if (self->is_shut || self->is_settled || self->is_write_broken) {
        free(data);
        return;
    }
    link->queued += len;
    if (link->queued > LIMIT_LINK_QUEUE)
        self->is_above = 1;
    fd_sink_write_take(&self->sink, data, len);
}

static void written_cb(struct fd_sink *sink, size_t len, int status)
{
    struct fd_link *self = sink->user;

    self->link.queued -= len;
    if (self->is_settled)
        return;
    if (status != 0) {
        if (!self->is_write_broken && self->error.code == ERR_NONE)
            error_set(&self->error, status == UV_ENOSPC ? ERR_DISK_FULL : ERR_NO_LINK,
                      "writing to %s: %s", self->link.name, uv_strerror(status));
        self->is_write_broken = 1;
        uv_timer_start(&self->timer, linger_cb, LINGER_MS, LINGER_MS);
        settle_if_over(self);
        return;
    }
    self->link.traffic.sent += len;
    if (self->is_shut && self->link.queued == 0)
        fd_link_close_sink(self);
    settle_if_over(self);
    if (!self->is_settled && self->is_above && self->link.queued <= LIMIT_LINK_QUEUE / 2) {
        self->is_above = 0;
        if (self->link.callbacks.on_drain != NULL)
            self->link.callbacks.on_drain(self->link.user);
    }
}

static void linger_cb(uv_timer_t *timer)
{
    struct fd_link *self = timer->data;

    if (!self->is_paused)
        fd_link_settle(self);
}

static void shut(struct link *link)
{
    struct fd_link *self = (struct fd_link *)link;

    if (self->is_shut || self->is_settled)
        return;
    self->is_shut = 1;
    if (link->queued == 0 || self->is_write_broken)
        fd_link_close_sink(self);
}

static void close_link(struct link *link)
{
    struct fd_link *self = (struct fd_link *)link;

    if (self->is_closing)
        return;
    self->is_closing = 1;
    fd_link_settle(self);
}
