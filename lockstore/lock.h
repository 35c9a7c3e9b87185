/*
 * lock: a lease (lease.h) on an object in a store (store.h), driven on a libuv loop with real time.
 *
 * What `lockstep run` and `lockstep lock` use. Callbacks never come from inside a call of the
 * user's.
 */
#ifndef LOCKSTEP_LOCKSTORE_LOCK_H
#define LOCKSTEP_LOCKSTORE_LOCK_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/error.h"

struct lock;
struct uv_loop_s;

#define LOCK_LEASE_ID_SIZE 16

/* Who holds or held the lock, as the record in the store says. Texts are sanitized for a terminal.
 */
struct lock_holder {
    int exists;     /* whether there is a record at all */
    int held;       /* 0: released or stale by the store's clock, as far as one look can tell */
    int released;   /* the record says that its holder gave it back */
    int foreign;    /* a record of the shell scripts' kind: no token */
    uint64_t token; /* 0 for a foreign record */
    uint8_t lease_id[LOCK_LEASE_ID_SIZE];
    char instance[129];
    char host[129];
    int64_t pid;
    uint64_t timeout_ms;
    int64_t age_ms; /* since the record was written, by the store's clock; -1: not told */
};

struct lock_options {
    const char *instance; /* who we are; copied */
    uint64_t timeout_ms; /* how long the lease lasts without a renewal, rounded up to whole seconds;
                            default 60,000 where 0 */
    uint64_t wait_ms;    /* how long to wait for another holder; 0: not at all */
    const uint8_t *lease_id; /* LOCK_LEASE_ID_SIZE bytes, of a lease that an earlier process acquired and
                                this one goes on with; NULL: a new one */
};

struct lock_callbacks {
    /* Somebody else holds it; called at the first look and whenever the holder changes. */
    void (*on_waiting)(void *user, const struct lock_holder *holder);
    /* It is ours, with this token. After lock_raise: again, with the new token. */
    void (*on_acquired)(void *user, uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE]);
    /* Two thirds of the lease are gone without a renewal: start nothing new, finish soon. NULL
     * allowed. */
    void (*on_doubtful)(void *user);
    /* It is not ours any more, or never became ours: ERR_LOCK_HELD (waited long enough),
     * ERR_LOCK_LOST, ERR_STORE_UNUSABLE. Final. */
    void (*on_failed)(void *user, const struct error *error);
    /* lock_release is through; lock_acquire may follow. error->code is ERR_NONE, or says why the
     * record may look held until it is stale, or who had taken the lock before. */
    void (*on_released)(void *user, const struct error *error);
};

/* Make a lock on the object that url names. Nothing is asked of the store yet. callbacks is copied.
 */
int lock_new(struct lock **lock, struct uv_loop_s *loop, const char *url,
             const struct lock_options *options, const struct lock_callbacks *callbacks, void *user,
             struct error *error);

/* Once it is ours: the record that ours took the place of, with held for one that was not released. exists is 0 where there was none. */
void lock_former(const struct lock *lock, struct lock_holder *holder);

/* Start to acquire, first or after on_released. Renewals go on by themselves afterwards, until
 * release, close or loss. */
void lock_acquire(struct lock *lock);

/*
 * For who stands in a line elsewhere: lock_rest, before lock_acquire or while that goes on, has the lock ask the store no more, and
 * lock_try_now has it ask now and then every second as usual. The time to wait goes on, and ends with one look. Of no effect
 * on a lock that is ours.
 */
void lock_rest(struct lock *lock);
void lock_try_now(struct lock *lock);

/* Take it whoever holds it, by compare-and-swap with a higher token: the former holder is fenced.
 * For `lock break`. */
void lock_break(struct lock *lock);

/*
 * The origin has seen floor, a token at least as high as ours (the object was deleted meanwhile):
 * take a token above it, by a conditional write. on_acquired again, or on_failed.
 */
void lock_raise(struct lock *lock, uint64_t floor);

/* Write the record as released, keeping the token; or stop acquiring. on_released comes within 30 s
 * and the time that the store takes for one operation. After on_failed: nothing. */
void lock_release(struct lock *lock);

/* Instead of lock_acquire: release what an earlier process acquired, with options.lease_id and this token. on_released, or on_failed with
 * ERR_LOCK_LOST where somebody has taken or deleted it since. */
void lock_give_back(struct lock *lock, uint64_t token);

/* Stop at once, leave the record as it is, free the lock, then call closed. Allowed in every state.
 */
void lock_close(struct lock *lock, void (*closed)(void *arg), void *arg);

/* One look at the record, for `lock show`. holder is good during the callback; error->code is
 * ERR_NONE when it is. */
int lock_look(struct uv_loop_s *loop, const char *url,
              void (*done)(void *arg, const struct lock_holder *holder, const struct error *error),
              void *arg, struct error *error);

/*
 * The same, and wait for it. Allowed on a thread of libuv's pool: a file:// lock is read on this one. ERR_STORE_UNUSABLE and
 * what lock_check_url says; *holder is then all zero.
 */
int lock_read(const char *url, struct lock_holder *holder, struct error *error);

/* Whether url names a lock, as far as can be said without asking for it. ERR_USAGE. */
int lock_check_url(const char *url, struct error *error);

#endif
