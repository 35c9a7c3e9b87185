/*
 * lock_urls: the locks of a daemon's databases, as --lock-url gives them.
 *
 *   NAME=URL   the lock of the database by that name
 *   URL        of every database that has none of its own; {name} in it stands for the name, and
 * may only be missing where one database is served
 */
#ifndef LOCKSTEP_ORIGIN_LOCK_URLS_H
#define LOCKSTEP_ORIGIN_LOCK_URLS_H

#include <stddef.h>

struct catalog;
struct error;

#define LOCK_URLS_MAX 256

struct lock_urls {
    const char *entries[LOCK_URLS_MAX]; /* NAME=URL; borrowed, as is general */
    size_t count;
    const char *general; /* NULL: none */
};

/* Add what one --lock-url says. ERR_USAGE. */
int lock_urls_add(struct lock_urls *urls, const char *text, struct error *error);

/* Whether they fit the databases that are served. ERR_USAGE. */
int lock_urls_check(const struct lock_urls *urls, const struct catalog *catalog,
                    struct error *error);

/* *url is freed by the caller; NULL where the database's lock is not known here. ERR_INTERNAL:
 * memory ran out. */
int lock_urls_find(const struct lock_urls *urls, const char *name, char **url, struct error *error);

#endif
