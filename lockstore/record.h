/*
 * record: the body of the lock object, as JSON, to and from a struct.
 *
 *   {"instance_id": "job-7", "timestamp": "2026-11-21T20:04:06Z", "timeout": 60,
 *    "v": 1, "state": "held", "token": 42, "lease_id": "<32 hex digits>", "rev": 3,
 *    "host": "worker-7", "pid": 4711}
 *
 * The first three fields are those of the shell scripts that people use today; a record that has
 * them alone is such a script's. The others are ours. Unknown fields are skipped, wrong types are
 * not forgiven. rev makes every body unique, and with it every ETag that is a hash of the content.
 *
 * timestamp is the writer's wall clock and there for the scripts, whose rule is `timestamp +
 * timeout is past: stale`. We write it and never read it: whether a record is stale is asked of the
 * store's clock or of our own monotonic one. Scripts come in two kinds, those that write an ISO
 * 8601 string
 * (`date -d "$timestamp"`) and those that write seconds since 1970 (`$((timestamp + timeout))`),
 * and no value reads right in both. So a record is written in the form of the record that it
 * replaces, and as ISO 8601 where there was none: bash's and dash's arithmetic on such a string is
 * an error, not "stale", while `date -d 1795291446` fails too but often stands before a `|| echo
 * 0`, which is.
 */
#ifndef LOCKSTEP_LOCKSTORE_RECORD_H
#define LOCKSTEP_LOCKSTORE_RECORD_H

#include <stddef.h>
#include <stdint.h>

struct error;

#define RECORD_LEASE_ID_SIZE 16
#define RECORD_TEXT_MAX      128

/* How long a record that says nothing usable about its time-out is taken to be held. */
#define RECORD_UNKNOWN_TIMEOUT_MS 300000u

enum record_kind {
    RECORD_LEASE,   /* ours */
    RECORD_FOREIGN, /* of the shell scripts' kind: instance_id, timestamp, timeout */
    RECORD_UNKNOWN  /* neither: somebody's, respected until it is stale */
};

enum record_stamp {
    RECORD_STAMP_ISO,  /* "2026-11-21T20:04:06Z" */
    RECORD_STAMP_EPOCH /* 1795291446 */
};

struct record {
    enum record_kind kind;
    enum record_stamp stamp; /* the form of the timestamp */
    int held;                /* 0: released. A foreign or unknown record is always held */
    char instance[RECORD_TEXT_MAX + 1]; /* who; clean for a terminal; "" where not told */
    char host[RECORD_TEXT_MAX + 1];     /* likewise */
    int64_t pid;                        /* 0 where not told */
    int64_t timestamp;                  /* seconds since 1970; written, never read back */
    uint64_t timeout_ms;                /* whole seconds in the JSON, rounded up */
    uint64_t token;                     /* 0 for a foreign or unknown record */
    uint8_t lease_id[RECORD_LEASE_ID_SIZE];
    uint64_t rev;
};

/*
 * What body says. Never fails: what cannot be read as one of the first two kinds is RECORD_UNKNOWN,
 * with the time-out it tells if it tells a sane one, else RECORD_UNKNOWN_TIMEOUT_MS.
 */
void record_decode(const uint8_t *body, size_t len, struct record *record);

/*
 * Write record, which is a RECORD_LEASE, as JSON to out. A released one gets timestamp 1970 and
 * timeout 0 whatever the struct says, so that the scripts see it as stale. ERR_INTERNAL where size
 * is too small (LIMIT_LOCK_RECORD never is) or memory ran out.
 */
int record_encode(const struct record *record, uint8_t *out, size_t size, size_t *len,
                  struct error *error);

/*
 * The age, in milliseconds by one clock, from which on the record's holder cannot believe to hold
 * it any more: its time-out, plus two seconds because Date and Last-Modified are cut to whole
 * seconds, plus a 32nd part for clocks that do not run at one speed.
 */
uint64_t record_stale_after_ms(const struct record *record);

#endif
