/*
 * conversation: drives a party (party.h) over a link on a libuv loop, with its long calls on worker threads.
 *
 * It cuts the stream into messages, hands them over one job at a time, writes what the party says, holds the party back
 * while the link is slow and the link back while the party is busy, tells the peer by WAIT that a long call is at
 * work, ends what stalls, and turns failures of either side into an ERROR message to the peer and an error for its user.
 */
#ifndef LOCKSTEP_SYNC_CONVERSATION_H
#define LOCKSTEP_SYNC_CONVERSATION_H

#include <stdint.h>

#include "protocol/link/link.h"

struct conversation;
struct error;
struct party;
struct uv_loop_s;

/* What crossed the link. */
struct conversation_stats {
    uint64_t sent;        /* bytes, frames included, above the link's own encryption */
    uint64_t received;
    uint32_t round_trips; /* times that something was heard after something had been said */
};

struct conversation_options {
    const char *far_side;      /* "the origin" or "the replica": what errors of the peer are introduced with; not copied */
    const char *noise_advice;  /* what to do where the peer's stream is not the protocol (wire/noise.h), or NULL; not copied */
    uint64_t idle_timeout_ms;  /* silence of the peer that ends the conversation */
    /*
     * The conversation is over and the link is gone; comes once, last, never from inside a call of the user's. error->code is
     * ERR_NONE when the party was done. The conversation is freed afterwards; the party is the user's to free.
     */
    void (*on_end)(void *user, const struct error *error, const struct conversation_stats *stats);
    /* A line of the far side's stderr, sanitized. NULL: dropped. */
    void (*on_far_line)(void *user, const char *line);
    /* A party that waits or lingers: its place in the queue, to be told to the peer (message.h, WAIT). NULL: 0. */
    uint32_t (*place)(void *user);
    /* The peer has us wait in a queue, and this is our place now; 0: no longer. NULL: not wanted. */
    void (*on_place)(void *user, uint32_t place);
    void *user;
};

/* Make a conversation of party, which is borrowed until on_end. If the party speaks first, it starts now. */
int conversation_new(struct conversation **conversation, struct uv_loop_s *loop, struct party *party,
                     const struct conversation_options *options, struct error *error);

/* The callbacks and the user pointer that the link is to be made with, before conversation_attach. */
const struct link_callbacks *conversation_link_callbacks(void);

/* Go on over this link. Exactly once; the conversation closes it in the end. */
void conversation_attach(struct conversation *conversation, struct link *link);

/* What crossed the link so far, what waits to be written not counted. */
struct conversation_stats conversation_stats(const struct conversation *conversation);

/* What a party that waits or lingers waited for is there: it speaks next. Of no effect on one that does neither, nor comes to in the job at work. */
void conversation_wake(struct conversation *conversation);

/*
 * End it with this error, which the peer is told, unless it is through by then. A job at work (a commit, it may be) is finished
 * first, and what came of it is told.
 */
void conversation_stop(struct conversation *conversation, const struct error *error);

/* End it with this error; nothing is sent to the peer any more. on_end follows once a job at work is through. */
void conversation_cancel(struct conversation *conversation, const struct error *error);

#endif
