/*
 * greeting: what a replica makes of the origin's HELLO: whether the two can talk, what their databases have to do with each other, and
 * with which key they are hashed. (guards.h says what may then replace what.)
 */
#ifndef LOCKSTEP_REPLICA_GREETING_H
#define LOCKSTEP_REPLICA_GREETING_H

#include <stdint.h>

#include "protocol/wire/message.h"
#include "replica/kept_base.h"

struct error;
struct local_copy;
struct meter;

/* What the user asked for. */
struct sync_options {
    int adopt;           /* --adopt */
    int discard;         /* --discard */
    int force_reset;     /* --force-reset */
    int replace;         /* --replace */
    int any_base;        /* the sqlite3_rsync form: no base guard, local changes are overwritten */
    int wal_only;        /* --wal-only */
    int dry_run;         /* --dry-run */
    uint64_t rate;       /* --bwlimit, bytes per second; 0: none */
    int has_discard_root; /* --discard gives up just this local content */
    uint8_t discard_root[ROOT_SIZE];
    int has_over;        /* resolve: a push over just this content of the origin's, whatever its base was */
    uint8_t over_root[ROOT_SIZE];
    uint64_t over_version;
    int will_push;       /* a pull: it is of no use unless a push may follow */
    int level;           /* zstd's, for a push; 0 for none */
    uint32_t wanted_level; /* the same for a pull, as PULL has it (message.h): LEVEL_UNSAID where the user did not say */
    enum kept_base_mode base; /* --base */
    uint32_t timeout_ms; /* for a locked database */
    uint32_t io_timeout_ms; /* --io-timeout: silence of the other side that ends it */
    struct fence fence;  /* token 0: no lock */
    char instance[129];
    struct meter *meter; /* borrowed; NULL: nobody watches */
};

enum relation {
    SAME_LINEAGE,
    NO_LINEAGE_HERE,  /* the local database has none */
    NO_LINEAGE_THERE, /* the origin's has none, the local one has */
    FOREIGN_LINEAGE
};

/* Check that the speaker can be talked to. */
int greeting_check_protocol(const struct message_hello *hello, struct error *error);

enum relation greeting_relation(const struct message_hello *hello, const struct local_copy *copy);

/* Scan the local copy with the key, unless that is what was scanned last. */
int greeting_scan(struct local_copy *copy, const uint8_t key[HASH_KEY_SIZE], int *scanned, struct error *error);

/* Whether the two sides have equal content, both hashed with the same key. */
int greeting_is_equal(const struct message_hello *hello, const struct local_copy *copy);

/* Whether the speaker's is a read-only copy, and an older version than what the replica has. */
int greeting_is_behind(const struct message_hello *hello, const struct local_copy *copy);

#endif
