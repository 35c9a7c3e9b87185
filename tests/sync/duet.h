/*
 * duet: an origin and a replica that sync in memory, without a link and without a loop.
 *
 * A real session (origin/session.h) and a real pull or push (replica/) work on real files; what one
 * says is cut into messages as conversation.h does it and handed to the other. A test can stop
 * between two messages, change or add messages, let bytes come only up to an offset, and run
 * several duets in turns.
 */
#ifndef LOCKSTEP_TESTS_SYNC_DUET_H
#define LOCKSTEP_TESTS_SYNC_DUET_H

#include <stdint.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/sync/local_copy.h"
#include "protocol/wire/frame.h"
#include "protocol/wire/message.h"
#include "replica/greeting.h"
#include "replica/pull.h"

struct party;
struct push;
struct session;

enum duet_kind { DUET_PULL, DUET_PUSH };
enum duet_side { DUET_ORIGIN, DUET_REPLICA };

struct duet_options {
    enum duet_kind kind;
    const char *origin; /* paths */
    const char *replica;
    struct sync_options sync; /* timeout_ms 0: 2000 */
    int pull_only;            /* the origin's link may not push */
    int push_only;            /* nor pull */
    const char *lock_url;     /* of the origin; NULL: none */
    int is_cut; /* only the first `cut` bytes come to the side `cut_side`; then both parties are
                   gone */
    enum duet_side cut_side;
    uint64_t cut;
    /*
     * Called with each message before `to` hears it; may change it. Frames that it appends to
     * `before` come before the message. Non-zero: the message is lost.
     */
    int (*tamper)(void *arg, enum duet_side to, struct message *message, struct buffer *before);
    void *arg;
};

/* What comes to one side. */
struct duet_stream {
    struct frame_reader reader;
    struct buffer arrived;  /* that is to be fed to the reader */
    uint64_t total;         /* bytes that came so far */
    const uint8_t *payload; /* the next message, not yet heard; NULL: not looked for, or none */
    size_t len;
    struct buffer injected; /* what a tamperer put before it: a copy, heard first */
};

struct duet {
    struct duet_options options;
    struct session *session;
    struct local_copy copy;
    int copy_is_open;
    struct pull *pull;
    struct push *push;
    struct party *parties[2];      /* by side */
    struct duet_stream streams[2]; /* by the side that they come to */
    struct error error;            /* the first failure, of either side */
    enum duet_side failed_side;
    int is_lost; /* the cut was reached */
};

/* What came of one. */
struct duet_outcome {
    int code; /* 0: the replica was done; the code of the first failure; ERR_NO_LINK: cut, or both
                 sides wait */
    struct error error;
    enum duet_side failed_side;
    int origin_done;
    struct sync_result result; /* where code is 0 */
    uint64_t to_origin;        /* bytes */
    uint64_t to_replica;
};

void duet_start(struct duet *duet, const struct duet_options *options);

/* Go on until `side` is about to hear a message of that type. Returns 0 where it ended before. */
int duet_until(struct duet *duet, enum duet_side side, enum message_type type);

/* Go on to the end, and free everything. */
struct duet_outcome duet_finish(struct duet *duet);

/* Both. */
struct duet_outcome duet_run(const struct duet_options *options);

/* A plain pull or push with these files; sync may be NULL. */
struct duet_outcome duet_sync(enum duet_kind kind, const char *origin, const char *replica,
                              const struct sync_options *sync);

/* ---- checks ---- */

/* Fails the test, with the text of the failure, unless the outcome is this code (0: done, on both
 * sides). */
#define duet_expect(outcome, expected) duet_expect_at((outcome), (expected), __FILE__, __LINE__)
void duet_expect_at(struct duet_outcome outcome, int expected, const char *file, int line);

/* A number that stands for the content: every row of every table, read by SQLite, with the schema.
 * A missing file: 0. */
uint64_t duet_content(const char *path);

/* Integrity is ok, content and page roots are equal. */
void duet_check_equal(const char *a, const char *b);

/* Integrity is ok. */
void duet_check_whole(const char *path);

/* The sidecar of the database. */
struct sidecar_state duet_book(const char *path);

/* A path in the test's folder where neither database nor sidecar stands. Good like sample_path's.
 */
char *duet_path(const char *name);

/* Copy a closed database with its sidecar; nothing, where there is none. */
void duet_copy(const char *from, const char *to);

#endif
