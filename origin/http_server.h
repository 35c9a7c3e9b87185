/*
 * http_server: answers GET and HEAD on a thread of its own; nothing else of the daemon waits for it
 * or is waited for, so that it can tell that the loop stands still.
 *
 * HTTP itself is libmicrohttpd's (kept: it parses, times out and limits; GNU, LGPL, in Debian since
 * 2008). It is driven in its external mode by our thread, epoll under poll: then everything that
 * the library does, the handler included, is on one thread that we stop and that can end
 * connections by a clock of its own. The library's own time-out counts silence only, which a byte a
 * second puts off for ever. llhttp, the other candidate, is in Debian as a source inside Node.js
 * only.
 *
 * Strangers cost little: as many connections as LIMIT_HTTP_SERVER_CONNECTIONS, each for
 * LIMIT_HTTP_SERVER_TIME_MS and one answer; at the cap the oldest, if it is older than a second,
 * goes for the next. A request's head has at most LIMIT_HTTP_SERVER_REQUEST bytes, and no body is
 * read.
 */
#ifndef LOCKSTEP_ORIGIN_HTTP_SERVER_H
#define LOCKSTEP_ORIGIN_HTTP_SERVER_H

#include "protocol/base/buffer.h"

struct error;
struct http_server;

struct http_answer {
    unsigned status;          /* 200 at first */
    const char *content_type; /* a constant */
    struct buffer body;       /* empty at first */
};

struct http_server_options {
    const char *address; /* "127.0.0.1:9091" or "[::]:9091", which takes IPv4 too */
    /* Make the answer to GET path; on the server's thread. Returns whether there is such a path. */
    int (*answer)(void *user, const char *path, struct http_answer *answer);
    void *user;
};

/* Listen and start the thread. ERR_USAGE for an address that is none, ERR_IO where it cannot be
 * had. */
int http_server_start(struct http_server **server, const struct http_server_options *options,
                      struct error *error);

/* Stop the thread, close everything, free. answer is not called any more. NULL is allowed. */
void http_server_free(struct http_server *server);

#endif
