/*
 * message: what the two sides say to each other, as C structs, and their msgpack form.
 *
 * PROTOCOL.md has the conversation and the fields for somebody who writes the other side. Each message is a
 * flat msgpack array: the type, then the fields in the order of the struct, those of a struct within it (a
 * geometry, a fence) in its place. An element is an unsigned integer, a string or a bin, never an array, a map or
 * an extension, so nothing nests and nothing that a peer announces is allocated. A decoder takes more elements
 * than it knows, up to LIMIT_MESSAGE_ELEMENTS, and ignores them. Of a HELLO or OPEN of another version of the protocol
 * only the fields are read that every version has; the others are zero.
 *
 * Strings are UTF-8 without control characters, char[N] holding at most N - 1 bytes and a NUL.
 */
#ifndef LOCKSTEP_WIRE_MESSAGE_H
#define LOCKSTEP_WIRE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct error;

#define PROTOCOL_VERSION   1  /* PROTOCOL.md says when it grows */
#define PROTOCOL_MAGIC     "lockstep"
#define LINEAGE_SIZE       16 /* bytes of a lineage, a push id, a session seed */
#define HASH_KEY_SIZE      32 /* bytes of a lineage's hash key */
#define ROOT_SIZE          32 /* bytes of a root and of a verify digest (SHA-256) */
#define LEASE_ID_SIZE      16 /* bytes of a lease id */
#define MESSAGE_CELL_SIZE  16 /* bytes of one cell in CELLS */
#define MESSAGE_HASH_SIZE  8  /* bytes of one hash in HASHES */

enum message_type {
    MESSAGE_HELLO = 1,    /* origin -> replica: what the origin has; first on every link */
    MESSAGE_ERROR = 2,    /* either: this conversation failed, and why; the last message of its sender */
    MESSAGE_PULL = 3,     /* replica -> origin: send me what differs */
    MESSAGE_PUSH = 4,     /* replica -> origin: take what differs */
    MESSAGE_CELLS = 5,    /* receiver -> sender: cells that describe the receiver's pages */
    MESSAGE_HASHES = 6,   /* receiver -> sender: the receiver's page hashes, as a flat list */
    MESSAGE_ASK = 7,      /* sender -> receiver: more cells, or the flat list */
    MESSAGE_PAGES = 8,    /* sender -> receiver: bytes of the page stream */
    MESSAGE_END = 9,      /* sender -> receiver: the page stream is whole; what the result must be */
    MESSAGE_RECEIPT = 10, /* origin -> replica: the push is committed; replica -> origin: the pull is */
    MESSAGE_VERIFY = 11,  /* replica -> origin: read everything and tell the digest */
    MESSAGE_DIGEST = 12,  /* origin -> replica: the digest */
    MESSAGE_FENCE = 13,   /* replica -> origin: from now on refuse older tokens; answered by HELLO */
    MESSAGE_WAIT = 14,    /* either: still at work, or waiting for its turn; nothing else to say */
    MESSAGE_OPEN = 15,    /* replica -> origin: which database, on links that do not say it themselves */
    MESSAGE_TURN = 16,    /* origin -> replica: its turn has come; replica -> origin: its turn is over */
    MESSAGE_DESCRIBE = 17, /* replica -> origin: describe your pages, so that I can tell which differ */
    MESSAGE_HISTORY = 18, /* replica -> origin: who made the last versions? */
    MESSAGE_ENTRY = 19    /* origin -> replica: one of them */
};

/* Size and content of a database, in one place because three messages carry it. */
struct geometry {
    uint32_t page_size;       /* bytes; 0 where there is no database */
    uint32_t page_count;      /* 0 for a missing or empty file */
    uint8_t root[ROOT_SIZE];  /* page_hash.h; all zero where page_count is 0 */
};

/* A fencing token and the lease it belongs to; token 0 means that no lock is used. */
struct fence {
    uint64_t token;
    uint8_t lease_id[LEASE_ID_SIZE];
};

#define HELLO_FRESH    1u  /* the origin has no lineage yet; the one named here is its offer */
#define HELLO_WAL      2u  /* the origin's database is in WAL mode */
#define HELLO_MAY_PULL 4u  /* this link may pull */
#define HELLO_MAY_PUSH 8u  /* this link may push */
#define HELLO_EMPTY    16u /* the origin's database has no tables, or is missing */

struct message_hello {
    uint32_t protocol;             /* PROTOCOL_VERSION of the speaker */
    char software[64];             /* "lockstep 0.1.0" */
    uint32_t flags;                /* HELLO_* */
    uint8_t lineage[LINEAGE_SIZE];
    uint8_t hash_key[HASH_KEY_SIZE];
    uint64_t version;              /* the number of accepted changes so far */
    struct geometry geometry;
    uint64_t fence_token;          /* the highest token seen; 0 for none */
    char origin[257];              /* where the database really is, if this is a read-only copy; else empty */
};

struct message_error {
    char name[32];  /* error_name of the code */
    char text[1001];
};

#define SYNC_ADOPT       1u  /* join two databases of different content where one has no lineage */
#define SYNC_FORCE_RESET 2u  /* replace a foreign database, or a full one by an empty one */
#define SYNC_ANY_BASE    4u  /* no base guard: the sqlite3_rsync form */
#define SYNC_WAL_ONLY    8u  /* refuse unless both databases are in WAL mode */
#define SYNC_DIRECT      16u /* push: base equals the origin's root, the pages follow at once */
#define SYNC_REPLACE     32u /* a difference of page size is resolved by rebuilding the receiver's file first */
#define SYNC_EMPTY       64u /* push: the replica's database has no tables */
#define SYNC_WAL         128u /* push: the replica's database is in WAL mode */
#define SYNC_PARTIAL     256u /* pull: what the replica has is a first copy that broke off: the page stream must not build on it */
#define SYNC_DRY_RUN     512u /* guard and count, change nothing; no PAGES cross */
#define SYNC_ALL         1023u /* a request with any other flag is refused: it would ask for what nobody does */

#define LEVEL_UNSAID 0u  /* of the compression of pages: as the sender likes */
#define LEVEL_NONE   20u /* they are to come as they are; below, zstd's level */

/* The receiver's CELLS or HASHES follow at once, unless its page_count is 0 or the roots are equal. */
struct message_pull {
    uint32_t flags;                  /* SYNC_* */
    uint8_t lineage[LINEAGE_SIZE];   /* the replica's own; all zero for none */
    struct geometry geometry;        /* what the replica has, hashed with the origin's key */
    uint64_t version;                /* of the replica's base; 0 for none */
    uint8_t seed[LINEAGE_SIZE];      /* of the sketch */
    char instance[129];              /* who pulls, for logs */
    uint64_t rate;                   /* bytes per second that are wanted at most; 0: as fast as can be */
    uint32_t level;                  /* LEVEL_UNSAID, LEVEL_NONE, or the level that is wanted */
};

struct message_push {
    uint32_t flags;
    uint8_t lineage[LINEAGE_SIZE];
    uint8_t push_id[LINEAGE_SIZE];
    uint8_t base_root[ROOT_SIZE];    /* all zero for none */
    uint64_t base_version;
    struct geometry geometry;        /* what the origin is to have afterwards */
    struct fence fence;
    uint8_t hash_key[HASH_KEY_SIZE]; /* the lineage's key, for an origin that takes the lineage */
    uint8_t seed[LINEAGE_SIZE];
    char instance[129];
};

/*
 * In these and in PAGES, data points into the decoded payload, or at the caller's bytes when encoding; len is 1 to
 * LIMIT_CHUNK.
 */
struct message_cells {
    uint64_t first;       /* number of the first cell */
    const uint8_t *data;  /* whole cells of MESSAGE_CELL_SIZE bytes */
    uint32_t len;
};

struct message_hashes {
    uint32_t first;       /* number of the first hash, from 1 (page/difference.h) */
    const uint8_t *data;  /* MESSAGE_HASH_SIZE bytes a page */
    uint32_t len;
};

#define ASK_CELLS  1u
#define ASK_HASHES 2u

struct message_ask {
    uint32_t kind;   /* ASK_* */
    uint64_t first;  /* first cell, or hash, that is wanted */
    uint64_t count;  /* how many */
};

struct message_pages {
    const uint8_t *data;
    uint32_t len;
    uint32_t total; /* records that the whole stream will hold, for people who wait; 0: not told */
};

struct message_end {
    struct geometry geometry; /* what the receiver must have afterwards */
    uint64_t version;         /* of this content, when an origin sends; 0 when a replica does */
    uint32_t pages;           /* records that the page stream held */
    uint64_t bytes;           /* of the page stream */
};

struct message_receipt {
    uint8_t lineage[LINEAGE_SIZE];
    uint64_t version;
    uint8_t root[ROOT_SIZE];
    uint8_t push_id[LINEAGE_SIZE]; /* all zero for a pull */
};

struct message_digest {
    struct geometry geometry;
    uint8_t sha256[ROOT_SIZE]; /* page_hash.h, content digest */
};

struct message_describe {
    struct geometry geometry;   /* what the replica has, hashed with the origin's key; pages of the same size */
    uint8_t seed[LINEAGE_SIZE]; /* of the sketch */
};

struct message_history {
    uint64_t before; /* versions below this one; 0: the newest */
    uint32_t count;  /* at most so many */
};

#define ENTRY_NONE    0u /* there is none */
#define ENTRY_PUSHED  1u
#define ENTRY_CHANGED 2u /* somebody changed the origin's database without Lockstep; `time` is when that was noticed */

struct message_entry {
    uint32_t kind;      /* ENTRY_* */
    uint32_t left;      /* entries that follow this one */
    uint64_t version;
    uint64_t time;      /* seconds since 1970, by the origin */
    uint8_t root[ROOT_SIZE];
    uint64_t token;     /* of the lock that the push held; 0: none */
    uint32_t pages;     /* that came; 0: not counted */
    uint64_t bytes;     /* of their stream */
    char instance[129]; /* who pushed */
};

#define OPEN_LINE 1u /* the link is a place in the line of those who want to run; there is no HELLO */
#define OPEN_ALL  1u /* any other flag is refused */

struct message_open {
    uint32_t protocol;
    char software[64];
    char name[129];     /* which of the origin's databases */
    char instance[129];
    char token[257];    /* secret; empty: the link's certificate says who this is */
    uint32_t flags;     /* OPEN_* */
    uint64_t waited;    /* OPEN_LINE: for how many milliseconds already, on an earlier link */
};

struct message_wait {
    uint32_t place; /* in the queue of those who want to push, or to run; 1 is next; 0: none is waited in */
};

struct message {
    enum message_type type;
    union {
        struct message_hello hello;
        struct message_error error;
        struct message_pull pull;
        struct message_push push;
        struct message_cells cells;
        struct message_hashes hashes;
        struct message_ask ask;
        struct message_pages pages;
        struct message_end end;
        struct message_receipt receipt;
        struct message_digest digest;
        struct fence fence;
        struct message_wait wait;
        struct message_open open;
        struct message_describe describe;
        struct message_history history;
        struct message_entry entry;
    };
};

/* The name of a type, for logs and errors; "unknown" for one that is not on the list. */
const char *message_name(int type);

/* The type that a payload which message_encode made begins with; 0 for what is none. */
int message_peek_type(const uint8_t *payload, size_t len);

/*
 * Append a whole frame (length and payload) with the message to out. Text for a person (software, instance, the
 * text of an error) is cleaned as log_sanitize does, newlines and tabs made spaces, so that any error can be told;
 * everything else must be as message_decode would take it. ERR_INTERNAL when it is not, when out is full or
 * memory ran out; out is then as it was.
 */
int message_encode(const struct message *message, struct buffer *out, struct error *error);

/*
 * Read the payload of one frame. Pointers in *message point into payload. ERR_PROTOCOL for anything that is
 * not exactly one well-formed message: unknown type, missing field, wrong kind or size of a field, number out
 * of range, page count without page size or root without pages, trailing bytes. *message is then worth nothing.
 */
int message_decode(const uint8_t *payload, size_t len, struct message *message, struct error *error);

#endif
