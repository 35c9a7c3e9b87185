/*
 * session_state: what the parts of a session share: session.c (the greeting, the fence, the digest,
 * and who hears what), session_pull.c and session_push.c. Nobody else includes this.
 */
#ifndef LOCKSTEP_ORIGIN_SESSION_STATE_H
#define LOCKSTEP_ORIGIN_SESSION_STATE_H

#include "origin/scan_cache.h"
#include "origin/session.h"
#include "origin/stream_cache.h"
#include "protocol/base/log.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/party.h"
#include "protocol/wire/message.h"

struct buffer;
struct description;
struct error;
struct history;
struct receiver;
struct sender;

/* The states that session.c draws. */
enum session_stage {
    GREETING,
    READY,
    SENDING,
    CONFIRMING,
    RECEIVING,
    APPLYING,
    DIGESTING,
    DESCRIBING,
    FINISHED
};

struct session {
    struct party party;
    struct session_options options; /* path and lock_url are owned */
    int level;                      /* of the pull: what its stream is compressed with */
    enum session_stage stage;
    int opened;
    int hold;        /* GREETING: keep the snapshot in every journal mode */
    int passes_over; /* CELLS and HASHES come that belong to a request from before the last HELLO */
    struct local_copy copy;
    struct scan_request scan_request; /* waits for another session's scan */
    uint8_t lineage[LINEAGE_SIZE]; /* the database's, or what is offered to one that has none */
    uint8_t hash_key[HASH_KEY_SIZE];
    struct history *history; /* NULL until needed */
    struct sender *sender;        /* with a shared stream: only finds what differs */
    struct stream_reader reader;  /* of a shared stream */
    int builds_on_nothing;        /* the replica cannot fetch old pages */
    int has_memory;               /* memory was counted for making a stream alone */
    uint64_t version;             /* SENDING: of what is sent */
    unsigned moves;               /* times that the database moved before it was sent */
    struct receiver *receiver;
    struct description *description; /* DESCRIBING */
    struct message_push push; /* the request at hand */
    int is_dry;               /* it is a dry run */
    struct push_record record;
    struct session_report report;
};

/* The one way to another stage; also tells the party whose turn it is. */
void session_move(struct session *session, enum session_stage stage);

/* What was scanned does not hold any more: scan again and keep the door shut until the replica has
 * decided. */
void session_greet_again(struct session *session);

/* What a log line about the session tells beside its text. */
struct log_fields session_log_fields(const struct session *session, const char *event,
                                     uint64_t version);

/* Look at the database as the sessions of the daemon see it, without a transaction. *got: 0 where another
 * one is still scanning, and the party is woken when it is through. */
int session_borrow(struct session *session, int *got, struct error *error);

/* Nothing of the database is needed before the replica speaks again: with a shared scan, no connection
 * is kept meanwhile. */
void session_rest(struct session *session);

/* Read the sidecar without keeping it open. */
int session_read_book(struct session *session, struct sidecar_state *book, struct error *error);

/*
 * Of a read-only copy: the version that what was scanned has at its origin. ERR_TRY_LATER where that is
 * nothing that the origin gave or took: a pull from here would spread what may never be accepted, and
 * its version would be made up.
 */
int session_copy_version(struct session *session, uint64_t *version, struct error *error);

/* What the page-version log may hold. */
uint64_t session_history_bytes(const struct session *session);

/* Open the page-version log, unless it is open. The errors of history_open. */
int session_open_history(struct session *session, struct error *error);

/* READY: PULL came. Leaves the session SENDING, CONFIRMING (nothing differs; END is in out) or
 * GREETING. */
int session_hear_pull(struct session *session, const struct message_pull *pull, struct buffer *out,
                      struct error *error);

/* SENDING: CELLS or HASHES came. */
int session_hear_description(struct session *session, const struct message *message, struct error *error);

/* The pages are sent, or never will be: let go of what that took. */
void session_stop_sending(struct session *session);

/* SENDING: what the sender has to say next. */
int session_speak_pages(struct session *session, struct buffer *out, struct error *error);

/* CONFIRMING: the replica says that it has what was sent. For the log only: it is the replica that
 * knows. */
int session_hear_receipt(struct session *session, const struct message_receipt *receipt);

/* READY: DESCRIBE came, or a PUSH that is a dry run and passed the guards. Leaves the session
 * DESCRIBING. */
int session_hear_describe(struct session *session, const struct message_describe *request,
                          struct error *error);
int session_start_dry_push(struct session *session, struct error *error);

/* DESCRIBING: ASK, or the END of a dry run, after which it is FINISHED. And the next part of the
 * description. */
int session_hear_describing(struct session *session, const struct message *message,
                            struct buffer *out, struct error *error);
int session_speak_description(struct session *session, struct buffer *out, struct error *error);

/* READY: HISTORY came. The entries are in out; the session stays READY. */
int session_hear_history(struct session *session, const struct message_history *request,
                         struct buffer *out, struct error *error);

/*
 * Who made the versions after `since`, the newest first, in words, to the end of a sentence that
 * told the version that there is now. Nothing where that is not known.
 */
void session_tell_moves(struct session *session, uint64_t since, char *out, size_t out_size);

/* READY: PUSH came. Leaves the session RECEIVING, FINISHED (RECEIPT is in out) or GREETING; nothing
 * is changed where it is refused. */
int session_hear_push(struct session *session, const struct message_push *push, struct buffer *out,
                      struct error *error);

/* APPLYING: all pages are there. Commit them and say RECEIPT. */
int session_speak_apply(struct session *session, struct buffer *out, struct error *error);

#endif
