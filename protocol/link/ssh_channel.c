#include "protocol/link/ssh_channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libssh2.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/link/ssh_quote.h"

/* Read so many chunks before others get their turn. */
#define READ_TURNS 16

struct ssh_chunk {
    struct ssh_chunk *next;
    uint8_t *data; /* owned */
    size_t len;
    size_t done; /* bytes that libssh2 took */
};

static void end_writing(struct ssh_channel *self);
static int tick_open(struct ssh_channel *self, struct error *error);
static int tick_start(struct ssh_channel *self, struct error *error);
static int tick_stream(struct ssh_channel *self, struct error *error);
static int tick_end(struct ssh_channel *self, struct error *error);
static int tick_retry(struct ssh_channel *self, struct error *error);

int ssh_channel_init(struct ssh_channel *self, struct _LIBSSH2_SESSION *session,
                     const char *command, const struct ssh_channel_callbacks *callbacks, void *user,
                     struct error *error)
{
    self->session = session;
    self->callbacks = callbacks;
    self->user = user;
    self->state = SSH_CHANNEL_OPENING;
    self->tail = &self->queue;
    self->kept_tail = &self->kept;
    self->is_keeping = 1;
    self->command = strdup(command);
    return self->command != NULL ? 0
                                 : error_set(error, ERR_INTERNAL, "out of memory for a command");
}

static void free_chunks(struct ssh_chunk *chunk)
{
    while (chunk != NULL) {
        struct ssh_chunk *next = chunk->next;

        free(chunk->data);
        free(chunk);
        chunk = next;
    }
}

static void drop_kept(struct ssh_channel *self)
{
    free_chunks(self->kept);
    self->kept = NULL;
    self->kept_tail = &self->kept;
    self->kept_len = 0;
    self->is_keeping = 0;
}

void ssh_channel_release(struct ssh_channel *self)
{
    free_chunks(self->queue);
    self->queue = NULL;
    self->tail = &self->queue;
    drop_kept(self);
    free(self->command);
    self->command = NULL;
}

void ssh_channel_write_take(struct ssh_channel *self, uint8_t *data, size_t len)
{
    struct ssh_chunk *chunk = calloc(1, sizeof(*chunk));

    /* As in fd_sink: libuv aborts in such a case, too. */
    if (chunk == NULL)
        abort();
    chunk->data = data;
    chunk->len = len;
    *self->tail = chunk;
    self->tail = &chunk->next;
    self->queued += len;
    if (self->is_write_over && !self->is_keeping)
        end_writing(self);
}

int ssh_channel_wants_write(const struct ssh_channel *self)
{
    return !self->is_write_over && (self->queue != NULL || (self->is_shut && !self->has_sent_eof));
}

int ssh_channel_tick(struct ssh_channel *self, struct error *error)
{
    int rc = 0;

    /* Each step returns 0 when it moved to another state. */
    while (rc == 0 && !self->is_stopped) {
        switch (self->state) {
        case SSH_CHANNEL_OPENING:
            rc = tick_open(self, error);
            break;
        case SSH_CHANNEL_STARTING:
            rc = tick_start(self, error);
            break;
        case SSH_CHANNEL_STREAMING:
            rc = tick_stream(self, error);
            break;
        case SSH_CHANNEL_ENDING:
            rc = tick_end(self, error);
            break;
        case SSH_CHANNEL_RETRYING:
            rc = tick_retry(self, error);
            break;
        case SSH_CHANNEL_ENDED:
            return 0;
        }
    }
    return self->is_stopped && rc == 0 ? SSH_CHANNEL_AGAIN : rc;
}

static int fail(struct ssh_channel *self, const char *what, struct error *error)
{
    char *text = NULL;
    int code = libssh2_session_last_error(self->session, &text, NULL, 0);

    if (code == LIBSSH2_ERROR_SOCKET_DISCONNECT || code == LIBSSH2_ERROR_SOCKET_RECV ||
        code == LIBSSH2_ERROR_SOCKET_SEND)
        return error_set(error, ERR_NO_LINK, "%s: the connection broke", what);
    return error_set(error, ERR_NO_LINK, "%s: %s (libssh2 error %d)", what,
                     text != NULL && *text != '\0' ? text : "it failed", code);
}

static int tick_open(struct ssh_channel *self, struct error *error)
{
    self->channel = libssh2_channel_open_ex(self->session, "session", 7, LIMIT_SSH_WINDOW,
                                            LIBSSH2_CHANNEL_PACKET_DEFAULT, NULL, 0);
    if (self->channel != NULL) {
        self->state = SSH_CHANNEL_STARTING;
        return 0;
    }
    if (libssh2_session_last_errno(self->session) == LIBSSH2_ERROR_EAGAIN)
        return SSH_CHANNEL_AGAIN;
    return fail(self, "opening a channel", error);
}

static int tick_start(struct ssh_channel *self, struct error *error)
{
    int rc = libssh2_channel_process_startup(self->channel, "exec", 4, self->command,
                                             (unsigned)strlen(self->command));

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return SSH_CHANNEL_AGAIN;
    if (rc != 0)
        return fail(self, "starting the far program", error);
    self->state = SSH_CHANNEL_STREAMING;
    if (!self->has_opened) {
        self->has_opened = 1;
        self->callbacks->on_open(self->user);
    }
    return 0;
}

/* ---- writing ---- */

/* The first chunk is written: keep it or free it. */
static void end_chunk(struct ssh_channel *self)
{
    struct ssh_chunk *chunk = self->queue;

    self->queue = chunk->next;
    if (self->queue == NULL)
        self->tail = &self->queue;
    chunk->next = NULL;
    if (self->is_keeping && self->kept_len + chunk->len > LIMIT_LINK_QUEUE)
        drop_kept(self);
    if (!self->is_keeping) {
        free_chunks(chunk);
        return;
    }
    *self->kept_tail = chunk;
    self->kept_tail = &chunk->next;
    self->kept_len += chunk->len;
}

/* The far program takes no more; its own last words decide. A second one may want what waits. */
static void end_writing(struct ssh_channel *self)
{
    self->is_write_over = 1;
    if (self->is_keeping)
        return;
    free_chunks(self->queue);
    self->queue = NULL;
    self->tail = &self->queue;
    self->queued = 0;
    self->callbacks->on_taken(self->user);
}

static int write_queue(struct ssh_channel *self, struct error *error)
{
    while (self->queue != NULL && !self->is_write_over && !self->is_stopped) {
        struct ssh_chunk *chunk = self->queue;
        ssize_t count = libssh2_channel_write(self->channel, (char *)chunk->data + chunk->done,
                                              chunk->len - chunk->done);

        if (count == LIBSSH2_ERROR_EAGAIN || count == 0)
            return 0;
        if (count == LIBSSH2_ERROR_CHANNEL_CLOSED || count == LIBSSH2_ERROR_CHANNEL_EOF_SENT) {
            end_writing(self);
            return 0;
        }
        if (count < 0)
            return fail(self, "writing to the far program", error);
        chunk->done += (size_t)count;
        self->queued -= (size_t)count;
        self->sent += (size_t)count;
        if (chunk->done == chunk->len)
            end_chunk(self);
        self->callbacks->on_taken(self->user);
    }
    if (self->is_shut && !self->has_sent_eof && self->queue == NULL && !self->is_write_over &&
        !self->is_stopped)
        self->has_sent_eof = libssh2_channel_send_eof(self->channel) != LIBSSH2_ERROR_EAGAIN;
    return 0;
}

/* ---- reading ---- */

static int read_stream(struct ssh_channel *self, int stream, struct error *error)
{
    for (int turn = 0; turn < READ_TURNS && !self->is_stopped; turn++) {
        ssize_t count;

        if (stream == 0 && self->is_paused)
            return 0;
        count = libssh2_channel_read_ex(self->channel, stream, (char *)self->chunk,
                                        sizeof(self->chunk));
        if (count == LIBSSH2_ERROR_EAGAIN || count == 0)
            return 0;
        if (count < 0)
            return fail(self, "reading from the far program", error);
        if (stream == 0) {
            self->has_received = 1;
            drop_kept(self);
            self->callbacks->on_bytes(self->user, self->chunk, (size_t)count);
        } else {
            self->callbacks->on_err_bytes(self->user, (char *)self->chunk, (size_t)count);
        }
    }
    self->has_more = 1;
    return 0;
}

static int tick_stream(struct ssh_channel *self, struct error *error)
{
    int rc = write_queue(self, error);

    self->has_more = 0;
    if (rc == 0)
        rc = read_stream(self, 0, error);
    if (rc == 0)
        rc = read_stream(self, SSH_EXTENDED_DATA_STDERR, error);
    if (rc != 0 || self->is_stopped)
        return rc;
    if (self->has_more || !libssh2_channel_eof(self->channel))
        return SSH_CHANNEL_AGAIN;
    self->state = SSH_CHANNEL_ENDING;
    return 0;
}

/* ---- the end ---- */

static void keep_exit(struct ssh_channel *self)
{
    char *signal = NULL;
    size_t len = 0;

    self->exit_status = libssh2_channel_get_exit_status(self->channel);
    self->exit_signal[0] = '\0';
    if (libssh2_channel_get_exit_signal(self->channel, &signal, &len, NULL, NULL, NULL, NULL) ==
            0 &&
        signal != NULL) {
        log_sanitize(signal, len, self->exit_signal, sizeof(self->exit_signal));
        libssh2_free(self->session, signal);
    }
}

static int tick_end(struct ssh_channel *self, struct error *error)
{
    int rc = write_queue(self, error);

    if (rc != 0)
        return rc;
    rc = libssh2_channel_wait_closed(self->channel);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return SSH_CHANNEL_AGAIN;
    keep_exit(self);
    self->state = SSH_CHANNEL_ENDED;
    if ((self->exit_status == 126 || self->exit_status == 127) && !self->has_received &&
        !self->has_retried && self->is_keeping)
        self->state = SSH_CHANNEL_RETRYING;
    return 0;
}

/* Free the first channel, and begin again with what was written to it. */
static int tick_retry(struct ssh_channel *self, struct error *error)
{
    char *command = NULL;

    if (libssh2_channel_free(self->channel) == LIBSSH2_ERROR_EAGAIN)
        return SSH_CHANNEL_AGAIN;
    self->channel = NULL;
    if (asprintf(&command, SSH_MORE_PATH "%s", self->command) < 0)
        return error_set(error, ERR_INTERNAL, "out of memory for a command");
    free(self->command);
    self->command = command;
    *self->kept_tail = self->queue;
    if (self->kept != NULL) {
        if (self->queue == NULL)
            self->tail = self->kept_tail;
        self->queue = self->kept;
    }
    self->kept = NULL;
    drop_kept(self); /* empty by now: a third try will not come */
    self->queued = 0;
    for (struct ssh_chunk *chunk = self->queue; chunk != NULL; chunk = chunk->next) {
        chunk->done = 0;
        self->queued += chunk->len;
    }
    self->sent = 0;
    self->has_retried = 1;
    self->has_sent_eof = 0;
    self->is_write_over = 0;
    self->callbacks->on_taken(self->user);
    self->state = SSH_CHANNEL_OPENING;
    return 0;
}
