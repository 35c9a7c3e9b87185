#include "lockstore/credentials_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "lockstore/credentials_parse.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

struct credentials_process {
    uv_process_t process;
    uv_pipe_t out;
    uv_timer_t timer;
    struct buffer text; /* what it printed; wiped */
    int own_group;      /* the shell leads a process group, which has what it started, too */
    int exited;
    int ended; /* its stdout is at its end */
    int timed_out;
    int too_long;
    int64_t status;
    int signal;
    int open_handles;           /* until their close callbacks came */
    credentials_callback *done; /* NULL once it was called */
    void *arg;
    void (*closed)(void *arg);
    void *closed_arg;
};

static int can_ask_at_terminal(void);
static void exit_cb(uv_process_t *process, int64_t status, int signal);
static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void read_cb(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf);
static void timer_cb(uv_timer_t *timer);
static int kill_program(struct credentials_process *self);
static void finish_when_over(struct credentials_process *self);
static void handle_closed_cb(uv_handle_t *handle);
static void no_report(void *arg);

int credentials_process_start(struct credentials_process **out, struct uv_loop_s *loop,
                              const char *command, uint64_t timeout_ms, credentials_callback *done,
                              void *arg, struct error *error)
{
    struct credentials_process *self = calloc(1, sizeof(*self));
    char shell[] = "/bin/sh";
    char option[] = "-c";
    char *args[] = {shell, option, (char *)command, NULL};
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
                                     {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE},
                                     {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {
        .file = args[0], .args = args, .stdio = stdio, .stdio_count = 3, .exit_cb = exit_cb};
    int rc;

    if (self == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for credential_process");
    buffer_init(&self->text, LIMIT_HTTP_BODY);
    uv_pipe_init(loop, &self->out, 0);
    uv_timer_init(loop, &self->timer);
    self->process.data = self->out.data = self->timer.data = self;
    stdio[1].data.stream = (uv_stream_t *)&self->out;
    /* A program that asks a person there has to stay in the terminal's session and foreground. */
    self->own_group = !can_ask_at_terminal();
    options.flags = self->own_group ? UV_PROCESS_DETACHED : 0;
    rc = uv_spawn(loop, &self->process, &options);
    self->open_handles = 3;
    if (rc != 0) {
        credentials_process_close(self, no_report, NULL);
        return error_set(error, ERR_STORE_UNUSABLE, "starting the profile's credential_process: %s",
                         uv_strerror(rc));
    }
    self->done = done;
    self->arg = arg;
    uv_timer_start(&self->timer, timer_cb, timeout_ms, 0);
    uv_read_start((uv_stream_t *)&self->out, alloc_cb, read_cb);
    *out = self;
    return 0;
}

static void no_report(void *arg)
{
    (void)arg;
}

/* Only processes of the foreground group may read from the terminal, if there is one at all. */
static int can_ask_at_terminal(void)
{
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    int can_ask = tty >= 0 && tcgetpgrp(tty) == getpgrp();

    if (tty >= 0)
        close(tty);
    return can_ask;
}

static void exit_cb(uv_process_t *process, int64_t status, int signal)
{
    struct credentials_process *self = process->data;

    self->exited = 1;
    self->status = status;
    self->signal = signal;
    if (self->closed != NULL)
        uv_close((uv_handle_t *)process, handle_closed_cb);
    else
        finish_when_over(self);
}

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct credentials_process *self = handle->data;
    uint8_t *spot;

    (void)suggested;
    buf->len = 0;
    if (self->text.len == self->text.max) {
        self->too_long = 1; /* libuv reports UV_ENOBUFS */
    } else if (buffer_reserve(&self->text, self->text.max - self->text.len, &spot, NULL) == 0) {
        buf->base = (char *)spot;
        buf->len = self->text.max - self->text.len;
    }
}

static void read_cb(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct credentials_process *self = stream->data;

    (void)buf;
    if (len > 0)
        self->text.len += (size_t)len;
    if (len >= 0)
        return;
    self->ended = 1;
    uv_read_stop(stream);
    if (len == UV_ENOBUFS)
        kill_program(self);
    finish_when_over(self);
}

static void timer_cb(uv_timer_t *timer)
{
    struct credentials_process *self = timer->data;

    self->timed_out = 1;
    kill_program(self);
    /* A grandchild may hold the pipe open. */
    uv_read_stop((uv_stream_t *)&self->out);
    self->ended = 1;
    finish_when_over(self);
}

/*
 * Kill the shell and, where it has a group of its own, all that it started: most shells fork for
 * the program. uv_spawn returns after the group was made and the shell is there, and the group's
 * number is nobody else's until the shell was waited for. Returns whether exit_cb will come of it.
 */
static int kill_program(struct credentials_process *self)
{
    int pid = uv_process_get_pid(&self->process);

    return uv_is_active((uv_handle_t *)&self->process) &&
           kill(self->own_group ? -pid : pid, SIGKILL) == 0;
}

static void finish_when_over(struct credentials_process *self)
{
    struct credentials credentials = {0};
    credentials_callback *done = self->done;
    struct error error = {0};
    int rc = 0;

    if (!self->exited || !self->ended || done == NULL)
        return;
    uv_timer_stop(&self->timer);
    self->done = NULL;
    if (self->timed_out)
        rc = error_set(&error, ERR_TIMEOUT, "it did not end in time and was killed");
    else if (self->too_long)
        rc =
            error_set(&error, ERR_STORE_UNUSABLE, "it printed more than %u bytes", LIMIT_HTTP_BODY);
    else if (self->signal != 0)
        rc = error_set(&error, ERR_STORE_UNUSABLE, "it was killed by signal %d", self->signal);
    else if (self->status != 0)
        rc = error_set(&error, ERR_STORE_UNUSABLE, "it failed with status %d", (int)self->status);
    else
        rc = credentials_parse_json((const char *)self->text.data, self->text.len, &credentials,
                                    &error);
    buffer_wipe(&self->text);
    if (rc != 0)
        error_wrap(&error, "running the profile's credential_process");
    done(self->arg, rc == 0 ? &credentials : NULL, &error);
    credentials_release(&credentials);
}

void credentials_process_close(struct credentials_process *self, void (*closed)(void *arg),
                               void *arg)
{
    self->done = NULL;
    self->closed = closed;
    self->closed_arg = arg;
    /* A process whose handle is closed before it has ended stays a zombie: exit_cb closes it. */
    if (!kill_program(self))
        uv_close((uv_handle_t *)&self->process, handle_closed_cb);
    uv_close((uv_handle_t *)&self->out, handle_closed_cb);
    uv_close((uv_handle_t *)&self->timer, handle_closed_cb);
}

static void handle_closed_cb(uv_handle_t *handle)
{
    struct credentials_process *self = handle->data;
    void (*closed)(void *arg) = self->closed;
    void *arg = self->closed_arg;

    self->open_handles--;
    if (self->open_handles > 0)
        return;
    buffer_wipe(&self->text);
    free(self);
    closed(arg);
}
