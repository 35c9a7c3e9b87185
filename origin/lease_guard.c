#include "origin/lease_guard.h"

#include <string.h>
#include <unistd.h>

#include "lockstore/lock.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/wire/message.h"

/* A store that is not reached at once is asked again for so long: the pages of the push are here
 * already. */
#define PATIENCE_MS 5000
#define PAUSE_US    250000

_Static_assert(LOCK_LEASE_ID_SIZE == sizeof(((struct fence *)0)->lease_id),
               "one size for lease ids");

static int read_lock(const char *url, struct lock_holder *holder, struct error *error)
{
    uint64_t started = clock_monotonic_ms();
    int rc;

    while ((rc = lock_read(url, holder, error)) == ERR_STORE_UNUSABLE &&
           clock_monotonic_ms() - started < PATIENCE_MS) {
        error_init(error);
        usleep(PAUSE_US);
    }
    return rc != 0 ? error_wrap(error, "asking who may push; nothing was changed") : 0;
}

/* Why the push is not the holder's; NULL where it is. */
static const char *objection(const struct lock_holder *holder, const struct fence *fence)
{
    if (!holder->exists)
        return "was deleted";
    if (holder->foreign)
        return "is held by a script";
    if (holder->token != fence->token ||
        memcmp(holder->lease_id, fence->lease_id, sizeof(fence->lease_id)) != 0)
        return "has another holder";
    return holder->released ? "was released" : NULL;
}

const char *lease_guard_state(const struct lock_holder *holder)
{
    if (!holder->exists)
        return "absent";
    if (holder->foreign)
        return "foreign";
    if (holder->released)
        return "released";
    return holder->held ? "held" : "stale";
}

int lease_guard_check(const char *url, const struct fence *fence, struct lock_holder *holder, int *was_read,
                      struct error *error)
{
    const char *why;
    int rc;

    *was_read = 0;
    if (fence->token == 0)
        return error_set(error, ERR_FENCED,
                         "this origin takes pushes only from who holds the lock %s, and this one "
                         "names no token; use "
                         "`lockstep run --lock`, or `lockstep push` with the --token and --lease "
                         "of `lockstep lock acquire`",
                         url);
    rc = read_lock(url, holder, error);
    if (rc != 0)
        return rc;
    *was_read = 1;
    why = objection(holder, fence);
    if (why == NULL)
        return 0;
    return error_set(
        error, ERR_FENCED,
        "the lock %s %s%s%s: it is not with token %llu, which this push has; nothing was changed",
        url, why, holder->instance[0] != '\0' ? ", " : "", holder->instance,
        (unsigned long long)fence->token);
}
