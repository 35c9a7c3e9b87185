/*
 * ssh_connect: a TCP connection to a host by its name: every address is tried in turn, each with
 * the time-out.
 */
#ifndef LOCKSTEP_LINK_SSH_CONNECT_H
#define LOCKSTEP_LINK_SSH_CONNECT_H

#include <uv.h>

#include "protocol/base/error.h"

struct ssh_connect;

/* fd: a connected, non-blocking socket, which the user then owns; or -1, and error says why. */
typedef void ssh_connect_done_cb(struct ssh_connect *self, int fd, const struct error *error);
typedef void ssh_connect_closed_cb(struct ssh_connect *self);

/* Embedded in its user's struct, whose memory must stay until ssh_connect_close has called back. */
struct ssh_connect {
    void *user;
    uv_loop_t *loop;
    const char *host; /* for messages; the user's */
    int port;
    uint64_t timeout_ms; /* for the name, and for each address */
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
    ssh_connect_done_cb *on_done;
    ssh_connect_closed_cb *on_closed;
};

/* Begin. family: AF_UNSPEC, AF_INET or AF_INET6. on_done comes once, later, unless
 * ssh_connect_close comes first. */
void ssh_connect_start(struct ssh_connect *self, uv_loop_t *loop, const char *host, int port,
                       int family, uint64_t timeout_ms, ssh_connect_done_cb *on_done, void *user);

/* Stop, and close what is open; needed after on_done, too. on_closed comes later, once. */
void ssh_connect_close(struct ssh_connect *self, ssh_connect_closed_cb *on_closed);

#endif
