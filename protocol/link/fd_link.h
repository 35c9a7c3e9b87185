/*
 * fd_link: a link over two descriptors of this process, one to read and one to write: what
 * link_stdio and link_process have in common.
 *
 *   fd_link_init --fd_link_open--> opening --> open --> settled --fd_link_finish--> gone
 *
 * A link settles when nothing more can be delivered or written: after the far side's end of stream,
 * once what waits is written; after a write that failed, once what the far side had sent before is
 * read, as far as it comes within LINGER_MS (its last words may say why it went); after link_close
 * and after a failure to open, at once. The kind of link then does what it has to (a process is
 * waited for) and calls fd_link_finish.
 */
#ifndef LOCKSTEP_LINK_FD_LINK_H
#define LOCKSTEP_LINK_FD_LINK_H

#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/link/fd_sink.h"
#include "protocol/link/fd_source.h"
#include "protocol/link/link.h"

struct fd_link;

typedef void fd_link_cb(struct fd_link *self);

/* The first member of the struct of a kind of link. */
struct fd_link {
    struct link link;
    uv_timer_t timer; /* for what must not happen inside a call, and for lingering */
    struct fd_source source;
    struct fd_sink sink;
    struct error error;     /* what on_close will say; code ERR_NONE so far */
    int is_open;            /* on_open was called */
    int is_paused;          /* between link_pause and link_resume */
    int is_above;           /* more waited than LIMIT_LINK_QUEUE, and on_drain did not come yet */
    int is_shut;            /* link_shutdown was called */
    int is_closing;         /* link_close was called */
    int has_far_ended;      /* the source ended */
    int is_write_broken;    /* a write failed; all others are dropped */
    int is_settled;         /* on_settled was called */
    int handles;            /* that are still to be closed, after fd_link_finish */
    fd_link_cb *on_settled; /* called once, from the loop or from inside link_close */
    fd_link_cb *on_gone;    /* called last, when no handle is left: reports on_close and frees */
};

/* Nothing of callbacks is called before fd_link_open or fd_link_fail. */
void fd_link_init(struct fd_link *self, uv_loop_t *loop, const struct link_callbacks *callbacks,
                  void *user, fd_link_cb *on_settled, fd_link_cb *on_gone);

/* Read from in and write to out, which the link then owns, even on failure; the two names stand in
 * errors. */
void fd_link_open(struct fd_link *self, int in, const char *in_name, int out, const char *out_name);

/* Instead of fd_link_open: settle, later, with self->error, which the caller has set. */
void fd_link_fail(struct fd_link *self);

/* Settle now: nothing more is to be expected. Harmless when repeated. */
void fd_link_settle(struct fd_link *self);

/* Close the writing side now: a process that reads it sees the end. Only when settled. */
void fd_link_close_sink(struct fd_link *self);

/* Close all that is open; on_gone follows. Only when settled. */
void fd_link_finish(struct fd_link *self);

#endif
