/*
 * run_lock: the lock of a `lockstep run`: the lock in the store (lock.h), and where the origin is a
 * daemon, the place in its line (line.h) that says when to ask for it. It behaves as lock.h does;
 * line or no line, the store decides.
 *
 *   in line          the store is not asked (lock_rest)
 *   its turn         it is asked, and the turn is kept until the lock was given back; it goes on at once where the store does not answer
 *   no place         it is asked once a second, as without a daemon
 */
#ifndef LOCKSTEP_REPLICA_RUN_LOCK_H
#define LOCKSTEP_REPLICA_RUN_LOCK_H

#include <stddef.h>
#include <stdint.h>

#include "lockstore/lock.h"

struct connect_options;
struct endpoint;
struct error;
struct run_lock;
struct uv_loop_s;

struct run_lock_options {
    const char *url;
    struct lock_options lock;
    const struct endpoint *origin; /* borrowed, as is connect, until run_lock_close is through */
    const struct connect_options *connect;
    struct lock_callbacks callbacks; /* on_failed may also come with what the origin says to whoever
                                        wants in line: ERR_NOT_ALLOWED, ERR_AUTH and so on */
    /* Our place in line; 1 is next, 0: no longer in line. */
    void (*on_place)(void *user, uint32_t place);
    void *user;
};

/*
 * The lock that is meant for a run of the database at origin: given, unless it is NULL; beside a
 * local origin a file:// one; for a remote one none, which is "". ERR_NO_DATABASE.
 */
int run_lock_choose_url(const struct endpoint *origin, const char *given, char *url,
                        size_t url_size, struct error *error);

/* lock_new, and lock_acquire. */
int run_lock_new(struct run_lock **run_lock, struct uv_loop_s *loop,
                 const struct run_lock_options *options, struct error *error);
void run_lock_raise(struct run_lock *run_lock, uint64_t floor);
void run_lock_release(struct run_lock *run_lock);
void run_lock_close(struct run_lock *run_lock, void (*closed)(void *arg), void *arg);

#endif
