/*
 *   GREETING --HELLO--> READY --PULL--> SENDING --END--> CONFIRMING --RECEIPT--> done
 *      ^                 | |
 *      |                 | +--PUSH--> RECEIVING --END--> APPLYING --RECEIPT--> done
 *      +--FENCE, or the database changed since the scan
 *                        +--VERIFY--> DIGESTING --DIGEST--> READY
 *
 * HELLO is said again whenever what the last one told does not hold any more; the replica then
 * starts anew with it. What it said of its pages before it heard that is on its way still, and is
 * passed over.
 */
#include "origin/session.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "origin/session_state.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/random.h"
#include "protocol/sync/description.h"
#include "protocol/sync/history.h"
#include "protocol/sync/page_scan.h"
#include "protocol/sync/receiver.h"
#include "protocol/sync/sender.h"

/* The largest page-version log that is kept unasked. */
#define HISTORY_MAX (1ull << 30)

/* So often a shared look is tried before the database is held on to. */
#define MOVES_MAX 3

void session_move(struct session *session, enum session_stage stage)
{
    session->stage = stage;
    session->party.may_end = stage == READY || (stage == DESCRIBING && !session->is_dry);
    switch (stage) {
    case SENDING:
        session->party.status =
            session->reader.stream != NULL ? PARTY_SPEAKS : sender_status(session->sender);
        break;
    case RECEIVING:
        session->party.status = receiver_status(session->receiver);
        break;
    case GREETING:
    case APPLYING:
    case DIGESTING:
        session->party.status = PARTY_SPEAKS;
        break;
    case READY:
    case CONFIRMING:
        session->party.status = PARTY_LISTENS;
        break;
    case DESCRIBING:
        session->party.status = description_speaks(session->description) ? PARTY_SPEAKS : PARTY_LISTENS;
        break;
    case FINISHED:
        session->party.status = PARTY_DONE;
        break;
    }
}

struct log_fields session_log_fields(const struct session *session, const char *event,
                                     uint64_t version)
{
    const struct session_names *names = &session->options.names;

    return (struct log_fields){.event = event,
                               .database = names->database,
                               .client = names->client,
                               .instance = names->instance,
                               .peer = names->peer,
                               .version = version};
}

/* ---- HELLO ---- */

void session_rest(struct session *session)
{
    if (session->options.scans != NULL)
        local_copy_disconnect(&session->copy);
}

int session_read_book(struct session *session, struct sidecar_state *book, struct error *error)
{
    const struct local_copy *copy = &session->copy;
    struct sidecar *sidecar;
    int rc = sidecar_open(&sidecar, copy->real_path, session->options.timeout_ms, error);

    if (rc == 0)
        rc = sidecar_read(sidecar, book, error);
    sidecar_free(sidecar);
    return rc;
}

int session_borrow(struct session *session, int *got, struct error *error)
{
    struct scan_cache *scans = session->options.scans;
    struct local_copy *copy = &session->copy;
    struct scan_identity identity = {0};
    struct sidecar_state book = {0};
    struct page_scan *scan = NULL;
    int rc = session_read_book(session, &book, error);

    *got = 0;
    if (rc != 0)
        return rc;
    identity.is_stored = book.has_lineage;
    memcpy(identity.lineage, book.has_lineage ? book.lineage : session->lineage, LINEAGE_SIZE);
    memcpy(identity.hash_key, book.has_lineage ? book.hash_key : session->hash_key, HASH_KEY_SIZE);
    rc = scan_cache_get(scans, &session->scan_request, copy->real_path, &identity,
                        session->options.timeout_ms, &scan, error);
    if (rc == 0 && scan != NULL) {
        memcpy(session->lineage, identity.lineage, LINEAGE_SIZE);
        memcpy(session->hash_key, identity.hash_key, HASH_KEY_SIZE);
        local_copy_borrow(copy, scan, &book, scan_cache_prove, scans);
        *got = 1;
    }
    page_scan_free(scan);
    explicit_bzero(&identity, sizeof(identity));
    return rc;
}

/* What was borrowed is to be held until the replica has decided. */
static int hold_borrowed(struct local_copy *copy, struct error *error)
{
    int rc = local_copy_connect(copy, error);

    if (rc == 0)
        rc = local_copy_hold(copy, error);
    if (rc != ERR_MOVED)
        return rc;
    /* Somebody writes all the time: scan with the door shut, for this session alone. */
    error_init(error);
    return local_copy_scan_and_hold(copy, error);
}

/* Take over what the sessions of the daemon share. Where another one is still at it, the party
 * waits. */
static int look_shared(struct session *session, struct error *error)
{
    int got = 0;
    int rc = 0;

    session_move(session, GREETING);
    if (!session->opened) {
        rc = local_copy_name(&session->copy, session->options.path, session->options.timeout_ms,
                             error);
        session->opened = rc == 0;
    }
    if (rc == 0)
        rc = session_borrow(session, &got, error);
    if (rc != 0)
        return rc;
    if (!got)
        session->party.status = PARTY_WAITS;
    else if (session->hold)
        rc = hold_borrowed(&session->copy, error);
    else
        session_rest(session);
    return rc;
}

/* Open and scan, with the database's own key, or the one that is offered. */
static int look(struct session *session, struct error *error)
{
    struct local_copy *copy = &session->copy;
    struct sidecar_state book;
    int rc = 0;

    if (!session->opened) {
        rc = local_copy_open(copy, session->options.path, session->options.timeout_ms, error);
        session->opened = rc == 0;
    }
    if (rc == 0)
        rc = sidecar_read(copy->sidecar, &book, error);
    if (rc != 0)
        return rc;
    if (book.has_lineage) {
        memcpy(session->lineage, book.lineage, sizeof(session->lineage));
        memcpy(session->hash_key, book.hash_key, sizeof(session->hash_key));
    }
    rc = local_copy_scan(copy, session->hash_key, error);
    if (rc == 0 && session->hold)
        rc = local_copy_hold(copy, error);
    /* A writer came between the scan and the hold: scan with the door shut. */
    if (rc != ERR_MOVED)
        return rc;
    error_init(error);
    return local_copy_scan_and_hold(copy, error);
}

static int speak_hello(struct session *session, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_HELLO};
    struct message_hello *hello = &message.hello;
    const struct local_copy *copy = &session->copy;
    int rc = session->options.scans != NULL ? look_shared(session, error) : look(session, error);

    if (rc != 0 || session->party.status == PARTY_WAITS)
        return rc;
    hello->version = sidecar_version_of(&copy->book, copy->geometry.root);
    if (session->options.origin != NULL) {
        rc = session_copy_version(session, &hello->version, error);
        snprintf(hello->origin, sizeof(hello->origin), "%s", session->options.origin);
    }
    if (rc != 0)
        return rc;
    hello->protocol = PROTOCOL_VERSION;
    snprintf(hello->software, sizeof(hello->software), "lockstep %s", LOCKSTEP_VERSION);
    hello->flags = (copy->book.has_lineage ? 0 : HELLO_FRESH) |
                   (copy->state.is_wal ? HELLO_WAL : 0) | (copy->state.is_empty ? HELLO_EMPTY : 0) |
                   (session->options.may_pull ? HELLO_MAY_PULL : 0) |
                   (session->options.may_push ? HELLO_MAY_PUSH : 0);
    memcpy(hello->lineage, session->lineage, sizeof(hello->lineage));
    memcpy(hello->hash_key, session->hash_key, sizeof(hello->hash_key));
    hello->geometry = copy->geometry;
    hello->fence_token = copy->book.fence.token;
    session->report.version = hello->version;
    session->report.fence_token = hello->fence_token;
    session_move(session, READY);
    return message_encode(&message, out, error);
}

void session_greet_again(struct session *session)
{
    /* Where sessions share what is looked at, holding on to a snapshot is for when all else failed.
     */
    session->hold = session->options.scans == NULL || ++session->moves >= MOVES_MAX;
    session->passes_over = 1;
    session_move(session, GREETING);
}

/* ---- FENCE ---- */

/*
 * Store the token under the database's write lock: a push that is being committed with an older
 * token has the lock until it is through, so what the new holder pulls after this contains it, and
 * nothing older comes after it.
 */
static int hear_fence(struct session *session, const struct fence *fence, struct error *error)
{
    struct local_copy *copy = &session->copy;
    struct database_state state;
    int rc = 0;

    if (session->options.origin != NULL)
        return session_refuse_change(&session->options, error);
    if (!session->options.may_push)
        return error_set(error, ERR_NOT_ALLOWED,
                         "this link may not push, so it may not fence either, and `lockstep run` "
                         "needs both: log in with a key that may push");
    if (fence->token == 0)
        return error_set(error, ERR_PROTOCOL, "a fence needs a token");
    local_copy_let_go(copy);
    rc = local_copy_check_writable(copy, error);
    if (rc == 0 && copy->db != NULL)
        rc = database_begin_write(copy->db, &state, error);
    if (rc == 0)
        rc = sidecar_set_fence(copy->sidecar, fence, error);
    if (copy->db != NULL)
        database_end(copy->db);
    if (rc != 0)
        return error_wrap(error, "fencing %s", copy->path);
    session->report.is_fence_theirs = 1;
    session_move(session, GREETING);
    return 0;
}

/* ---- the page-version log ---- */

uint64_t session_history_bytes(const struct session *session)
{
    const struct geometry *geometry = &session->copy.geometry;
    uint64_t quarter = (uint64_t)geometry->page_size * geometry->page_count / 4;

    if (session->options.history_bytes >= 0)
        return (uint64_t)session->options.history_bytes;
    return quarter < HISTORY_MAX ? quarter : HISTORY_MAX;
}

int session_open_history(struct session *session, struct error *error)
{
    if (session->history != NULL)
        return 0;
    return history_open(&session->history, session->copy.real_path, session_history_bytes(session),
                        error);
}

/* ---- VERIFY ---- */

static int speak_digest(struct session *session, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_DIGEST};
    struct local_copy *copy = &session->copy;
    int rc;

    if (copy->db == NULL)
        return error_set(error, ERR_NO_DATABASE, "there is no database at %s", copy->path);
    rc = local_copy_hold(copy, error);
    if (rc == ERR_MOVED) {
        error_init(error);
        rc = local_copy_scan_and_hold(copy, error);
    }
    if (rc == 0)
        rc = database_digest(copy->db, message.digest.sha256, error);
    local_copy_let_go(copy);
    session_rest(session);
    if (rc != 0)
        return rc;
    message.digest.geometry = copy->geometry;
    session_move(session, READY);
    return message_encode(&message, out, error);
}

/* ---- the party ---- */

static int unexpected(const struct message *message, struct error *error)
{
    return error_set(error, ERR_PROTOCOL, "%s came at a time when it means nothing",
                     message_name(message->type));
}

static int hear_ready(struct session *session, const struct message *message, struct buffer *out,
                      struct error *error)
{
    int rc = session->options.scans != NULL ? local_copy_connect(&session->copy, error) : 0;

    if (rc != 0)
        return rc;
    session->passes_over = 0;
    switch (message->type) {
    case MESSAGE_PULL:
        return session_hear_pull(session, &message->pull, out, error);
    case MESSAGE_PUSH:
        return session_hear_push(session, &message->push, out, error);
    case MESSAGE_FENCE:
        return hear_fence(session, &message->fence, error);
    case MESSAGE_DESCRIBE:
        return session_hear_describe(session, &message->describe, error);
    case MESSAGE_HISTORY:
        return session_hear_history(session, &message->history, out, error);
    case MESSAGE_VERIFY:
        if (!session->options.may_pull)
            return error_set(error, ERR_NOT_ALLOWED,
                             "this link may not pull, so it may not verify either");
        session_move(session, DIGESTING);
        return 0;
    default:
        return unexpected(message, error);
    }
}

static int hear(struct party *party, const struct message *message, struct buffer *out,
                struct error *error)
{
    struct session *session = (struct session *)party;
    int rc;

    if (session->passes_over && (message->type == MESSAGE_CELLS || message->type == MESSAGE_HASHES))
        return 0;
    switch (session->stage) {
    case READY:
        return hear_ready(session, message, out, error);
    case SENDING:
        return session_hear_description(session, message, error);
    case CONFIRMING:
        return message->type == MESSAGE_RECEIPT ? session_hear_receipt(session, &message->receipt)
                                                : unexpected(message, error);
    case RECEIVING:
        rc = receiver_hear(session->receiver, message, error);
        session_move(session,
                     receiver_status(session->receiver) == PARTY_DONE ? APPLYING : RECEIVING);
        return rc;
    case DESCRIBING:
        return session_hear_describing(session, message, out, error);
    default:
        return unexpected(message, error);
    }
}

static int speak(struct party *party, struct buffer *out, struct error *error)
{
    struct session *session = (struct session *)party;
    int rc;

    switch (session->stage) {
    case GREETING:
        return speak_hello(session, out, error);
    case SENDING:
        return session_speak_pages(session, out, error);
    case RECEIVING:
        rc = receiver_speak(session->receiver, out, error);
        session_move(session, RECEIVING);
        return rc;
    case APPLYING:
        return session_speak_apply(session, out, error);
    case DIGESTING:
        return speak_digest(session, out, error);
    case DESCRIBING:
        return session_speak_description(session, out, error);
    default:
        return error_set(error, ERR_INTERNAL, "the session has nothing to say");
    }
}

/* The database is closed here, and not by session_free: copying a large push out of the WAL takes a while. */
static void clear_up(struct party *party)
{
    struct session *session = (struct session *)party;

    if (session->opened)
        local_copy_close_database(&session->copy);
}

static const struct party_methods methods = {hear, speak, clear_up};

int session_new(struct session **session, const struct session_options *options,
                struct error *error)
{
    struct session *new = calloc(1, sizeof(*new));

    *session = NULL;
    if (new == NULL || (new->options.path = strdup(options->path)) == NULL ||
        (options->lock_url != NULL &&
         (new->options.lock_url = strdup(options->lock_url)) == NULL)) {
        if (new != NULL)
            free((char *)new->options.path);
        free(new);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    new->party.methods = &methods;
    new->options.names = options->names;
    new->options.may_pull = options->may_pull;
    new->options.may_push = options->may_push && options->origin == NULL;
    new->options.origin = options->origin;
    new->options.timeout_ms = options->timeout_ms;
    new->options.level = options->level;
    new->options.level_max = options->level_max;
    new->options.history_bytes = options->history_bytes;
    new->options.scans = options->scans;
    new->options.streams = options->streams;
    new->scan_request.ticket.on_ring = options->on_wake;
    new->scan_request.ticket.user = options->wake_user;
    new->reader.ticket = new->scan_request.ticket;
    random_bytes(new->lineage, sizeof(new->lineage));
    random_bytes(new->hash_key, sizeof(new->hash_key));
    session_move(new, GREETING);
    *session = new;
    return 0;
}

void session_leave(struct session *session)
{
    if (session->options.scans == NULL)
        return;
    scan_cache_leave(session->options.scans, &session->scan_request);
    stream_leave(session->options.streams, &session->reader);
}

void session_free(struct session *session)
{
    if (session == NULL)
        return;
    receiver_free(session->receiver);
    description_free(session->description);
    session_stop_sending(session);
    if (session->opened)
        local_copy_release(&session->copy);
    explicit_bzero(session->hash_key, sizeof(session->hash_key));
    free((char *)session->options.path);
    free((char *)session->options.lock_url);
    free(session);
}

const struct session_report *session_report(const struct session *session)
{
    return &session->report;
}

int session_is_done(const struct session *session)
{
    return session->stage == FINISHED;
}

struct party *session_party(struct session *session)
{
    return &session->party;
}
