/*
 * tls_link: a link that speaks TLS over a stream of libuv's, TCP or Unix socket: what the two sides
 * of link_tls.h have in common.
 *
 *   tls_link_init --tls_link_begin--> handshake --on_open--> open --> settled --> gone
 *
 * The network is read only while the link is not paused, and what one read brought is decrypted as
 * it is delivered, so a paused link holds at most one read. Plain bytes are encrypted when the
 * network takes them: at most SLICES records wait encrypted, and the rest in the queue that
 * link_queued tells. The link settles when the far side ended, once what waits is written; after a
 * failure, once the alert that tells of it is written and the far side has read it, as far as that
 * comes within LINGER_MS: a socket that is closed with unread bytes in it takes back what was sent
 * last.
 *
 * A server's links share the turns of their loop (loop_turn.h): each step of a handshake, each read
 * that is decrypted and delivered, each write that is encrypted and the freeing of a link wait for
 * a later turn where this one has been long enough. A link is not read from while what one read
 * brought waits.
 */
#ifndef LOCKSTEP_LINK_TLS_LINK_H
#define LOCKSTEP_LINK_TLS_LINK_H

#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/link/link.h"
#include "protocol/link/loop_turn.h"

struct tls_context;
struct tls_link;
struct tls_link_piece;
struct tls_stream;

typedef void tls_link_cb(struct tls_link *self);

/* The first member of the struct of a kind of link. */
struct tls_link {
    struct link link;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } carrier;
    uv_timer_t timer; /* handshake, then lingering */
    uv_idle_t idle;   /* delivers what was held back; does what must not happen inside a call */
    uv_write_t write; /* while is_writing */
    uv_shutdown_t shutdown;       /* after all was written */
    struct loop_turn *turn;       /* borrowed; NULL: all is done at once */
    struct turn_wait delivering;  /* for what deliver does */
    struct turn_wait flushing;    /* for what flush does */
    struct turn_wait freeing;     /* after the last handle was closed */
    struct tls_stream *tls;       /* NULL before tls_link_begin */
    struct tls_link_piece *first; /* plain bytes that wait, in order */
    struct tls_link_piece *last;
    uint8_t *sent;      /* encrypted bytes that write is about; owned */
    size_t sent_plain;  /* plain bytes in them */
    struct error error; /* what on_close will say; code ERR_NONE so far */
    int has_carrier;    /* carrier was initialized, and must be closed */
    int is_open;        /* the handshake is through */
    int is_paused;      /* between link_pause and link_resume */
    int is_above;       /* more waited than link_queue_max, and on_drain did not come yet */
    int is_writing;
    int lingered;      /* times that a broken link lingered on because it was paused */
    int write_status;  /* of libuv, for the write that failed */
    int is_shut;       /* link_shutdown was called */
    int is_finished;   /* close_notify was written, or nothing more can be */
    int has_far_ended; /* by close_notify, or by the end of the connection */
    int has_failed;    /* nothing is delivered or taken any more; lingers */
    int is_closing;    /* link_close was called */
    int is_settled;
    int handles;             /* that are still to be closed */
    tls_link_cb *on_settled; /* called once: closes what a kind of link has, then tls_link_finish */
    tls_link_cb *on_gone;    /* called last, when no handle is left: reports on_close and frees */
};

/* Nothing of callbacks is called before tls_link_begin or tls_link_fail. turn: NULL, or one that is
 * closed after on_gone. */
void tls_link_init(struct tls_link *self, uv_loop_t *loop, struct loop_turn *turn,
                   const struct link_callbacks *callbacks, void *user, tls_link_cb *on_settled,
                   tls_link_cb *on_gone);

/*
 * self->carrier is connected: start the handshake, which may take timeout_ms. host: of the server;
 * NULL: we are it; as long as the link. Failures are reported by on_close.
 */
void tls_link_begin(struct tls_link *self, struct tls_context *context, const char *host,
                    uint64_t timeout_ms);

/* Instead of tls_link_begin: settle, later, with self->error, which the caller has set. */
void tls_link_fail(struct tls_link *self);

/* Close all that is open; on_gone follows. Only when settled. */
void tls_link_finish(struct tls_link *self);

#endif
