/*
 * The states, and the function that makes each move:
 *
 *     IDLE, RELEASED
 *         │ asked to: begin, lease_give_back
 *         ▼         somebody's: look_at
 *      LOOKING ───────────────────────────────► WAITING
 *         │                                      │   ▲
 *         │ free, stale or our own: look_at      │   │ a lost race: look_at
 *         ▼                                      ▼   │
 *      CLAIMING ◄────────────────────────────────┘   │
 *         │  └───────────────────────────────────────┘
 *         │ applied: put_done
 *         ▼         a third is gone: lease_tick
 *        HELD ────────────────────────────────► RENEWING
 *         │ │ ▲ ◄──────── applied: put_done ───────┘
 *         │ │ │     the floor is not below us: settle
 *         │ └─┼───────────────────────────────► RAISING
 *         │   └────────── applied: put_done ───────┘
 *         │ asked to: settle
 *         ▼         applied, or taken: end_released
 *      RELEASING ─────────────────────────────► RELEASED
 *
 *    LOOKING ─── an earlier process's, to be released: give_back ───► RELEASING
 *    IDLE, RELEASED, LOOKING, WAITING, a lost race ─── others come first: rest ──► RESTING
 *    RESTING ─── its turn, or the wait is over: look_again ────────────────► LOOKING
 *    HELD, RENEWING, RAISING ─── deadline, 404, somebody's record: lose ───► FAILED
 *    LOOKING, WAITING, CLAIMING ─── wait over, store unusable: fail ───────► FAILED
 *    any but FAILED ─── lease_release, nothing left to write: end_released ──► RELEASED
 *
 * Every write is a PUT with a condition: If-None-Match:* where there was nothing, else If-Match
 * with the ETag of the record that the decision was made on. So a decision that is out of date
 * writes nothing, however late its request gets through; and because of `rev` no content, and so no
 * ETag, ever comes back, a request that was delayed past anything finds its condition false for
 * ever. (Only a create can come late, after somebody deleted the object: a record that nobody
 * believes in, stale after its time.)
 *
 * A PUT stays the same, byte for byte, until there is a definite answer:
 *    OK         it was applied after this attempt was sent: the lease runs from there.
 *    412        not applied by this attempt. An earlier one may have been, its answer lost: a GET
 *               tells. Our lease id, token and rev: it was, and the lease runs from the *first*
 *               attempt, which is the earliest that the store can have written it.
 *    409        not applied; sent again.
 *    no answer  may have been applied, or will be: sent again.
 *    404        to a renewal: somebody deleted the object, anybody may hold the lock: lost.
 *
 * We believe to hold it from an OK until `timeout` after its request was *sent*, by a clock that
 * does not jump. Anybody else takes it only where the store's clock puts the record's writing
 * longer ago than `timeout` plus slack (record.h), or where the same ETag was there for that long
 * on his own clock: both start after the request was sent, so our belief ends before his begins.
 * Where a clock is bad or a store lies, two may believe: then the origin's fence decides, which
 * takes the token and the lease id before the pull and from then on refuses anything smaller, or
 * equal but another's.
 *
 * A token is one more than the larger of the record's and the floor, never less than one that was
 * given out under an object that still exists. When the object is deleted, tokens begin anew, the
 * origin refuses, and lease_raise goes above what the origin has seen.
 *
 * Reads while acquiring are never less than a second apart, and exactly that while waiting, so that
 * a release is noticed within one; what is jittered is the pause after trouble. RESTING asks nothing:
 * somebody else keeps the order among many and says whose turn it is (the line at an origin daemon);
 * it changes who asks and when, not what makes the lock safe.
 *
 * tests/lockstore/simulation.c runs this file against stores and clocks that misbehave. For the
 * SPIN model checker, tests/lockstore/lease.pml is this machine with time, and fence.pml what the
 * fence guarantees without any.
 */
#include "lockstore/lease.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/limits.h"
#include "protocol/base/log.h"

#define POLL_MS          1000u
#define PAUSE_FIRST_MS   100u
#define PAUSE_MAX_MS     5000u
#define RETRY_AFTER_MAX  60000u
#define TROUBLE_MAX_MS   30000u /* a store without a definite answer for so long is unusable */
#define RELEASE_LIMIT_MS 30000u

static void begin(struct lease *lease, uint64_t now);
static void check_time(struct lease *lease, uint64_t now);
static uint64_t next_time(const struct lease *lease);
static void compose(struct lease *lease, int64_t wall);
static void get_answered(struct lease *lease, uint64_t now, const struct lease_answer *answer);
static void put_answered(struct lease *lease, uint64_t now, const struct lease_answer *answer);
static void put_done(struct lease *lease, uint64_t now, uint64_t since, const char *etag);
static void check_own(struct lease *lease, uint64_t now);
static void refused(struct lease *lease, uint64_t now, enum lease_io again, uint32_t retry_after);
static void look_at(struct lease *lease, uint64_t now);
static void give_back(struct lease *lease, uint64_t now);
static int is_mine(const struct lease *lease);
static int is_to_rest(const struct lease *lease, uint64_t now);
static void rest(struct lease *lease);
static void look_again(struct lease *lease, uint64_t now);
static int claimable(const struct lease *lease, uint64_t now);
static uint64_t token_taken(const struct lease *lease);
static void settle(struct lease *lease, uint64_t now);
static void put_start(struct lease *lease, enum lease_state state, uint64_t now);
static void io_at(struct lease *lease, enum lease_io io, uint64_t due);
static void pause_then(struct lease *lease, enum lease_io again, uint64_t now,
                       uint32_t retry_after);
static void trouble(struct lease *lease, uint64_t now, const char *why);
static void tell_waiting(struct lease *lease);
static void lose(struct lease *lease, const char *why, const char *more);
static void fail(struct lease *lease);
static void end_released(struct lease *lease);
static int holds(const struct lease *lease);
static int io_sent(const struct lease *lease);
static uint64_t jitter_below(struct lease *lease, uint64_t bound);
static void move(struct lease *lease, enum lease_state state);

void lease_init(struct lease *lease, const struct lease_options *options)
{
    uint64_t seconds = (options->timeout_ms + 999) / 1000;

    memset(lease, 0, sizeof(*lease));
    if (seconds == 0)
        seconds = 1;
    if (seconds > LIMIT_LOCK_TIMEOUT)
        seconds = LIMIT_LOCK_TIMEOUT;
    lease->timeout_ms = seconds * 1000;
    lease->wait_ms = options->wait_ms;
    lease->jitter = options->seed | 1;
    lease->me.kind = RECORD_LEASE;
    lease->me.pid = options->pid;
    lease->me.timeout_ms = lease->timeout_ms;
    memcpy(lease->me.lease_id, options->lease_id, sizeof(lease->me.lease_id));
    log_sanitize(options->instance, strlen(options->instance), lease->me.instance,
                 sizeof(lease->me.instance));
    log_sanitize(options->host, strlen(options->host), lease->me.host, sizeof(lease->me.host));
}

void lease_acquire(struct lease *lease, uint64_t now)
{
    if (lease->state == LEASE_IDLE || lease->state == LEASE_RELEASED)
        begin(lease, now);
}

void lease_break(struct lease *lease, uint64_t now)
{
    if (lease->state != LEASE_IDLE && lease->state != LEASE_RELEASED)
        return;
    lease->want_rest = 0;
    begin(lease, now);
    lease->want_break = 1;
}

void lease_rest(struct lease *lease)
{
    lease->want_rest = 1;
    if ((lease->state == LEASE_LOOKING || lease->state == LEASE_WAITING) && !io_sent(lease) &&
        !lease->want_break)
        rest(lease);
}

void lease_try_now(struct lease *lease, uint64_t now)
{
    lease->want_rest = 0;
    if (lease->state == LEASE_RESTING)
        look_again(lease, now);
}

/*
 * What was known of the object from an earlier term saves the look. The token of that term is never
 * taken again, even when the object was deleted: the lease id is the same, so the origin could not
 * tell a late push of the earlier term from one of this.
 * (The simulation found that.)
 */
static void begin(struct lease *lease, uint64_t now)
{
    if (lease->token > lease->floor)
        lease->floor = lease->token;
    lease->want_release = 0;
    lease->want_break = 0;
    lease->want_back = 0;
    lease->waiting_told = 0;
    lease->in_trouble = 0;
    lease->tell = 0;
    error_init(&lease->error);
    lease->acquire_until = now + lease->wait_ms < now ? UINT64_MAX : now + lease->wait_ms;
    if (lease->want_rest) {
        rest(lease);
    } else if (lease->known && claimable(lease, now)) {
        put_start(lease, LEASE_CLAIMING, now);
    } else {
        move(lease, LEASE_LOOKING);
        io_at(lease, LEASE_IO_GET_DUE, now);
    }
}

void lease_give_back(struct lease *lease, uint64_t token, uint64_t now)
{
    if (lease->state != LEASE_IDLE)
        return;
    lease->want_back = lease->token = token;
    lease->acquire_until = now; /* for the store's troubles there is half a minute */
    move(lease, LEASE_LOOKING);
    io_at(lease, LEASE_IO_GET_DUE, now);
}

void lease_raise(struct lease *lease, uint64_t floor, uint64_t now)
{
    if (floor > lease->floor)
        lease->floor = floor;
    if (lease->state == LEASE_HELD)
        settle(lease, now);
}

static uint64_t release_limit(const struct lease *lease, uint64_t now)
{
    return now + (lease->timeout_ms < RELEASE_LIMIT_MS ? lease->timeout_ms : RELEASE_LIMIT_MS);
}

/* A write whose fate is not known is first brought to a definite answer: put_done and look_at then
 * turn to the release. */
void lease_release(struct lease *lease, uint64_t now)
{
    if (lease->state == LEASE_FAILED || lease->state == LEASE_RELEASED || lease->want_release)
        return;
    lease->want_release = 1;
    lease->release_until = release_limit(lease, now);
    if (lease->state == LEASE_HELD)
        settle(lease, now);
    else if (lease->state == LEASE_IDLE || lease->state == LEASE_RESTING ||
             ((lease->state == LEASE_LOOKING || lease->state == LEASE_WAITING) && !io_sent(lease)))
        end_released(lease);
}

void lease_tick(struct lease *lease, uint64_t now, int64_t wall, struct lease_action *action)
{
    check_time(lease, now);
    for (int kind = LEASE_TELL_WAITING; kind <= LEASE_TELL_RELEASED; kind++) {
        if (lease->tell & 1u << kind) {
            if (kind == LEASE_TELL_RELEASED && io_sent(lease))
                continue; /* after it nothing may be under way: lease_acquire may come next */
            lease->tell &= ~(1u << kind);
            action->kind = (enum lease_action_kind)kind;
            return;
        }
    }
    if (lease->state == LEASE_HELD && now >= lease->renew_at)
        put_start(lease, LEASE_RENEWING, now);
    if (lease->io == LEASE_IO_GET_DUE && now >= lease->io_due) {
        lease->io = LEASE_IO_GET_SENT;
        lease->get_sent = now;
        action->kind = LEASE_GET;
        return;
    }
    if (lease->io == LEASE_IO_PUT_DUE && now >= lease->io_due) {
        if (!lease->put_composed) {
            compose(lease, wall);
            lease->put_first_sent = now;
        }
        lease->io = LEASE_IO_PUT_SENT;
        lease->put_sent = now;
        action->kind = LEASE_PUT;
        return;
    }
    action->kind = LEASE_WAIT;
    action->until = next_time(lease);
}

/* What has come to an end by now, whatever the store may answer later. */
static void check_time(struct lease *lease, uint64_t now)
{
    uint64_t patience;

    if (holds(lease) && now >= lease->deadline) {
        lose(lease, "it was not renewed in time; the store's last word: ",
             lease->in_trouble ? lease->last_error.text : "nothing");
    } else if (holds(lease) && now >= lease->doubtful_at && !lease->doubt_told) {
        lease->doubt_told = 1;
        lease->tell |= 1u << LEASE_TELL_DOUBTFUL;
    }
    if (lease->state == LEASE_RESTING && now >= lease->acquire_until)
        look_again(lease, now);
    if (lease->state == LEASE_WAITING && now >= lease->acquire_until && !lease->want_release &&
        !io_sent(lease)) {
        error_set(&lease->error, ERR_LOCK_HELD, "waited %llu s, and %s still holds the lock",
                  (unsigned long long)(lease->wait_ms / 1000),
                  lease->told.instance[0] != '\0' ? lease->told.instance : "somebody");
        fail(lease);
    }
    if ((lease->state == LEASE_LOOKING || lease->state == LEASE_WAITING ||
         lease->state == LEASE_CLAIMING) &&
        lease->in_trouble && !lease->want_release) {
        patience = lease->trouble_since + TROUBLE_MAX_MS;
        if (patience < lease->acquire_until)
            patience = lease->acquire_until;
        if (now >= patience) {
            error_set(&lease->error, ERR_STORE_UNUSABLE,
                      "the store gave no definite answer for %llu s, last: %s",
                      (unsigned long long)((now - lease->trouble_since) / 1000),
                      lease->last_error.text);
            fail(lease);
        }
    }
    if (lease->want_release && now >= lease->release_until &&
        (lease->state == LEASE_CLAIMING || lease->state == LEASE_RELEASING || holds(lease))) {
        error_set(
            &lease->error, ERR_STORE_UNUSABLE,
            "the record could not be written as released and looks held until it is stale%s%s",
            lease->in_trouble ? ": " : "", lease->in_trouble ? lease->last_error.text : "");
        end_released(lease);
    }
}

/* When lease_tick has something to do again, if nothing happens before. */
static uint64_t next_time(const struct lease *lease)
{
    uint64_t next = UINT64_MAX;

    if (lease->state == LEASE_FAILED || lease->state == LEASE_RELEASED)
        return next;
#define NOT_AFTER(time) (next = (time) < next ? (time) : next)
    if (lease->io == LEASE_IO_GET_DUE || lease->io == LEASE_IO_PUT_DUE)
        NOT_AFTER(lease->io_due);
    if (lease->state == LEASE_HELD)
        NOT_AFTER(lease->renew_at);
    if (holds(lease))
        NOT_AFTER(lease->doubt_told ? lease->deadline : lease->doubtful_at);
    if (lease->want_release)
        NOT_AFTER(lease->release_until);
    if (lease->state == LEASE_RESTING || (lease->state == LEASE_WAITING && !io_sent(lease)))
        NOT_AFTER(lease->acquire_until);
#undef NOT_AFTER
    return next;
}

/* The record of the PUT that is about to be sent for the first time. */
static void compose(struct lease *lease, int64_t wall)
{
    lease->put = lease->me;
    lease->put.rev = ++lease->rev;
    lease->put.timestamp = wall;
    lease->put.held = lease->state != LEASE_RELEASING;
    if (lease->exists && lease->seen.kind != RECORD_UNKNOWN)
        lease->put.stamp = lease->seen.stamp;
    if (lease->state == LEASE_CLAIMING) {
        lease->had_former = lease->exists;
        lease->former = lease->seen;
    }
    lease->put.token = lease->token;
    if (lease->state == LEASE_CLAIMING || lease->state == LEASE_RAISING)
        lease->put.token = token_taken(lease) + 1;
    lease->put_condition = lease->exists ? STORE_IF_MATCH : STORE_IF_ABSENT;
    snprintf(lease->put_etag, sizeof(lease->put_etag), "%s", lease->exists ? lease->seen_etag : "");
    lease->put_composed = 1;
}

void lease_answer(struct lease *lease, uint64_t now, const struct lease_answer *answer)
{
    enum lease_io io = lease->io;

    assert(io_sent(lease));
    lease->io = LEASE_IO_NONE;
    check_time(lease, now);
    if (lease->state == LEASE_FAILED || lease->state == LEASE_RELEASED)
        return; /* it came too late to matter */
    if (answer->outcome == STORE_UNKNOWN || answer->outcome == STORE_CONFLICT ||
        answer->outcome == STORE_REFUSED)
        trouble(lease, now, answer->why);
    else
        lease->in_trouble = 0;
    if (io == LEASE_IO_GET_SENT)
        get_answered(lease, now, answer);
    else if (io == LEASE_IO_PUT_SENT)
        put_answered(lease, now, answer);
}

static void get_answered(struct lease *lease, uint64_t now, const struct lease_answer *answer)
{
    if (lease->want_release && (lease->state == LEASE_LOOKING || lease->state == LEASE_WAITING)) {
        end_released(lease);
        return;
    }
    switch (answer->outcome) {
    case STORE_REFUSED:
        refused(lease, now, LEASE_IO_GET_DUE, answer->retry_after_ms);
        return;
    case STORE_OK:
        if (!lease->known || !lease->exists || strcmp(lease->seen_etag, answer->etag) != 0)
            lease->seen_since = now;
        lease->seen = *answer->record;
        lease->seen_age_ms = answer->age_ms;
        snprintf(lease->seen_etag, sizeof(lease->seen_etag), "%s", answer->etag);
        break;
    case STORE_ABSENT:
        break;
    default:
        pause_then(lease, LEASE_IO_GET_DUE, now, answer->retry_after_ms);
        if ((lease->state == LEASE_LOOKING || lease->state == LEASE_WAITING) &&
            is_to_rest(lease, now))
            rest(lease);
        return;
    }
    lease->known = 1;
    lease->exists = answer->outcome == STORE_OK;
    lease->attempts = 0;
    if (lease->state == LEASE_LOOKING || lease->state == LEASE_WAITING)
        look_at(lease, now);
    else
        check_own(lease, now);
}

static void put_answered(struct lease *lease, uint64_t now, const struct lease_answer *answer)
{
    switch (answer->outcome) {
    case STORE_OK:
        put_done(lease, now, lease->put_sent, answer->etag);
        return;
    case STORE_ABSENT:
        if (lease->state == LEASE_RENEWING || lease->state == LEASE_RAISING) {
            lose(lease, "the record was deleted", "");
            return;
        }
        break;
    case STORE_MISMATCH:
        break;
    case STORE_REFUSED:
        refused(lease, now, LEASE_IO_PUT_DUE, answer->retry_after_ms);
        return;
    default:
        pause_then(lease, LEASE_IO_PUT_DUE, now, answer->retry_after_ms);
        return;
    }
    lease->attempts = 0;
    if (lease->state == LEASE_CLAIMING && lease->get_sent + POLL_MS > now)
        io_at(lease, LEASE_IO_GET_DUE, lease->get_sent + POLL_MS);
    else
        io_at(lease, LEASE_IO_GET_DUE, now);
}

/* The record in the store is the one of our PUT, written no earlier than since. */
static void put_done(struct lease *lease, uint64_t now, uint64_t since, const char *etag)
{
    enum lease_state state = lease->state;

    lease->known = 1;
    lease->exists = 1;
    lease->seen = lease->put;
    lease->seen_since = now;
    lease->seen_age_ms = -1;
    if (etag != lease->seen_etag) /* after a check it is */
        snprintf(lease->seen_etag, sizeof(lease->seen_etag), "%s", etag);
    lease->attempts = 0;
    if (state == LEASE_RELEASING) {
        end_released(lease);
        return;
    }
    if (state == LEASE_CLAIMING && now >= since + lease->timeout_ms / 3 * 2 &&
        !lease->want_release) {
        put_start(lease, LEASE_CLAIMING, now); /* too late to be worth anything: once more */
        return;
    }
    lease->token = lease->put.token;
    lease->held_rev = lease->put.rev;
    lease->deadline = since + lease->timeout_ms;
    lease->doubtful_at = since + lease->timeout_ms / 3 * 2;
    lease->renew_at = since + lease->timeout_ms / 3;
    lease->doubt_told = 0;
    lease->tell &= ~(1u << LEASE_TELL_DOUBTFUL);
    move(lease, LEASE_HELD);
    if (state != LEASE_RENEWING && !lease->want_release)
        lease->tell |= 1u << LEASE_TELL_ACQUIRED;
    settle(lease, now);
}

/* The GET after a 412: is what the store has our own writing? */
static void check_own(struct lease *lease, uint64_t now)
{
    const struct record *seen = &lease->seen;
    int mine = is_mine(lease);

    if (mine && seen->rev == lease->put.rev && seen->token == lease->put.token) {
        put_done(lease, now, lease->put_first_sent, lease->seen_etag);
    } else if (lease->state == LEASE_CLAIMING) {
        look_at(lease, now);
    } else if (mine && seen->held && seen->rev == lease->held_rev && seen->token == lease->token) {
        /* Nothing was written since our own last record: the ETag changed for reasons of the
         * store's. */
        snprintf(lease->put_etag, sizeof(lease->put_etag), "%s", lease->seen_etag);
        pause_then(lease, LEASE_IO_PUT_DUE, now, 0);
    } else if (lease->state == LEASE_RELEASING) {
        if (lease->exists)
            error_set(&lease->error, ERR_LOCK_LOST, "%s had taken the lock before it was released",
                      seen->instance[0] != '\0' ? seen->instance : "somebody");
        end_released(lease);
    } else if (!lease->exists) {
        lose(lease, "the record was deleted", "");
    } else {
        lose(lease, "it was taken by ", seen->instance[0] != '\0' ? seen->instance : "somebody");
    }
}

/* What the store will not do ends an acquiring; a holder goes on trying until the deadline. */
static void refused(struct lease *lease, uint64_t now, enum lease_io again, uint32_t retry_after)
{
    if (lease->state == LEASE_RELEASING) {
        error_set(&lease->error, ERR_STORE_UNUSABLE,
                  "the record could not be written as released and looks held until it is stale: "
                  "%s",
                  lease->last_error.text);
        end_released(lease);
    } else if (holds(lease)) {
        pause_then(lease, again, now, retry_after);
    } else {
        lease->error = lease->last_error;
        fail(lease);
    }
}

/* The object was read, and is not ours: take it, or wait for it. */
static void look_at(struct lease *lease, uint64_t now)
{
    if (lease->want_release) {
        end_released(lease);
    } else if (lease->want_back != 0) {
        give_back(lease, now);
    } else if (token_taken(lease) >= LIMIT_LOCK_TOKEN) {
        error_set(&lease->error, ERR_STORE_UNUSABLE,
                  "the lock has used up its tokens; delete the record, and the origin's fence");
        fail(lease);
    } else if (is_to_rest(lease, now)) {
        rest(lease);
    } else if (claimable(lease, now)) {
        put_start(lease, LEASE_CLAIMING, now);
    } else if (now >= lease->acquire_until) {
        error_set(&lease->error, ERR_LOCK_HELD, "%s%s%s holds the lock",
                  lease->seen.instance[0] != '\0' ? lease->seen.instance : "somebody",
                  lease->seen.host[0] != '\0' ? " on " : "", lease->seen.host);
        fail(lease);
    } else {
        if (lease->state != LEASE_WAITING)
            move(lease, LEASE_WAITING);
        tell_waiting(lease);
        io_at(lease, LEASE_IO_GET_DUE, lease->get_sent + POLL_MS);
    }
}

/* The object was read. Only the record of the process that we go on for is written over. */
static void give_back(struct lease *lease, uint64_t now)
{
    const struct record *seen = &lease->seen;

    if (!is_mine(lease) || seen->token != lease->want_back) {
        lose(lease, lease->exists ? "it was taken by " : "the record was deleted",
             !lease->exists              ? ""
             : seen->instance[0] != '\0' ? seen->instance
                                         : "somebody");
        return;
    }
    lease->held_rev = lease->rev = seen->rev;
    lease->want_release = 1;
    lease->release_until = release_limit(lease, now);
    if (seen->held)
        put_start(lease, LEASE_RELEASING, now);
    else
        end_released(lease);
}

/* Whether the record was written under our lease id. */
static int is_mine(const struct lease *lease)
{
    return lease->exists && lease->seen.kind == RECORD_LEASE &&
           memcmp(lease->seen.lease_id, lease->me.lease_id, sizeof(lease->me.lease_id)) == 0;
}

/* Whether others come first, and there is time to let them. */
static int is_to_rest(const struct lease *lease, uint64_t now)
{
    return lease->want_rest && !lease->want_break && lease->want_back == 0 && now < lease->acquire_until;
}

/* Nothing is under way. */
static void rest(struct lease *lease)
{
    lease->io = LEASE_IO_NONE;
    lease->in_trouble = 0;
    move(lease, LEASE_RESTING);
}

/* From the rest back to the store. */
static void look_again(struct lease *lease, uint64_t now)
{
    uint64_t due = lease->get_sent != 0 ? lease->get_sent + POLL_MS : 0;

    move(lease, LEASE_LOOKING);
    io_at(lease, LEASE_IO_GET_DUE, due > now ? due : now);
}

/* Whether nobody can believe to hold the lock, by what was last seen; or we are to take it anyhow.
 */
static int claimable(const struct lease *lease, uint64_t now)
{
    uint64_t limit = record_stale_after_ms(&lease->seen);

    if (!lease->exists || !lease->seen.held || lease->want_break)
        return 1;
    if (is_mine(lease))
        return 1; /* our own, from an attempt that we gave up believing in */
    return (lease->seen_age_ms >= 0 && (uint64_t)lease->seen_age_ms > limit) ||
           now - lease->seen_since > limit;
}

/* The largest token that somebody may have had. */
static uint64_t token_taken(const struct lease *lease)
{
    return lease->exists && lease->seen.token > lease->floor ? lease->seen.token : lease->floor;
}

/* In LEASE_HELD: what was asked for meanwhile. */
static void settle(struct lease *lease, uint64_t now)
{
    if (lease->want_release) {
        put_start(lease, LEASE_RELEASING, now);
    } else if (lease->floor >= LIMIT_LOCK_TOKEN) {
        lose(lease, "the origin has seen the last token that there is", "");
    } else if (lease->floor >= lease->token) {
        lease->tell &= ~(1u << LEASE_TELL_ACQUIRED); /* that token is worth nothing */
        put_start(lease, LEASE_RAISING, now);
    }
}

static void put_start(struct lease *lease, enum lease_state state, uint64_t now)
{
    move(lease, state);
    lease->put_composed = 0;
    lease->attempts = 0;
    io_at(lease, LEASE_IO_PUT_DUE, now);
}

static void io_at(struct lease *lease, enum lease_io io, uint64_t due)
{
    lease->io = io;
    lease->io_due = due;
}

/*
 * Send the request again, after a pause that doubles from a tenth of a second on, half of it by
 * chance. A holder's is short enough for some ten attempts in a lease's time, whatever the store
 * asks for.
 */
static void pause_then(struct lease *lease, enum lease_io again, uint64_t now, uint32_t retry_after)
{
    uint64_t most = holds(lease) ? lease->timeout_ms / 12 : RETRY_AFTER_MAX;
    uint64_t pause = PAUSE_FIRST_MS << (lease->attempts < 6 ? lease->attempts : 6);

    lease->attempts++;
    if (pause > PAUSE_MAX_MS)
        pause = PAUSE_MAX_MS;
    if (pause < retry_after)
        pause = retry_after;
    if (pause > most)
        pause = most;
    pause = pause / 2 + jitter_below(lease, pause / 2 + 1);
    if (pause < retry_after && retry_after <= most)
        pause = retry_after;
    if (again == LEASE_IO_GET_DUE && !holds(lease) && now + pause < lease->get_sent + POLL_MS)
        pause = lease->get_sent + POLL_MS - now;
    io_at(lease, again, now + pause);
}

static void trouble(struct lease *lease, uint64_t now, const char *why)
{
    if (!lease->in_trouble)
        lease->trouble_since = now;
    lease->in_trouble = 1;
    error_set(&lease->last_error, ERR_STORE_UNUSABLE, "%s",
              why != NULL && why[0] != '\0' ? why : "other writes are under way");
}

/* Tell who holds it, the first time and when it is somebody else. */
static void tell_waiting(struct lease *lease)
{
    const struct record *seen = &lease->seen;

    if (lease->waiting_told && seen->kind == lease->told.kind &&
        memcmp(seen->lease_id, lease->told.lease_id, sizeof(seen->lease_id)) == 0 &&
        strcmp(seen->instance, lease->told.instance) == 0)
        return;
    lease->told = *seen;
    lease->waiting_told = 1;
    lease->tell |= 1u << LEASE_TELL_WAITING;
}

static void lose(struct lease *lease, const char *why, const char *more)
{
    error_set(&lease->error, ERR_LOCK_LOST, "the lock is not ours any more: %s%s", why, more);
    fail(lease);
}

/* lease->error says why. Who has asked for the release hears of the end as of that. */
static void fail(struct lease *lease)
{
    if (lease->want_release) {
        end_released(lease);
        return;
    }
    lease->tell = 1u << LEASE_TELL_FAILED;
    if (lease->io == LEASE_IO_GET_DUE || lease->io == LEASE_IO_PUT_DUE)
        lease->io = LEASE_IO_NONE;
    move(lease, LEASE_FAILED);
}

static void end_released(struct lease *lease)
{
    lease->tell = 1u << LEASE_TELL_RELEASED;
    if (lease->io == LEASE_IO_GET_DUE || lease->io == LEASE_IO_PUT_DUE)
        lease->io = LEASE_IO_NONE;
    if (lease->error.code != ERR_NONE)
        lease->known = 0;
    move(lease, LEASE_RELEASED);
}

/* Whether this state is one in which the lease is ours until the deadline. */
static int holds(const struct lease *lease)
{
    return lease->state == LEASE_HELD || lease->state == LEASE_RENEWING ||
           lease->state == LEASE_RAISING;
}

static int io_sent(const struct lease *lease)
{
    return lease->io == LEASE_IO_GET_SENT || lease->io == LEASE_IO_PUT_SENT;
}

int lease_is_held(const struct lease *lease, uint64_t now)
{
    return holds(lease) && now < lease->deadline;
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016). */
static uint64_t jitter_below(struct lease *lease, uint64_t bound)
{
    lease->jitter ^= lease->jitter >> 12;
    lease->jitter ^= lease->jitter << 25;
    lease->jitter ^= lease->jitter >> 27;
    return (lease->jitter * 2685821657736338717u >> 11) % bound;
}

/* Every move of the picture above, and no other. */
static void move(struct lease *lease, enum lease_state state)
{
#define FROM(s) (1u << LEASE_##s)
    static const unsigned from[] = {
        [LEASE_RESTING] = FROM(IDLE) | FROM(RELEASED) | FROM(LOOKING) | FROM(WAITING) |
                          FROM(CLAIMING),
        [LEASE_LOOKING] = FROM(IDLE) | FROM(RELEASED) | FROM(RESTING),
        [LEASE_WAITING] = FROM(LOOKING) | FROM(CLAIMING),
        [LEASE_CLAIMING] = FROM(LOOKING) | FROM(WAITING) | FROM(CLAIMING) | FROM(RELEASED),
        [LEASE_HELD] = FROM(CLAIMING) | FROM(RENEWING) | FROM(RAISING),
        [LEASE_RENEWING] = FROM(HELD),
        [LEASE_RAISING] = FROM(HELD),
        [LEASE_RELEASING] = FROM(HELD) | FROM(LOOKING),
        [LEASE_RELEASED] = FROM(IDLE) | FROM(RESTING) | FROM(LOOKING) | FROM(WAITING) |
                           FROM(CLAIMING) |
                           FROM(HELD) | FROM(RENEWING) | FROM(RAISING) | FROM(RELEASING),
        [LEASE_FAILED] = FROM(LOOKING) | FROM(WAITING) | FROM(CLAIMING) | FROM(HELD) |
                         FROM(RENEWING) | FROM(RAISING),
    };
#undef FROM

    (void)from; /* without assertions */
    assert(from[state] & 1u << lease->state);
    lease->state = state;
}
