/*
 *   CONNECT --> HANDSHAKE --> LOGIN --> CHANNEL --> (far program ended)
 *      |            |           |          |              |
 *      +------------+-----------+----------+--------------+--> CLOSING --> on_close
 *
 * tick() makes the moves between the first four, begin_close() the one to CLOSING. libssh2 is never
 * let block: each step that would is called again when the socket can be read or written (poll_cb),
 * when the agent or a person answered (wake), or when there was more than one turn's work (the kick
 * timer).
 *
 * Time-outs: until the login, each step has the connect time-out, not counting what a person needs.
 * Afterwards the far side is asked for a sign of life after alive_interval_s of silence, and the
 * link ends after alive_count_max such intervals. A paused link reads nothing, so that its silence
 * is not counted.
 */
#include "protocol/link/link_ssh.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <libssh2.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/far_lines.h"
#include "protocol/link/link.h"
#include "protocol/link/ssh_auth.h"
#include "protocol/link/ssh_channel.h"
#include "protocol/link/ssh_config.h"
#include "protocol/link/ssh_host_key.h"
#include "protocol/link/ssh_known_hosts.h"
#include "protocol/link/ssh_setup.h"
#include "protocol/link/tcp_connect.h"

/* How long the far side may take to say how its program ended, after the end of its stdout. */
#define END_TIMEOUT_MS 5000

enum ssh_state { STATE_CONNECT, STATE_HANDSHAKE, STATE_LOGIN, STATE_CHANNEL, STATE_CLOSING };

struct ssh_link {
    struct link link;
    uv_loop_t *loop;
    enum ssh_state state;
    struct ssh_config config;
    struct ssh_known_hosts known;
    int accept_new_host_key;
    char *program; /* how messages call the far program; owned */
    uint64_t timeout_ms;
    struct tcp_connect connect;
    int fd; /* the socket; -1 before */
    uv_poll_t poll;
    int has_poll;
    uv_timer_t timer; /* of the step that is waited for */
    uv_timer_t kick;  /* for a tick without an event of the socket */
    LIBSSH2_SESSION *session;
    struct ssh_auth *auth; /* from the login on; NULL before */
    struct ssh_channel channel;
    struct far_lines lines;
    uint64_t heard_ms; /* when the socket last moved, by clock_monotonic_ms */
    int is_above;      /* more waited than LIMIT_LINK_QUEUE, and on_drain did not come yet */
    int was_closed;    /* link_close was called */
    int is_ending;     /* END_TIMEOUT_MS runs */
    int is_over;       /* the far program ended, and error says how */
    int is_ticking;    /* inside tick(), which must not be entered again */
    int handles;       /* that are still to be closed */
    struct error error;
};

static void connected_cb(struct tcp_connect *connect, int fd, const struct error *error);
static void poll_cb(uv_poll_t *poll, int status, int events);
static void kick_cb(uv_timer_t *timer);
static void timeout_cb(uv_timer_t *timer);
static void alive_cb(uv_timer_t *timer);
static void wake(void *user);
static void tick(struct ssh_link *self);
static int tick_handshake(struct ssh_link *self);
static int tick_login(struct ssh_link *self);
static int tick_channel(struct ssh_link *self);
static void begin_close(struct ssh_link *self);
static void write_take(struct link *link, uint8_t *data, size_t len);
static void pause_reading(struct link *link);
static void resume_reading(struct link *link);
static void shut(struct link *link);
static void close_link(struct link *link);
static void channel_open(void *user);
static void channel_bytes(void *user, const uint8_t *data, size_t len);
static void channel_err_bytes(void *user, const char *data, size_t len);
static void channel_taken(void *user);

static const struct link_methods methods = {write_take, pause_reading, resume_reading, shut,
                                            close_link};
static const struct ssh_channel_callbacks channel_callbacks = {channel_open, channel_bytes,
                                                               channel_err_bytes, channel_taken};

static void init_library(void)
{
    libssh2_init(0);
}

/* ---- the start ---- */

static void free_link(struct ssh_link *self)
{
    ssh_channel_release(&self->channel);
    ssh_known_hosts_release(&self->known);
    ssh_config_release(&self->config);
    free(self->program);
    free(self);
}

/* Make the session, which needs no socket yet. */
static int make_session(struct ssh_link *self, const char *command, struct error *error)
{
    const char **supported = NULL;
    char preference[256];
    int count;

    self->session = libssh2_session_init();
    if (self->session == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for an SSH session");
    libssh2_session_set_blocking(self->session, 0);
    /* Only what it has: libssh2 1.10 takes the rest out by a memcpy that overlaps itself. */
    count = libssh2_session_supported_algs(self->session, LIBSSH2_METHOD_HOSTKEY, &supported);
    if (count > 0) {
        ssh_host_key_preference(&self->known, supported, (size_t)count, preference,
                                sizeof(preference));
        libssh2_free(self->session, supported);
        libssh2_session_method_pref(self->session, LIBSSH2_METHOD_HOSTKEY, preference);
    }
    return ssh_channel_init(&self->channel, self->session, command, &channel_callbacks, self,
                            error);
}

int link_ssh_new(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                 const struct link_ssh_options *options, struct link **out, struct error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct ssh_link *self = calloc(1, sizeof(*self));
    struct tcp_connect_options connect;
    int rc;

    *out = NULL;
    if (self == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for a link");
    pthread_once(&once, init_library);
    signal(SIGPIPE, SIG_IGN);
    self->link.methods = &methods;
    self->link.callbacks = *callbacks;
    self->link.user = user;
    self->loop = loop;
    self->fd = -1;
    self->accept_new_host_key = options->accept_new_host_key;
    self->program = strdup(options->program != NULL ? options->program : "lockstep-origin");
    far_lines_init(&self->lines, &self->link);
    rc = self->program != NULL ? ssh_setup(&self->config, options, error)
                               : error_set(error, ERR_INTERNAL, "out of memory for a link");
    if (rc == 0)
        rc = ssh_host_key_load(&self->config, &self->known, error);
    if (rc == 0)
        rc = make_session(self, options->command, error);
    if (rc != 0) {
        if (self->session != NULL)
            libssh2_session_free(self->session);
        free_link(self);
        return rc;
    }
    self->timeout_ms = options->connect_timeout_ms > 0
                           ? (uint64_t)options->connect_timeout_ms
                           : (uint64_t)self->config.connect_timeout_s * 1000;
    snprintf(self->link.name, sizeof(self->link.name), "ssh://%s@%s:%d", self->config.user,
             self->config.host_name, self->config.port);
    uv_timer_init(loop, &self->timer);
    uv_timer_init(loop, &self->kick);
    self->timer.data = self->kick.data = self;
    connect = (struct tcp_connect_options){
        .host = self->config.host_name,
        .port = self->config.port,
        .family = self->config.address_family,
        .timeout_ms = self->timeout_ms,
        .advice = "check the name, or HostName in ~/.ssh/config"};
    tcp_connect_start(&self->connect, loop, &connect, connected_cb, self);
    *out = &self->link;
    return 0;
}

static void connected_cb(struct tcp_connect *connect, int fd, const struct error *error)
{
    struct ssh_link *self = connect->user;

    if (fd < 0) {
        self->error = *error;
        begin_close(self);
        return;
    }
    self->fd = fd;
    uv_poll_init(self->loop, &self->poll, fd);
    self->poll.data = self;
    self->has_poll = 1;
    self->state = STATE_HANDSHAKE;
    uv_timer_start(&self->timer, timeout_cb, self->timeout_ms, 0);
    tick(self);
}

/* ---- what moves it ---- */

static void poll_cb(uv_poll_t *poll, int status, int events)
{
    struct ssh_link *self = poll->data;

    (void)status; /* libssh2 finds out itself what is wrong with the socket */
    (void)events;
    self->heard_ms = clock_monotonic_ms();
    tick(self);
}

static void kick_cb(uv_timer_t *timer)
{
    tick(timer->data);
}

static void wake(void *user)
{
    struct ssh_link *self = user;

    uv_timer_start(&self->kick, kick_cb, 0, 0);
}

/*
 * Wait for what libssh2 waits for, but not for what nobody would read: a socket that stays readable
 * would call back at once, again and again.
 */
static void wait_for_socket(struct ssh_link *self)
{
    int is_paused = self->state == STATE_CHANNEL && self->channel.is_paused &&
                    self->channel.state == SSH_CHANNEL_STREAMING;
    int is_outbound =
        (libssh2_session_block_directions(self->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0;
    int events = is_outbound ? UV_WRITABLE : 0;

    if (self->state == STATE_LOGIN && ssh_auth_waits_for_person(self->auth))
        events = 0;
    else if (!is_paused || (!is_outbound && ssh_channel_wants_write(&self->channel)))
        events |= UV_READABLE; /* a write that waits for the far side's window reads, too */
    if (events != 0)
        uv_poll_start(&self->poll, events, poll_cb);
    else
        uv_poll_stop(&self->poll);
}

/* Do all that can be done now. */
static void tick(struct ssh_link *self)
{
    int rc = 0;

    if (self->is_ticking || self->state == STATE_CLOSING || self->state == STATE_CONNECT)
        return;
    self->is_ticking = 1;
    /* Each step returns 0 when it moved to another state, -1 where it waits, or an error. */
    while (rc == 0 && !self->is_over && !self->was_closed) {
        if (self->state == STATE_HANDSHAKE)
            rc = tick_handshake(self);
        else if (self->state == STATE_LOGIN)
            rc = tick_login(self);
        else
            rc = tick_channel(self);
    }
    if (!self->was_closed && self->is_above && self->link.queued <= LIMIT_LINK_QUEUE / 2) {
        self->is_above = 0;
        if (self->link.callbacks.on_drain != NULL)
            self->link.callbacks.on_drain(self->link.user);
    }
    self->is_ticking = 0;
    if (self->was_closed || self->is_over || rc > 0)
        begin_close(self);
    else
        wait_for_socket(self);
}

static void timeout_cb(uv_timer_t *timer)
{
    struct ssh_link *self = timer->data;

    if (self->state == STATE_LOGIN && ssh_auth_waits_for_person(self->auth)) {
        uv_timer_start(&self->timer, timeout_cb, self->timeout_ms, 0);
        return;
    }
    error_set(&self->error, ERR_TIMEOUT,
              "%s to %s: no answer from %s port %d within %.3g s; is that an SSH server, and is it overloaded? "
              "--connect-timeout, or ConnectTimeout of the SSH configuration, waits longer",
              self->state == STATE_HANDSHAKE ? "connecting"
              : self->state == STATE_LOGIN   ? "logging in"
                                             : "starting the far program",
              self->config.host, self->config.host_name, self->config.port,
              (double)self->timeout_ms / 1000);
    begin_close(self);
}

/* Called at each interval once the link is open. */
static void alive_cb(uv_timer_t *timer)
{
    struct ssh_link *self = timer->data;
    uint64_t silence_ms = clock_monotonic_ms() - self->heard_ms;
    uint64_t max_ms =
        (uint64_t)self->config.alive_interval_s * 1000 *
        (uint64_t)(self->config.alive_count_max > 0 ? self->config.alive_count_max : 1);
    int next;

    if (self->channel.is_paused) {
        self->heard_ms = clock_monotonic_ms();
        return;
    }
    if (silence_ms > max_ms) {
        error_set(
            &self->error, ERR_TIMEOUT,
            "nothing was heard from %s for %llu s (ServerAliveInterval times ServerAliveCountMax): "
            "the host or the network is down, or it is overloaded",
            self->config.host, (unsigned long long)silence_ms / 1000);
        begin_close(self);
        return;
    }
    /* A packet that is partly sent must be ended first; the socket's moves are then what counts. */
    if (!(libssh2_session_block_directions(self->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND))
        libssh2_keepalive_send(self->session, &next);
    wait_for_socket(self);
}

/* ---- handshake and login ---- */

static int handshake_error(struct ssh_link *self, int rc)
{
    char *text = NULL;

    libssh2_session_last_error(self->session, &text, NULL, 0);
    if (rc == LIBSSH2_ERROR_KEX_FAILURE || rc == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE ||
        rc == LIBSSH2_ERROR_METHOD_NONE)
        return error_set(
            &self->error, ERR_NO_LINK,
            "%s and libssh2 %s agree on no way to exchange keys (%s): so it is where a server's "
            "only host key is RSA, signed by SHA-2: give it an ed25519 host key (`ssh-keygen -A` "
            "there), or use `--ssh ssh`",
            self->config.host, libssh2_version(0), text);
    return error_set(&self->error, ERR_NO_LINK,
                     "%s port %d does not answer as an SSH server (%s, libssh2 error %d)",
                     self->config.host_name, self->config.port,
                     text != NULL && *text != '\0' ? text : "the connection broke", rc);
}

static int tick_handshake(struct ssh_link *self)
{
    int rc = libssh2_session_handshake(self->session, self->fd);
    const char *blob;
    size_t len = 0;
    int type;

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return -1;
    if (rc != 0)
        return handshake_error(self, rc);
    blob = libssh2_session_hostkey(self->session, &len, &type);
    if (blob == NULL)
        return error_set(&self->error, ERR_NO_LINK, "%s showed no host key", self->config.host);
    rc = ssh_host_key_check(&self->config, &self->known, self->accept_new_host_key,
                            (const uint8_t *)blob, len, &self->error);
    if (rc != 0)
        return rc;
    self->auth = ssh_auth_new(self->loop, self->session, &self->config, wake, self);
    if (self->auth == NULL)
        return error_set(&self->error, ERR_INTERNAL, "out of memory for a login");
    self->state = STATE_LOGIN;
    uv_timer_start(&self->timer, timeout_cb, self->timeout_ms, 0);
    return 0;
}

static int tick_login(struct ssh_link *self)
{
    int rc = ssh_auth_tick(self->auth, &self->error);

    if (rc != 0)
        return rc;
    self->state = STATE_CHANNEL;
    uv_timer_start(&self->timer, timeout_cb, self->timeout_ms, 0);
    return 0;
}

/* ---- the far program ---- */

static void channel_open(void *user)
{
    struct ssh_link *self = user;
    uint64_t interval_ms = (uint64_t)self->config.alive_interval_s * 1000;

    self->heard_ms = clock_monotonic_ms();
    uv_timer_stop(&self->timer);
    if (interval_ms > 0) {
        libssh2_keepalive_config(self->session, 1, (unsigned)self->config.alive_interval_s);
        uv_timer_start(&self->timer, alive_cb, interval_ms, interval_ms);
    }
    if (self->link.callbacks.on_open != NULL)
        self->link.callbacks.on_open(self->link.user);
}

static void channel_bytes(void *user, const uint8_t *data, size_t len)
{
    struct ssh_link *self = user;

    self->link.traffic.received += len;
    self->link.callbacks.on_bytes(self->link.user, data, len);
}

static void channel_err_bytes(void *user, const char *data, size_t len)
{
    struct ssh_link *self = user;

    far_lines_feed(&self->lines, data, len);
}

static void channel_taken(void *user)
{
    struct ssh_link *self = user;

    self->link.queued = self->channel.queued;
    self->link.traffic.sent = self->channel.sent;
}

static void end_timeout_cb(uv_timer_t *timer)
{
    begin_close(timer->data);
}

/* Put into self->error how the far program ended. */
static void explain_exit(struct ssh_link *self)
{
    const struct ssh_channel *channel = &self->channel;
    int has_spoken = self->link.traffic.received > 0;
    const char *colon;

    far_lines_end(&self->lines);
    colon = self->lines.last[0] != '\0' ? ": " : "";
    if (!has_spoken && (channel->exit_status == 126 || channel->exit_status == 127))
        error_set(
            &self->error, ERR_NO_PROGRAM,
            "%s was not found at %s, nor in the usual places there: install the lockstep package "
            "there, or say where it is with --exe PATH (status %d%s%s)",
            self->program, self->config.host, channel->exit_status, colon, self->lines.last);
    else if (channel->exit_signal[0] != '\0')
        error_set(&self->error, ERR_NO_LINK, "%s at %s was ended by signal %s%s%s", self->program,
                  self->config.host, channel->exit_signal, colon, self->lines.last);
    else if (channel->exit_status != 0)
        error_set(&self->error, ERR_NO_LINK, "%s at %s ended with status %d%s%s%s", self->program,
                  self->config.host, channel->exit_status,
                  has_spoken ? "" : " before it said anything", colon, self->lines.last);
}

static int tick_channel(struct ssh_link *self)
{
    int rc = ssh_channel_tick(&self->channel, &self->error);

    if (rc > 0) {
        error_wrap(&self->error, "%s at %s", self->program, self->config.host);
        return rc;
    }
    if (rc == 0) {
        explain_exit(self);
        self->is_over = 1;
        return 0;
    }
    if (self->channel.has_more)
        wake(self);
    if (self->channel.state == SSH_CHANNEL_ENDING && !self->is_ending) {
        self->is_ending = 1;
        uv_timer_start(&self->timer, end_timeout_cb, END_TIMEOUT_MS, 0);
    } else if (self->channel.state < SSH_CHANNEL_STREAMING && self->is_ending) {
        self->is_ending = 0;
        uv_timer_start(&self->timer, timeout_cb, self->timeout_ms, 0);
    }
    return -1;
}

/* ---- what the user asks for ---- */

static void write_take(struct link *link, uint8_t *data, size_t len)
{
    struct ssh_link *self = (struct ssh_link *)link;

    if (self->state == STATE_CLOSING || self->was_closed || self->channel.is_shut) {
        free(data);
        return;
    }
    ssh_channel_write_take(&self->channel, data, len);
    link->queued = self->channel.queued;
    if (link->queued > LIMIT_LINK_QUEUE)
        self->is_above = 1;
    wake(self);
}

static void pause_reading(struct link *link)
{
    ((struct ssh_link *)link)->channel.is_paused = 1;
}

static void resume_reading(struct link *link)
{
    struct ssh_link *self = (struct ssh_link *)link;

    self->channel.is_paused = 0;
    if (self->state != STATE_CLOSING)
        wake(self);
}

static void shut(struct link *link)
{
    struct ssh_link *self = (struct ssh_link *)link;

    self->channel.is_shut = 1;
    if (self->state != STATE_CLOSING)
        wake(self);
}

static void close_link(struct link *link)
{
    struct ssh_link *self = (struct ssh_link *)link;

    if (self->was_closed)
        return;
    self->was_closed = 1;
    self->channel.is_stopped = 1;
    /* Inside a callback, tick() does the rest. */
    if (!self->is_ticking)
        begin_close(self);
}

/* ---- the end ---- */

/* Free the session on a socket that moves no more, so that nothing has to be waited for. */
static void free_session(struct ssh_link *self)
{
    if (self->fd >= 0)
        shutdown(self->fd, SHUT_RDWR);
    for (int turn = 0; turn < 100; turn++) {
        if (libssh2_session_free(self->session) != LIBSSH2_ERROR_EAGAIN)
            break;
    }
    if (self->fd >= 0)
        close(self->fd);
}

static void gone_one(struct ssh_link *self)
{
    if (--self->handles > 0)
        return;
    free_session(self);
    if (self->was_closed)
        error_init(&self->error);
    self->link.callbacks.on_close(self->link.user, &self->error);
    free_link(self);
}

static void handle_closed_cb(uv_handle_t *handle)
{
    gone_one(handle->data);
}

static void auth_closed_cb(void *user)
{
    gone_one(user);
}

static void connect_closed_cb(struct tcp_connect *connect)
{
    gone_one(connect->user);
}

static void begin_close(struct ssh_link *self)
{
    if (self->state == STATE_CLOSING)
        return;
    /* A good-bye, as far as the socket takes it at once. */
    if (self->state >= STATE_LOGIN &&
        !(libssh2_session_block_directions(self->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND))
        libssh2_session_disconnect(self->session, "the link is closed");
    self->state = STATE_CLOSING;
    self->handles = 3 + self->has_poll + (self->auth != NULL);
    uv_close((uv_handle_t *)&self->timer, handle_closed_cb);
    uv_close((uv_handle_t *)&self->kick, handle_closed_cb);
    if (self->has_poll)
        uv_close((uv_handle_t *)&self->poll, handle_closed_cb);
    if (self->auth != NULL)
        ssh_auth_close(self->auth, auth_closed_cb);
    tcp_connect_close(&self->connect, connect_closed_cb);
}
