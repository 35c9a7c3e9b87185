#include "protocol/link/link_tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/tcp_connect.h"
#include "protocol/link/tls_context.h"
#include "protocol/link/tls_link.h"
#include "protocol/link/tls_stream.h"

/* Seconds without a segment after which the kernel asks whether the other machine is still there.
 */
#define KEEPALIVE_S 30
/* How long sent bytes may stay unacknowledged before the kernel gives the connection up. */
#define UNACKNOWLEDGED_MS 60000

/* The client's side. */
struct tls_client {
    struct tls_link tls;
    struct tcp_connect connect;
    struct tls_context *context; /* kept */
    uint64_t timeout_ms;
    char *host;
};

static void connected_cb(struct tcp_connect *connect, int fd, const struct error *error);
static void connect_closed_cb(struct tcp_connect *connect);
static void client_settled(struct tls_link *self);
static void client_gone(struct tls_link *self);
static void server_settled(struct tls_link *self);
static void server_gone(struct tls_link *self);

/* Have the kernel send at once, and notice when the other machine is gone. */
static void watch(uv_tcp_t *tcp)
{
    unsigned timeout = UNACKNOWLEDGED_MS;
    uv_os_fd_t fd;

    uv_tcp_nodelay(tcp, 1);
    uv_tcp_keepalive(tcp, 1, KEEPALIVE_S);
    if (uv_fileno((uv_handle_t *)tcp, &fd) == 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

/* ---- the client ---- */

int link_tls_connect(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                     const struct link_tls_options *options, struct link **out, struct error *error)
{
    struct tls_client *self = calloc(1, sizeof(*self));
    struct tcp_connect_options connect = {.port = options->port > 0 ? options->port : LINK_TLS_PORT,
                                          .family = AF_UNSPEC,
                                          .is_ipv6_first = 1,
                                          .timeout_ms = options->timeout_ms,
                                          .advice = "check the name in tls://HOST/NAME"};

    *out = NULL;
    if (self == NULL || (self->host = strdup(options->host)) == NULL) {
        free(self);
        return error_set(error, ERR_INTERNAL, "out of memory for a link");
    }
    self->context = tls_context_keep(options->context);
    self->timeout_ms = options->timeout_ms;
    snprintf(self->tls.link.name, sizeof(self->tls.link.name),
             strchr(self->host, ':') != NULL ? "tls://[%s]:%d" : "tls://%s:%d", self->host,
             connect.port);
    tls_link_init(&self->tls, loop, NULL, callbacks, user, client_settled, client_gone);
    connect.host = self->host;
    tcp_connect_start(&self->connect, loop, &connect, connected_cb, self);
    *out = &self->tls.link;
    return 0;
}

static void connected_cb(struct tcp_connect *connect, int fd, const struct error *error)
{
    struct tls_client *self = connect->user;
    int status;

    if (fd < 0) {
        self->tls.error = *error;
        tls_link_fail(&self->tls);
        return;
    }
    uv_tcp_init(connect->loop, &self->tls.carrier.tcp);
    self->tls.has_carrier = 1;
    status = uv_tcp_open(&self->tls.carrier.tcp, fd);
    if (status != 0) {
        close(fd);
        error_set(&self->tls.error, ERR_INTERNAL, "using the connection to %s: %s",
                  self->tls.link.name, uv_strerror(status));
        tls_link_fail(&self->tls);
        return;
    }
    watch(&self->tls.carrier.tcp);
    tls_link_begin(&self->tls, self->context, self->host, self->timeout_ms);
}

static void client_settled(struct tls_link *tls)
{
    struct tls_client *self = (struct tls_client *)tls;

    tcp_connect_close(&self->connect, connect_closed_cb);
}

static void connect_closed_cb(struct tcp_connect *connect)
{
    struct tls_client *self = connect->user;

    tls_link_finish(&self->tls);
}

static void client_gone(struct tls_link *tls)
{
    struct tls_client *self = (struct tls_client *)tls;
    struct link *link = &tls->link;

    if (tls->error.code == ERR_NONE && tls->is_open && link->traffic.received == 0)
        error_set(&tls->error, ERR_AUTH,
                  "%s ended the connection without a word: it does not know who this is; give "
                  "--cert and --key, or --token-file, that it knows",
                  link->name);
    if (tls->is_closing)
        error_init(&tls->error);
    link->callbacks.on_close(link->user, &tls->error);
    tls_context_free(self->context);
    free(self->host);
    free(self);
}

/* ---- the server ---- */

/* Write the client's address as "[2001:db8::1]:41234" or "10.1.2.3:41234" into the link's name. */
static void name_client(struct tls_link *self)
{
    struct sockaddr_storage address;
    char text[INET6_ADDRSTRLEN] = "?";
    int len = sizeof(address);

    memset(&address, 0, sizeof(address));
    if (uv_tcp_getpeername(&self->carrier.tcp, (struct sockaddr *)&address, &len) != 0)
        return;
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;

        /* IPv4 through an IPv6 socket, ::ffff:10.1.2.3. */
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
            inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof(text));
            snprintf(self->link.name, sizeof(self->link.name), "%s:%d", text,
                     ntohs(in6->sin6_port));
            return;
        }
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
        snprintf(self->link.name, sizeof(self->link.name), "[%s]:%d", text, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;

        inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        snprintf(self->link.name, sizeof(self->link.name), "%s:%d", text, ntohs(in->sin_port));
    }
}

/* Take the connection into the carrier. Returns libuv's status. */
static int take(struct tls_link *self, uv_stream_t *listener)
{
    int status;

    snprintf(self->link.name, sizeof(self->link.name), "a client on a Unix socket");
    if (listener->type == UV_NAMED_PIPE)
        uv_pipe_init(listener->loop, &self->carrier.pipe, 0);
    else
        uv_tcp_init(listener->loop, &self->carrier.tcp);
    self->has_carrier = 1;
    status = uv_accept(listener, &self->carrier.stream);
    if (status != 0 || listener->type == UV_NAMED_PIPE)
        return status;
    watch(&self->carrier.tcp);
    name_client(self);
    return 0;
}

int link_tls_accept(uv_stream_t *listener, const struct link_callbacks *callbacks, void *user,
                    struct tls_context *context, struct loop_turn *turn, uint64_t timeout_ms,
                    struct link **out, struct error *error)
{
    struct tls_link *self = calloc(1, sizeof(*self));
    int status;

    *out = NULL;
    if (self == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for a link");
    tls_link_init(self, listener->loop, turn, callbacks, user, server_settled, server_gone);
    self->link.queue_max = LIMIT_GUEST_QUEUE;
    status = take(self, listener);
    if (status == 0) {
        tls_link_begin(self, context, NULL, timeout_ms);
    } else {
        error_set(&self->error, ERR_NO_LINK, "taking a connection: %s", uv_strerror(status));
        tls_link_fail(self);
    }
    *out = &self->link;
    return 0;
}

static void server_settled(struct tls_link *self)
{
    tls_link_finish(self);
}

static void server_gone(struct tls_link *self)
{
    if (self->is_closing)
        error_init(&self->error);
    self->link.callbacks.on_close(self->link.user, &self->error);
    free(self);
}

void link_tls_peer(const struct link *link, struct tls_peer *peer)
{
    tls_stream_peer(((const struct tls_link *)link)->tls, peer);
}

int link_tls_is_resumed(const struct link *link)
{
    return tls_stream_is_resumed(((const struct tls_link *)link)->tls);
}
