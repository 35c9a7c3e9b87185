/*
 * session: the origin's side of a conversation, as a party (protocol/sync/party.h): says HELLO, then does what the
 * replica asks for: a pull, a push, a fence, a digest.
 */
#ifndef LOCKSTEP_ORIGIN_SESSION_H
#define LOCKSTEP_ORIGIN_SESSION_H

#include <stdint.h>

struct error;
struct log_fields;
struct party;
struct scan_cache;
struct session;
struct stream_cache;

/* For logs and metrics: who this is about. Texts are borrowed, outlive the session, and may be NULL. */
struct session_names {
    const char *database; /* as replicas call it */
    const char *client;   /* the name that was proven */
    const char *instance; /* what the replica calls itself */
    const char *peer;     /* its address */
};

struct session_options {
    struct session_names names;
    const char *path;    /* of the canonical database; may be missing; copied */
    int may_pull;
    int may_push;
    uint32_t timeout_ms; /* for each wait for another program's lock on the database */
    int level;           /* zstd's, for what is sent; 0 for none */
    int level_max;       /* what a replica may ask for instead, if that is more than level */
    const char *lock_url; /* of the lease that a push must hold (lease_guard.h); NULL: the fence alone decides; copied */
    const char *origin;  /* where the origin is, if the database is a read-only copy: NULL, if this is the origin; borrowed */
    int64_t history_bytes; /* of the page-version log (history.h); negative: a quarter of the database, at most 1 GiB */
    struct scan_cache *scans; /* shared with other sessions, which outlives them; NULL: this one scans for itself */
    struct stream_cache *streams; /* the same of streams; with scans */
    void (*on_wake)(void *user); /* with scans: on the loop, the party waited and is to be woken */
    void *wake_user;
};

/* ERR_NOT_ALLOWED that names the origin. options->origin is not NULL. */
int session_refuse_change(const struct session_options *options, struct error *error);

/* Touches no file yet. ERR_INTERNAL: memory ran out. */
int session_new(struct session **session, const struct session_options *options, struct error *error);

/* It does not wait for other sessions any more: on_wake does not come. On the loop. */
void session_leave(struct session *session);

/* It has left. May take long, with scans: closes the database. */
void session_free(struct session *session);

/* What a session has found out and done, for metrics. Zero where it is not known, or none. */
struct session_report {
    uint64_t version;         /* of the database's content */
    uint64_t replica_version; /* that the replica is known to hold */
    uint64_t fence_token;     /* the highest that the database's fence has seen */
    int is_fence_theirs;      /* the replica of this session came with it */
    unsigned lease_reads;     /* how often the lock in the store was read; the rest is of the last time */
    const char *lease_state;  /* lease_guard_state; a constant */
    uint64_t lease_token;
    char lease_holder[129];
};

/* Lives as long as the session; not while a call of its party is at work. */
const struct session_report *session_report(const struct session *session);

/* Whether all is said and heard. */
int session_is_done(const struct session *session);

/* To be given to conversation_new; lives as long as the session. */
struct party *session_party(struct session *session);

#endif
