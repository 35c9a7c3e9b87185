/*
 * visit: a replica at a daemon, as a party (protocol/sync/party.h): who it is, which database it wants, and then the session with that.
 *
 *   OUTSIDE --OPEN--> a session's stages, and in between --PUSH--> QUEUED --its turn--> back
 *      \--OPEN with LINE--> IN LINE --its turn: TURN is said--> HAS THE TURN --TURN is heard, or the link ends--> done
 *
 * Outside it is mute: whoever has not shown who he is hears nothing.
 */
#ifndef LOCKSTEP_ORIGIN_VISIT_H
#define LOCKSTEP_ORIGIN_VISIT_H

#include <stdint.h>

#include "origin/session.h"

struct catalog;
struct database_watch;
struct error;
struct health;
struct lock_urls;
struct log_fields;
struct metrics;
struct party;
struct turn_queue;
struct roster;
struct tls_peer;
struct visit;

/* What all visits of a daemon share; outlives them. */
struct visit_house {
    const struct catalog *catalog;
    struct roster *roster;
    struct turn_queue *pushes; /* one push at a time goes into a database */
    struct turn_queue *runs;   /* one run at a time asks the lock's store */
    struct metrics *metrics;          /* these three: NULL where nobody wants to know */
    struct health *health;
    struct database_watch *databases;
    const struct lock_urls *lock_urls;
    struct session_options session; /* path, rights and lock are filled in for each */
};

/*
 * on_turn comes on the loop, when the party has waited in the queue and is to be woken.
 * ERR_INTERNAL: memory ran out.
 */
int visit_new(struct visit **visit, const struct visit_house *house, void (*on_turn)(void *user),
              void *user, struct error *error);

/* It waits for nothing any more, and others get its turn. On the loop. NULL is allowed. */
void visit_leave(struct visit *visit);

/* It has left. May take long: closes the database. NULL is allowed. */
void visit_free(struct visit *visit);

/* What the client's certificate says, and its address, for logs. Before anything was heard. */
void visit_set_peer(struct visit *visit, const struct tls_peer *peer, const char *address);

/* Who it is, as far as that is known, for a line of the log. While no job is at work. */
void visit_log_fields(const struct visit *visit, struct log_fields *fields);

/* It is over: with this code, after this many bytes. On the loop, before visit_free. */
void visit_set_over(struct visit *visit, int code, uint64_t sent, uint64_t received);

struct party *visit_party(struct visit *visit);

/* Whether it has shown who it is. Any thread. */
int visit_is_known(const struct visit *visit);

/* Its place in the queue that it waits in, as turn_queue_place has it. */
uint32_t visit_place(struct visit *visit);

#endif
