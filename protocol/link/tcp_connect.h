/*
 * tcp_connect: a TCP connection to a host by its name: every address is tried in turn, each with
 * the time-out.
 */
#ifndef LOCKSTEP_LINK_TCP_CONNECT_H
#define LOCKSTEP_LINK_TCP_CONNECT_H

#include <uv.h>

#include "protocol/base/error.h"

struct tcp_connect;

/* fd: a connected, non-blocking socket, which the user then owns; or -1, and error says why. */
typedef void tcp_connect_done_cb(struct tcp_connect *self, int fd, const struct error *error);
typedef void tcp_connect_closed_cb(struct tcp_connect *self);

struct tcp_connect_options {
    const char *host;    /* a name or an address; must live as long as the connection is tried */
    int port;            /* TCP */
    int family;          /* AF_UNSPEC, AF_INET or AF_INET6 */
    int is_ipv6_first;   /* all IPv6 addresses before the others, whatever the system prefers */
    uint64_t timeout_ms; /* for the name, and for each address */
    const char *advice;  /* what to do about a name that is not found; as long as host */
};

/* Embedded in its user's struct, whose memory must stay until tcp_connect_close has called back. */
struct tcp_connect {
    void *user;
    uv_loop_t *loop;
    struct tcp_connect_options options;
    uv_getaddrinfo_t lookup;
    uv_timer_t timer;
    uv_poll_t poll; /* on fd, while is_polling */
    int is_looking_up;
    int is_polling; /* there is a poll handle: between an attempt's start and its closing */
    int is_closing;
    int is_done; /* on_done was called */
    int fd;      /* of the attempt; -1 otherwise */
    struct addrinfo *addresses;
    struct addrinfo *next; /* tried after this attempt */
    unsigned tried;        /* addresses */
    int failure;           /* errno of the attempt that ends, 0 for success */
    char address[64];      /* of the attempt, as a number */
    int handles;           /* that are still to be closed */
    struct error error;    /* of the last attempt */
    tcp_connect_done_cb *on_done;
    tcp_connect_closed_cb *on_closed;
};

/* Begin. on_done comes once, later, unless tcp_connect_close comes first. */
void tcp_connect_start(struct tcp_connect *self, uv_loop_t *loop,
                       const struct tcp_connect_options *options, tcp_connect_done_cb *on_done,
                       void *user);

/* Stop, and close what is open; needed after on_done, too. on_closed comes later, once. */
void tcp_connect_close(struct tcp_connect *self, tcp_connect_closed_cb *on_closed);

#endif
