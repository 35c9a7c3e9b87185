/*
 * guards: what a pull may replace here, and a push at the origin, decided before a page is asked for or sent.
 *
 * The guards of a pull protect the replica's own database. Those of a push are repeated by the origin, with what it then has: here they
 * save the way, and say what the user can do.
 */
#ifndef LOCKSTEP_REPLICA_GUARDS_H
#define LOCKSTEP_REPLICA_GUARDS_H

#include "replica/greeting.h"

struct error;
struct local_copy;
struct message_hello;

/* What the two sides are. All is borrowed. */
struct guards {
    const struct message_hello *hello;
    const struct local_copy *copy; /* scanned with the origin's key */
    const struct sync_options *options;
    enum relation relation;
    int is_equal; /* the two have equal content */
};

/* ERR_NOT_ALLOWED, ERR_NO_DATABASE, ERR_USAGE (--wal-only), ERR_FOREIGN_LINEAGE, ERR_UNPUSHED, ERR_PAGE_SIZE. */
int guards_check_pull(const struct guards *guards, struct error *error);

/*
 * *any_base, 0 before, is set where the user's options or equal content make the base that the replica remembers meaningless: the origin is
 * to take the push on top of whatever it announced. The same errors as above without ERR_UNPUSHED, and ERR_FENCED, ERR_STALE_BASE.
 */
int guards_check_push(const struct guards *guards, int *any_base, struct error *error);

#endif
