/*
 * line: a place in the line at an origin daemon, of those who want to run one after the other.
 *
 * Each run there has a link of its own to the daemon, which gives the turn to one after the other
 * (PROTOCOL.md, "A line"). It saves asking the lock's store, and promises nothing: where there is
 * no place to be had, or it is lost, whoever waits asks the store by himself, and another place is
 * tried for meanwhile. Who comes back stands where he stood.
 */
#ifndef LOCKSTEP_REPLICA_LINE_H
#define LOCKSTEP_REPLICA_LINE_H

#include <stdint.h>

struct connect_options;
struct endpoint;
struct error;
struct line;
struct uv_loop_s;

struct line_options {
    const struct endpoint
        *origin; /* a daemon's database; borrowed, as is connect, until line_close is through */
    const struct connect_options *connect;
    /* A place: 1 is next. Each time that it changes. */
    void (*on_place)(void *user, uint32_t place);
    /* It is our turn: nobody else in line asks the store now. */
    void (*on_turn)(void *user);
    /* There is no place for now. Comes after each attempt that fails, and when a place or a turn is
     * lost. */
    void (*on_lost)(void *user, const struct error *error);
    void *user;
};

/* Get in line; callbacks come on the loop, from outside of this call. ERR_INTERNAL. */
int line_new(struct line **line, struct uv_loop_s *loop, const struct line_options *options,
             struct error *error);

/* What we stood in line for is ours: should the link be lost now, it is not worth another. */
void line_settle(struct line *line);

/* Pass the turn on, or go away before it came, and tell the daemon so. No callback comes any more.
 */
void line_leave(struct line *line);

/* Leave, and free the line when the daemon has heard it or seconds are over; then call closed. */
void line_close(struct line *line, void (*closed)(void *arg), void *arg);

#endif
