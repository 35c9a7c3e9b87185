/*
 * lease_guard: whether a push comes from who holds the lock now, by the lock store's own word.
 *
 * The fence (protocol/sync/sidecar.h) knows only of holders that have been here. An origin that was
 * given the lock's URL asks the store as well, and so also refuses a holder whose lock was taken by
 * somebody who has not come yet, was broken, or deleted. It stays the fence that makes a commit
 * safe: between this look and the commit the lock may change hands.
 */
#ifndef LOCKSTEP_ORIGIN_LEASE_GUARD_H
#define LOCKSTEP_ORIGIN_LEASE_GUARD_H

struct error;
struct fence;
struct lock_holder;

/*
 * Read the lock at url and compare it with the fence of a push. A lease that is past its time but
 * was taken by nobody is still its holder's. Waits for the store, with some seconds' patience where
 * it gives no definite answer; for a worker thread. ERR_FENCED: the lock is another's, a script's,
 * released or gone, or the push has no token. ERR_STORE_UNUSABLE: nobody knows. What the lock said is in *holder, and *was_read is 1, where
 * it could be read, whatever comes of it.
 */
int lease_guard_check(const char *url, const struct fence *fence, struct lock_holder *holder, int *was_read, struct error *error);

/* What a lock that was read is: "held", "stale", "released", "foreign" (a script's) or "absent". */
const char *lease_guard_state(const struct lock_holder *holder);

#endif
