#include "protocol/link/link_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/far_lines.h"
#include "protocol/link/fd_link.h"

/* How long the streams may stay open after the exit: a grandchild may hold them, as ssh's
 * ControlPersist does. */
#define AFTER_EXIT_MS 500

struct process_link {
    struct fd_link base;
    uv_process_t process;
    uv_timer_t timer;         /* for the signals of an end that is due, and for AFTER_EXIT_MS */
    struct fd_source far_err; /* its stderr */
    struct far_lines lines;   /* and the lines of it */
    char *program;            /* argv[0]; owned */
    char *missing_advice;     /* owned */
    int has_process_handle;   /* process is to be closed */
    int is_started;           /* there is, or was, a process */
    int has_exited;
    int64_t status;   /* its exit status */
    int signal;       /* or the signal that ended it */
    int signals_sent; /* SIGTERM, then SIGKILL */
    int said_all;     /* the far end closed its stdout by itself */
    int is_overdue;   /* the streams did not end within AFTER_EXIT_MS of the exit */
    int is_ending;    /* the handles of this struct are being closed */
    int handles;      /* those that are left of process, timer and far_err */
};

static int start(struct process_link *self, uv_loop_t *loop,
                 const struct link_process_options *wanted);
static void err_bytes_cb(struct fd_source *source, const uint8_t *data, size_t len);
static void err_end_cb(struct fd_source *source, int status);
static void exit_cb(uv_process_t *process, int64_t status, int signal);
static void settled(struct fd_link *base);
static void advance(struct process_link *self);
static void signal_cb(uv_timer_t *timer);
static void after_exit_cb(uv_timer_t *timer);
static void gone(struct fd_link *base);

int link_process_new(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                     const struct link_process_options *options, struct link **out,
                     struct error *error)
{
    struct process_link *self = calloc(1, sizeof(*self));

    *out = NULL;
    if (self == NULL || (self->program = strdup(options->argv[0])) == NULL ||
        (self->missing_advice = strdup(options->missing_advice)) == NULL) {
        if (self != NULL)
            free(self->program);
        free(self);
        return error_set(error, ERR_INTERNAL, "out of memory for a process");
    }
    signal(SIGPIPE, SIG_IGN);
    snprintf(self->base.link.name, sizeof(self->base.link.name), "%s", options->name);
    fd_link_init(&self->base, loop, callbacks, user, settled, gone);
    far_lines_init(&self->lines, &self->base.link);
    uv_timer_init(loop, &self->timer);
    self->timer.data = self;
    if (start(self, loop, options) != 0)
        fd_link_fail(&self->base);
    *out = &self->base.link;
    return 0;
}

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
        pair[i] = -1;
    }
}

/* Start the program with pipes on its three standard streams. An error is left in self->base.error.
 */
static int start(struct process_link *self, uv_loop_t *loop,
                 const struct link_process_options *wanted)
{
    const char *const *argv = wanted->argv;
    struct error *error = &self->base.error;
    int to_far[2] = {-1, -1};
    int from_far[2] = {-1, -1};
    int far_err[2] = {-1, -1};
    uv_stdio_container_t streams[3] = {
        {.flags = UV_INHERIT_FD}, {.flags = UV_INHERIT_FD}, {.flags = UV_INHERIT_FD}};
    uv_process_options_t options = {.file = argv[0],
                                    .args = (char **)argv,
                                    .exit_cb = exit_cb,
                                    .flags = wanted->own_session ? UV_PROCESS_DETACHED : 0,
                                    .stdio = streams,
                                    .stdio_count = 3};
    int rc;

    if (pipe2(to_far, O_CLOEXEC) != 0 || pipe2(from_far, O_CLOEXEC) != 0 ||
        pipe2(far_err, O_CLOEXEC) != 0) {
        rc = error_set_errno(error, ERR_INTERNAL, errno, "making the pipes of %s", argv[0]);
        goto out;
    }
    streams[0].data.fd = to_far[0];
    streams[1].data.fd = from_far[1];
    streams[2].data.fd = far_err[1];
    rc = uv_spawn(loop, &self->process, &options);
    self->process.data = self;
    self->has_process_handle = 1;
    if (rc != 0) {
        rc = error_set(error, ERR_NO_PROGRAM, "starting %s: %s; %s", argv[0], uv_strerror(rc),
                       self->missing_advice);
        goto out;
    }
    self->is_started = 1;
    rc = fd_source_open(&self->far_err, loop, far_err[0], "its stderr", err_bytes_cb, err_end_cb,
                        self, error);
    far_err[0] = -1;
    if (rc == 0) {
        fd_source_start(&self->far_err);
        fd_link_open(&self->base, from_far[0], "its stdout", to_far[1], "its stdin");
        from_far[0] = to_far[1] = -1;
    }
out:
    close_pair(to_far);
    close_pair(from_far);
    close_pair(far_err);
    return rc;
}

static void err_bytes_cb(struct fd_source *source, const uint8_t *data, size_t len)
{
    struct process_link *self = source->user;

    far_lines_feed(&self->lines, (const char *)data, len);
}

static void err_end_cb(struct fd_source *source, int status)
{
    struct process_link *self = source->user;

    (void)status;
    far_lines_end(&self->lines);
    advance(self);
}

/* ---- the end ---- */

static void exit_cb(uv_process_t *process, int64_t status, int signal)
{
    struct process_link *self = process->data;

    self->has_exited = 1;
    self->status = status;
    self->signal = signal;
    uv_timer_stop(&self->timer);
    advance(self);
}

static void settled(struct fd_link *base)
{
    struct process_link *self = (struct process_link *)base;

    self->said_all = !base->is_closing && base->error.code == ERR_NONE;
    fd_link_close_sink(base);
    advance(self);
}

static void gone_one(struct process_link *self)
{
    if (--self->handles == 0)
        fd_link_finish(&self->base);
}

static void handle_closed_cb(uv_handle_t *handle)
{
    gone_one(handle->data);
}

static void err_closed_cb(struct fd_source *source)
{
    gone_one(source->user);
}

/* Take the next step towards the end, if there is one to take; called whenever something came
 * nearer to it. */
static void advance(struct process_link *self)
{
    int has_process = self->is_started && !self->has_exited;
    int are_streams_open =
        !self->base.is_settled || (self->far_err.carrier.is_open && !self->far_err.ended);

    if (self->is_ending)
        return;
    if (has_process) {
        uint64_t grace = self->said_all ? LIMIT_PROCESS_LAST_WORK_MS : LIMIT_PROCESS_GRACE_MS;

        if (self->base.is_settled && !uv_is_active((uv_handle_t *)&self->timer))
            uv_timer_start(&self->timer, signal_cb, grace, LIMIT_PROCESS_GRACE_MS);
        return;
    }
    if (are_streams_open && self->is_started && !self->is_overdue) {
        if (!uv_is_active((uv_handle_t *)&self->timer))
            uv_timer_start(&self->timer, after_exit_cb, AFTER_EXIT_MS, AFTER_EXIT_MS);
        return;
    }
    self->is_ending = self->base.is_settled;
    if (!self->base.is_settled) {
        fd_link_settle(&self->base);
        return;
    }
    self->handles = 1 + self->has_process_handle + self->far_err.carrier.is_open;
    uv_close((uv_handle_t *)&self->timer, handle_closed_cb);
    if (self->has_process_handle)
        uv_close((uv_handle_t *)&self->process, handle_closed_cb);
    if (self->far_err.carrier.is_open)
        fd_source_close(&self->far_err, err_closed_cb);
}

/* It did not end when its stdin did. */
static void signal_cb(uv_timer_t *timer)
{
    struct process_link *self = timer->data;

    uv_process_kill(&self->process, self->signals_sent++ == 0 ? SIGTERM : SIGKILL);
}

/* The program is gone, but somebody still holds its streams. What it wrote itself has been there
 * since. */
static void after_exit_cb(uv_timer_t *timer)
{
    struct process_link *self = timer->data;

    if (!self->base.is_settled && self->base.is_paused)
        return;
    uv_timer_stop(timer);
    self->is_overdue = 1;
    advance(self);
}

/* Put what the exit says into self->base.error, where it explains the end better than what is
 * there. */
static void explain_exit(struct process_link *self)
{
    struct error *error = &self->base.error;
    const char *last = self->lines.last;
    const char *colon = last[0] != '\0' ? ": " : "";

    if (!self->is_started || self->signals_sent > 0 || (self->status == 0 && self->signal == 0))
        return;
    if (self->base.link.traffic.received == 0 && (self->status == 126 || self->status == 127))
        error_set(error, ERR_NO_PROGRAM, "%s ended with status %d%s%s; %s", self->program,
                  (int)self->status, colon, last, self->missing_advice);
    else if (self->signal != 0)
        error_set(error, ERR_NO_LINK, "%s was ended by signal %d (%s)%s%s", self->program,
                  self->signal, strsignal(self->signal), colon, last);
    else
        error_set(
            error, ERR_NO_LINK, "%s ended with status %d%s%s%s", self->program, (int)self->status,
            self->base.link.traffic.received == 0 ? " before it said anything" : "", colon, last);
}

static void gone(struct fd_link *base)
{
    struct process_link *self = (struct process_link *)base;

    if (base->is_closing)
        error_init(&base->error);
    else
        explain_exit(self);
    base->link.callbacks.on_close(base->link.user, &base->error);
    free(self->program);
    free(self->missing_advice);
    free(self);
}
