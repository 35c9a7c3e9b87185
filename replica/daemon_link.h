/*
 * daemon_link: the link to an origin daemon: TLS, and behind it at once the message OPEN, which says who asks for which database.
 */
#ifndef LOCKSTEP_REPLICA_DAEMON_LINK_H
#define LOCKSTEP_REPLICA_DAEMON_LINK_H

#include <stdint.h>

#include "protocol/link/tls_context.h"

struct error;
struct link;
struct link_callbacks;
struct uv_loop_s;

struct daemon_link_options {
    const char *host;
    int port;               /* 0: the usual one */
    const char *database;   /* its name at the origin */
    const char *instance;   /* who asks, for the origin's log */
    int is_line;            /* it is to be a place in the line of runs (PROTOCOL.md) */
    uint64_t waited_ms;     /* then: for how long there was one already */
    struct tls_client_options tls;
    const char *token_file; /* its first line is the token; NULL: none */
    uint64_t timeout_ms;    /* link_tls.h */
};

/*
 * Start to connect, as link_tls_connect does. The files are read each time but those of the certificates, which are read once for all
 * links of this process: it keeps them, and the server's ticket that makes the next handshake shorter. ERR_USAGE, ERR_IO.
 */
int daemon_link_new(struct uv_loop_s *loop, const struct link_callbacks *callbacks, void *user,
                    const struct daemon_link_options *options, struct link **link, struct error *error);

#endif
