/*
 * lease: the lock's state machine, pure: what happened goes in, what to do comes out. No clock, no
 * store, no randomness of its own; the driver (lock.h) has those, and the simulation of the tests
 * has others.
 *
 * (The states, the moves, and why they are safe are drawn at the head of lease.c.)
 *
 * The driver's loop: after every call that changes something, and when the time of the last
 * LEASE_WAIT has come, call lease_tick until it answers LEASE_WAIT. One request at a time is under
 * way; its answer comes in by lease_answer.
 */
#ifndef LOCKSTEP_LOCKSTORE_LEASE_H
#define LOCKSTEP_LOCKSTORE_LEASE_H

#include <stdint.h>

#include "lockstore/record.h"
#include "lockstore/store.h"
#include "protocol/base/error.h"

enum lease_state {
    LEASE_IDLE,      /* nothing asked for yet */
    LEASE_RESTING,   /* asked to acquire, and not to ask the store before lease_try_now */
    LEASE_LOOKING,   /* reading the record, to acquire */
    LEASE_WAITING,   /* somebody else holds it: reading the record once a second */
    LEASE_CLAIMING,  /* writing a record that makes it ours */
    LEASE_HELD,      /* ours; nothing under way */
    LEASE_RENEWING,  /* ours; writing the record again */
    LEASE_RAISING,   /* ours; writing it with a higher token */
    LEASE_RELEASING, /* writing the released record */
    LEASE_RELEASED,  /* given back, or never taken. lease_acquire may follow */
    LEASE_FAILED     /* lost, or never became ours. Final */
};

/* What the one request is at. */
enum lease_io {
    LEASE_IO_NONE,
    LEASE_IO_GET_DUE, /* to be sent at io_due */
    LEASE_IO_PUT_DUE,
    LEASE_IO_GET_SENT,
    LEASE_IO_PUT_SENT
};

struct lease_options {
    uint8_t lease_id[RECORD_LEASE_ID_SIZE]; /* random, of this lease alone */
    const char *instance;                   /* who we are, for the record; copied, cut, cleaned */
    const char *host;
    int64_t pid;
    uint64_t timeout_ms; /* rounded up to whole seconds, and to one at least */
    uint64_t wait_ms;    /* how long to wait for another holder */
    uint64_t seed;       /* for the jitter */
};

struct lease {
    enum lease_state state;
    enum lease_io io;
    struct record me; /* instance, host, pid, lease id and time-out as we write them */
    uint64_t timeout_ms;
    uint64_t wait_ms;
    uint64_t jitter; /* state of the generator of the jitter */
    uint64_t rev;    /* of the record that was composed last */

    /* The request under way or due. */
    uint64_t io_due;   /* when to send it */
    unsigned attempts; /* sent without a definite answer, for the backoff */
    uint64_t get_sent; /* when the last GET was sent; 0 before the first */

    /* The PUT, good in the states that write. The same until it has a definite answer. */
    struct record put;
    enum store_condition put_condition;
    char put_etag[STORE_ETAG_MAX];
    int put_composed;        /* whether `put` has been filled */
    uint64_t put_first_sent; /* when its first attempt was sent */
    uint64_t put_sent;       /* when its last one was */

    /* The object as it was last seen or written. */
    int known;  /* whether the fields below say anything */
    int exists; /* 0: there was no object */
    struct record seen;
    char seen_etag[STORE_ETAG_MAX];
    int64_t seen_age_ms; /* the store's word, at the last GET; -1: not told */
    uint64_t seen_since; /* when this ETag was first seen, on our clock */

    /* What we hold. */
    uint64_t token;
    uint64_t held_rev;    /* of the record that made it so */
    int had_former;       /* whether `former` says anything */
    struct record former; /* the record that ours took the place of when we acquired it */
    uint64_t deadline;    /* from here on it is not ours */
    uint64_t doubtful_at; /* from here on nothing new should be started */
    uint64_t renew_at;

    /* What was asked for. */
    int want_release;
    int want_break;
    uint64_t want_back;     /* the token of an earlier process's lease that is to be released; 0: none */
    int want_rest;
    uint64_t floor;         /* tokens up to here are taken, the origin says */
    uint64_t acquire_until; /* when waiting for another holder ends */
    uint64_t release_until; /* when trying to release ends */
    uint64_t trouble_since; /* since when the store gave no definite answer */
    int in_trouble;         /* whether trouble_since says anything */

    /* What is still to be told. */
    unsigned tell;           /* a bit for each enum lease_action_kind */
    int doubt_told;          /* whether this stretch of doubt was */
    int waiting_told;        /* whether there is a told_holder */
    struct record told;      /* the holder that was told last */
    struct error error;      /* with LEASE_TELL_FAILED and LEASE_TELL_RELEASED */
    struct error last_error; /* what the store last said, for error */
};

enum lease_action_kind {
    LEASE_WAIT,          /* until `until`, UINT64_MAX for as long as nothing happens */
    LEASE_GET,           /* read the object, give the answer to lease_answer */
    LEASE_PUT,           /* write it likewise: lease->put under lease->put_condition */
    LEASE_TELL_WAITING,  /* lease->told holds it */
    LEASE_TELL_ACQUIRED, /* it is ours, with lease->token */
    LEASE_TELL_DOUBTFUL, /* two thirds are gone */
    LEASE_TELL_FAILED,   /* lease->error says why: ERR_LOCK_HELD, _LOST, _STORE_UNUSABLE */
    LEASE_TELL_RELEASED  /* lease->error: ERR_NONE, or why the record may still look held */
};

struct lease_action {
    enum lease_action_kind kind;
    uint64_t until; /* LEASE_WAIT: in the driver's monotonic milliseconds */
};

/* What the store answered. The pointers are good during the call. */
struct lease_answer {
    enum store_outcome outcome;
    const char *etag;            /* STORE_OK: of what was read or written */
    const struct record *record; /* STORE_OK to a GET: what was read */
    int64_t age_ms;              /* likewise; -1: not told */
    uint32_t retry_after_ms;     /* what the store asked for; 0 for nothing */
    const char *why;             /* STORE_UNKNOWN and STORE_REFUSED: for a person; NULL allowed */
};

/* A lease that nothing has been asked of. Needs no release. */
void lease_init(struct lease *lease, const struct lease_options *options);

/* Begin to acquire, in LEASE_IDLE or LEASE_RELEASED (then in one request where nobody was faster).
 */
void lease_acquire(struct lease *lease, uint64_t now);

/*
 * While acquiring, and before: others come first, whoever keeps the line tells when it is our turn. Ask the
 * store nothing from now on but what is under way, until lease_try_now. The time to wait goes on, and
 * ends with one look, so that nobody who gave up had a free lock before him.
 */
void lease_rest(struct lease *lease);

/* Ask the store, at once unless it was asked within the last second, and go on as without a rest. */
void lease_try_now(struct lease *lease, uint64_t now);

/* The same as lease_acquire, but whoever holds it loses it. */
void lease_break(struct lease *lease, uint64_t now);

/*
 * In LEASE_IDLE: release what an earlier process acquired with our lease id and this token, in one read and one write. It fails with
 * ERR_LOCK_LOST where the record is not that process's any more; nothing is written then.
 */
void lease_give_back(struct lease *lease, uint64_t token, uint64_t now);

/* Tokens up to floor are taken. A held lease gets one above it, and is told as acquired again. */
void lease_raise(struct lease *lease, uint64_t floor, uint64_t now);

/* Give it back, or stop acquiring it. Nothing in the two last states. */
void lease_release(struct lease *lease, uint64_t now);

/* The answer to the LEASE_GET or LEASE_PUT that is under way. */
void lease_answer(struct lease *lease, uint64_t now, const struct lease_answer *answer);

/*
 * The next thing to do. now never falls; wall is the wall clock in seconds, which only gets
 * written. Sample now before the call: it counts as the time at which a request was sent.
 */
void lease_tick(struct lease *lease, uint64_t now, int64_t wall, struct lease_action *action);

/* Whether it is ours at now: held, and the deadline has not come. */
int lease_is_held(const struct lease *lease, uint64_t now);

#endif
