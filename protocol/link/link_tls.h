/*
 * link_tls: a link over TLS 1.3, to an origin daemon by TCP, or from a client that a listening
 * socket (TCP or Unix) took.
 */
#ifndef LOCKSTEP_LINK_LINK_TLS_H
#define LOCKSTEP_LINK_LINK_TLS_H

#include <uv.h>

struct error;
struct link;
struct loop_turn;
struct link_callbacks;
struct tls_context;
struct tls_peer;

/* The port where an endpoint names none. */
#define LINK_TLS_PORT 7433

struct link_tls_options {
    const char *host;            /* name or address; copied */
    int port;                    /* 0: LINK_TLS_PORT */
    struct tls_context *context; /* of a client */
    uint64_t timeout_ms; /* for the name, for each of its addresses, and for the handshake */
};

/*
 * Start to connect: every address of the name, IPv6 first, until one takes the connection; the name
 * is looked up each time. *out is the link, which frees itself after on_close. callbacks are
 * copied. What is written before on_open is sent only when the server has shown who it is.
 * on_close: ERR_AUTH where the server was not trusted or refused us, or ended the connection
 * politely but without a word, which is how an origin parts from whoever it does not know;
 * ERR_NO_LINK, ERR_TIMEOUT. SIGPIPE is ignored from then on. ERR_INTERNAL: memory ran out, and
 * there is no link.
 */
int link_tls_connect(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                     const struct link_tls_options *options, struct link **out,
                     struct error *error);

/*
 * Take the connection that waits at listener (a uv_tcp_t or uv_pipe_t, in its connection callback).
 * context is a server's. turn: of the listener's loop, shared with its other links and closed after
 * their on_close; NULL: whatever there is to do is done at once. The handshake may take timeout_ms.
 * A client whose certificate is refused gets a TLS alert and nothing else. ERR_INTERNAL: memory ran
 * out, and the connection still waits; everything else comes by on_close.
 */
int link_tls_accept(uv_stream_t *listener, const struct link_callbacks *callbacks, void *user,
                    struct tls_context *context, struct loop_turn *turn, uint64_t timeout_ms,
                    struct link **out, struct error *error);

/* Who is on the other side of a link of this kind, by its certificate. From on_open on. */
void link_tls_peer(const struct link *link, struct tls_peer *peer);

/* Whether the handshake went on from an earlier connection. From on_open on. */
int link_tls_is_resumed(const struct link *link);

#endif
