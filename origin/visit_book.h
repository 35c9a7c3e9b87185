/*
 * visit_book: what a daemon writes down about a visit while it lasts: for metrics (metrics.h) what
 * was asked, what came of it, what crossed, and for health (health.h) that a worker is at it.
 */
#ifndef LOCKSTEP_ORIGIN_VISIT_BOOK_H
#define LOCKSTEP_ORIGIN_VISIT_BOOK_H

#include <stddef.h>
#include <stdint.h>

#include "origin/health.h"
#include "origin/session.h"
#include "origin/traffic.h"

struct buffer;
struct message;

/* Embedded in a visit, zeroed at first. */
struct visit_book {
    struct metrics *metrics; /* borrowed; NULL: nothing is counted */
    struct health *health;   /* borrowed; NULL: nobody looks */
    struct health_work work;
    char what[HEALTH_TEXT_MAX]; /* who is served with what; "" before that is known */
    struct session_names names; /* database is NULL before OPEN was let in */
    struct traffic traffic;
    struct session_report told; /* what the metrics were told of the session */
    enum metrics_deed deed;     /* the request at hand */
    int has_deed;
    enum metrics_queue queue; /* where it waits, if it does: for a push unless told otherwise */
    int is_waiting;           /* counted as one that waits */
};

/* OPEN was let in: names are borrowed and outlive the book. */
void visit_book_open(struct visit_book *book, const struct session_names *names);

/* A worker begins to hear or to speak. */
void visit_book_begin(struct visit_book *book);

/*
 * It is through. heard: the message, NULL where it spoke; out: what was said stands in there from
 * `from` on; session: NULL before there is one; waits: it waits for its turn; rc: the code it
 * ended with.
 */
void visit_book_end(struct visit_book *book, const struct message *heard, const struct buffer *out,
                    size_t from, const struct session *session, int waits, int rc);

/* The visit is over: with this code, and all that crossed was this. On the loop. */
void visit_book_close(struct visit_book *book, int code, uint64_t sent, uint64_t received);

#endif
