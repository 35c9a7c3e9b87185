#include "protocol/link/tcp_connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void lookup_cb(uv_getaddrinfo_t *lookup, int status, struct addrinfo *addresses);
static void try_next(struct tcp_connect *self);
static void writable_cb(uv_poll_t *poll, int status, int events);
static void timeout_cb(uv_timer_t *timer);
static void end_attempt(struct tcp_connect *self, int errno_value);
static void attempt_closed_cb(uv_handle_t *handle);
static void gone_one(struct tcp_connect *self);

void tcp_connect_start(struct tcp_connect *self, uv_loop_t *loop,
                       const struct tcp_connect_options *options, tcp_connect_done_cb *on_done,
                       void *user)
{
    struct addrinfo hints = {.ai_family = options->family, .ai_socktype = SOCK_STREAM};
    char service[16];
    int status;

    *self = (struct tcp_connect){
        .user = user, .loop = loop, .options = *options, .fd = -1, .on_done = on_done};
    uv_timer_init(loop, &self->timer);
    self->timer.data = self;
    self->lookup.data = self;
    snprintf(service, sizeof(service), "%d", options->port);
    status = uv_getaddrinfo(loop, &self->lookup, lookup_cb, options->host, service, &hints);
    self->is_looking_up = status == 0;
    if (status != 0)
        error_set(&self->error, ERR_NO_LINK, "looking up %s: %s", options->host,
                  uv_strerror(status));
    /* A failure is reported from the timer as well, so that on_done is never called from in here.
     */
    uv_timer_start(&self->timer, timeout_cb, status == 0 ? options->timeout_ms : 0, 0);
}

static void done(struct tcp_connect *self, int fd)
{
    self->is_done = 1;
    uv_timer_stop(&self->timer);
    self->on_done(self, fd, &self->error);
}

/* Put the IPv6 addresses before the others, each kind in the order that it came in. */
static struct addrinfo *ipv6_first(struct addrinfo *addresses)
{
    struct addrinfo *first = NULL;
    struct addrinfo *others = NULL;
    struct addrinfo **first_end = &first;
    struct addrinfo **others_end = &others;

    for (struct addrinfo *address = addresses; address != NULL; address = address->ai_next) {
        struct addrinfo ***end = address->ai_family == AF_INET6 ? &first_end : &others_end;

        **end = address;
        *end = &address->ai_next;
    }
    *others_end = NULL;
    *first_end = others;
    return first;
}

static void lookup_cb(uv_getaddrinfo_t *lookup, int status, struct addrinfo *addresses)
{
    struct tcp_connect *self = lookup->data;

    self->is_looking_up = 0;
    self->addresses = self->next = self->options.is_ipv6_first ? ipv6_first(addresses) : addresses;
    if (self->is_closing) {
        gone_one(self);
        return;
    }
    if (self->is_done)
        return;
    if (status != 0) {
        error_set(&self->error, ERR_NO_LINK, "looking up %s: %s; %s", self->options.host,
                  uv_strerror(status), self->options.advice);
        done(self, -1);
        return;
    }
    try_next(self);
}

/* Put into self->error why the attempt at the address failed. */
static void describe(struct tcp_connect *self, int errno_value)
{
    error_set_errno(&self->error, errno_value == ETIMEDOUT ? ERR_TIMEOUT : ERR_NO_LINK, errno_value,
                    "connecting to %s (%s) port %d", self->options.host, self->address,
                    self->options.port);
    if (errno_value == ECONNREFUSED) {
        const struct error refused = self->error;

        error_set(&self->error, refused.code,
                  "%s: no server listens there; is it running, and is the port right?",
                  refused.text);
    }
    if (errno_value == ETIMEDOUT || errno_value == EHOSTUNREACH || errno_value == ENETUNREACH) {
        const struct error silent = self->error;

        error_set(&self->error, silent.code,
                  "%s: is the address right, and is the machine up? a firewall or a VPN that is "
                  "down may stand between",
                  silent.text);
    }
}

/* Begin a connection to the address. Returns 0, or the errno that ended it at once. */
static int start_attempt(struct tcp_connect *self, const struct addrinfo *address)
{
    static const int on = 1;

    if (getnameinfo(address->ai_addr, address->ai_addrlen, self->address, sizeof(self->address),
                    NULL, 0, NI_NUMERICHOST) != 0)
        self->address[0] = '\0';
    self->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (self->fd < 0)
        return errno;
    /* The protocol's messages are questions and answers: waiting to fill segments only delays them.
     */
    setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(self->fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS)
        return 0;
    return errno;
}

/* Begin with the next address; done, without one, where none is left. */
static void try_next(struct tcp_connect *self)
{
    while (self->next != NULL) {
        const struct addrinfo *address = self->next;
        int failure = start_attempt(self, address);

        self->next = address->ai_next;
        self->tried++;
        if (failure == 0) {
            uv_poll_init(self->loop, &self->poll, self->fd);
            self->poll.data = self;
            self->is_polling = 1;
            uv_poll_start(&self->poll, UV_WRITABLE, writable_cb);
            uv_timer_start(&self->timer, timeout_cb, self->options.timeout_ms, 0);
            return;
        }
        describe(self, failure);
        if (self->fd >= 0)
            close(self->fd);
        self->fd = -1;
    }
    if (self->tried > 1)
        error_wrap(&self->error, "none of %u addresses took the connection; the last one",
                   self->tried);
    done(self, -1);
}

/* The attempt is over; the rest follows when its handle is closed. */
static void end_attempt(struct tcp_connect *self, int errno_value)
{
    uv_timer_stop(&self->timer);
    self->failure = errno_value;
    uv_close((uv_handle_t *)&self->poll, attempt_closed_cb);
}

static void writable_cb(uv_poll_t *poll, int status, int events)
{
    struct tcp_connect *self = poll->data;
    int failure = 0;
    socklen_t len = sizeof(failure);

    (void)events;
    if (getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &failure, &len) != 0)
        failure = errno;
    end_attempt(self, failure == 0 && status < 0 ? -status : failure);
}

static void timeout_cb(uv_timer_t *timer)
{
    struct tcp_connect *self = timer->data;

    if (self->is_polling) {
        end_attempt(self, ETIMEDOUT);
        return;
    }
    if (self->is_looking_up) {
        uv_cancel((uv_req_t *)&self->lookup);
        error_set(&self->error, ERR_TIMEOUT, "looking up %s: no answer within %llu s",
                  self->options.host, (unsigned long long)self->options.timeout_ms / 1000);
    }
    done(self, -1);
}

static void attempt_closed_cb(uv_handle_t *handle)
{
    struct tcp_connect *self = handle->data;
    int fd = self->fd;

    self->is_polling = 0;
    self->fd = -1;
    if (self->failure != 0 || self->is_closing)
        close(fd);
    if (self->is_closing) {
        gone_one(self);
    } else if (self->failure == 0) {
        done(self, fd);
    } else {
        describe(self, self->failure);
        try_next(self);
    }
}

static void gone_one(struct tcp_connect *self)
{
    if (--self->handles > 0)
        return;
    uv_freeaddrinfo(self->addresses);
    self->on_closed(self);
}

static void timer_closed_cb(uv_handle_t *handle)
{
    gone_one(handle->data);
}

void tcp_connect_close(struct tcp_connect *self, tcp_connect_closed_cb *on_closed)
{
    self->is_closing = 1;
    self->on_closed = on_closed;
    self->handles = 1 + self->is_polling + self->is_looking_up;
    if (self->is_polling && !uv_is_closing((uv_handle_t *)&self->poll))
        uv_close((uv_handle_t *)&self->poll, attempt_closed_cb);
    if (self->is_looking_up)
        uv_cancel((uv_req_t *)&self->lookup);
    uv_close((uv_handle_t *)&self->timer, timer_closed_cb);
}
