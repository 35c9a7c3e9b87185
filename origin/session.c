/*
 *   GREETING --HELLO--> READY --PULL--> SENDING --END--> CONFIRMING --RECEIPT--> done
 *      ^                 | |
 *      |                 | +--PUSH--> RECEIVING --END--> APPLYING --RECEIPT--> done
 *      +--FENCE, or the database changed since the scan
 *                        +--VERIFY--> DIGESTING --DIGEST--> READY
 *
 * HELLO is said again whenever what the last one told does not hold any more; the replica then starts anew with it. What it said
 * of its pages before it heard that is on its way still, and is passed over.
 */
#include "origin/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "origin/lease_guard.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/base/random.h"
#include "protocol/sync/history.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/party.h"
#include "protocol/sync/receiver.h"
#include "protocol/sync/sender.h"
#include "protocol/wire/message.h"

/* The largest page-version log that is kept unasked. */
#define HISTORY_MAX (1ull << 30)

enum stage { GREETING, READY, SENDING, CONFIRMING, RECEIVING, APPLYING, DIGESTING, FINISHED };

struct session {
    struct party party;
    struct session_options options; /* path and lock_url are owned */
    enum stage stage;
    int opened;
    int hold;                       /* GREETING: keep the snapshot in every journal mode */
    int passes_over;                /* CELLS and HASHES come that belong to a request from before the last HELLO */
    struct local_copy copy;
    uint8_t lineage[LINEAGE_SIZE];  /* the database's, or what is offered to one that has none */
    uint8_t hash_key[HASH_KEY_SIZE];
    struct history *history;        /* NULL until needed */
    struct sender *sender;
    struct receiver *receiver;
    struct message_push push;       /* the request at hand */
    struct push_record record;
};

static void move_to(struct session *session, enum stage stage)
{
    session->stage = stage;
    switch (stage) {
    case SENDING:
        session->party.status = sender_status(session->sender);
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
    case FINISHED:
        session->party.status = PARTY_DONE;
        break;
    }
}

/* ---- HELLO ---- */

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
    if (rc == ERR_MOVED)
        rc = local_copy_scan_and_hold(copy, error);
    return rc;
}

static int speak_hello(struct session *session, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_HELLO};
    struct message_hello *hello = &message.hello;
    const struct local_copy *copy = &session->copy;
    int rc = look(session, error);

    if (rc != 0)
        return rc;
    hello->protocol = PROTOCOL_VERSION;
    snprintf(hello->software, sizeof(hello->software), "lockstep %s", LOCKSTEP_VERSION);
    hello->flags = (copy->book.has_lineage ? 0 : HELLO_FRESH) | (copy->state.is_wal ? HELLO_WAL : 0) |
                   (copy->state.is_empty ? HELLO_EMPTY : 0) | (session->options.may_pull ? HELLO_MAY_PULL : 0) |
                   (session->options.may_push ? HELLO_MAY_PUSH : 0);
    memcpy(hello->lineage, session->lineage, sizeof(hello->lineage));
    memcpy(hello->hash_key, session->hash_key, sizeof(hello->hash_key));
    hello->version = sidecar_version_of(&copy->book, copy->geometry.root);
    hello->geometry = copy->geometry;
    hello->fence_token = copy->book.fence.token;
    move_to(session, READY);
    return message_encode(&message, out, error);
}

/* What was scanned does not hold any more: scan again and keep the door shut until the replica has decided. */
static void greet_again(struct session *session)
{
    session->hold = 1;
    session->passes_over = 1;
    move_to(session, GREETING);
}

/* ---- FENCE ---- */

/*
 * Store the token under the database's write lock: a push that is being committed with an older token has the lock until it is
 * through, so what the new holder pulls after this contains it, and nothing older comes after it.
 */
static int hear_fence(struct session *session, const struct fence *fence, struct error *error)
{
    struct local_copy *copy = &session->copy;
    struct database_state state;
    int rc = 0;

    if (!session->options.may_push)
        return error_set(error, ERR_NOT_ALLOWED, "this link may not push, so it may not fence either, and `lockstep run` needs both: log in with a key that may push");
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
    move_to(session, GREETING);
    return 0;
}

/* ---- PULL ---- */

static int check_pull(struct session *session, const struct message_pull *pull, struct error *error)
{
    const struct local_copy *copy = &session->copy;

    if (!session->options.may_pull)
        return error_set(error, ERR_NOT_ALLOWED, "this link may not pull");
    if (copy->geometry.page_count == 0)
        return error_set(error, ERR_NO_DATABASE, "there is no database at %s, or it is empty", copy->path);
    if (pull->geometry.page_count > 0 && pull->geometry.page_size != copy->geometry.page_size)
        return error_set(error, ERR_PAGE_SIZE, "pages of %u bytes cannot be compared with pages of %u bytes",
                         copy->geometry.page_size, pull->geometry.page_size);
    return 0;
}

static int open_history(struct session *session, struct error *error)
{
    const struct geometry *geometry = &session->copy.geometry;
    uint64_t quarter = (uint64_t)geometry->page_size * geometry->page_count / 4;
    int64_t asked = session->options.history_bytes;

    if (session->history != NULL)
        return 0;
    return history_open(&session->history, session->copy.real_path,
                        asked >= 0               ? (uint64_t)asked
                        : quarter < HISTORY_MAX ? quarter
                                                 : HISTORY_MAX,
                        error);
}

/* For the sender: a page that the replica still has. */
static int find_old_page(void *arg, uint32_t pgno, uint64_t hash_low, uint8_t *page, int *known, struct error *error)
{
    struct session *session = arg;

    (void)error;
    *known = history_find(session->history, pgno, hash_low, session->copy.geometry.page_size, page);
    return 0;
}

static int start_sending(struct session *session, const struct message_pull *pull, uint64_t version, struct error *error)
{
    const struct sender_options options = {.theirs = pull->geometry,
                                           .seed = pull->seed,
                                           .build_on_nothing = (pull->flags & SYNC_PARTIAL) != 0,
                                           .old = {find_old_page, session},
                                           .version = version,
                                           .level = session->options.level};
    int rc = open_history(session, error);

    return rc != 0 ? rc : sender_new(&session->sender, &session->copy, &options, error);
}

static int hear_pull(struct session *session, const struct message_pull *pull, struct buffer *out, struct error *error)
{
    struct local_copy *copy = &session->copy;
    struct message message = {.type = MESSAGE_END};
    uint64_t version = 0;
    int rc = check_pull(session, pull, error);

    if (rc == 0)
        rc = local_copy_hold(copy, error);
    if (rc == ERR_MOVED) {
        error_init(error);
        greet_again(session);
        return 0;
    }
    if (rc == 0)
        rc = sidecar_join(copy->sidecar, session->lineage, session->hash_key, 0, error);
    if (rc == 0)
        rc = sidecar_observe(copy->sidecar, copy->geometry.root, &version, error);
    if (rc != 0)
        return rc;
    log_line(LOG_INFO, "%s pulls version %llu of %s", pull->instance, (unsigned long long)version, copy->path);
    if (memcmp(pull->geometry.root, copy->geometry.root, ROOT_SIZE) == 0) {
        message.end.geometry = copy->geometry;
        message.end.version = version;
        move_to(session, CONFIRMING);
        local_copy_let_go(copy);
        return message_encode(&message, out, error);
    }
    /* In rollback mode writers are held up only while pages are read: the sender holds the snapshot again then. */
    if (!copy->state.is_wal && !session->hold)
        local_copy_let_go(copy);
    rc = start_sending(session, pull, version, error);
    if (rc == 0)
        move_to(session, SENDING);
    return rc;
}

static int speak_pages(struct session *session, struct buffer *out, struct error *error)
{
    int rc = sender_speak(session->sender, out, error);

    if (rc == ERR_MOVED) {
        error_init(error);
        sender_free(session->sender);
        session->sender = NULL;
        greet_again(session);
        return 0;
    }
    if (sender_status(session->sender) == PARTY_DONE)
        local_copy_let_go(&session->copy);
    move_to(session, sender_status(session->sender) == PARTY_DONE ? CONFIRMING : SENDING);
    return rc;
}

/* The replica says that it has what was sent. For the log only: it is the replica that knows. */
static int hear_receipt(struct session *session, const struct message_receipt *receipt)
{
    log_line(LOG_INFO, "version %llu of %s arrived", (unsigned long long)receipt->version, session->copy.path);
    move_to(session, FINISHED);
    return 0;
}

/* ---- PUSH ---- */

static int speak_receipt(struct session *session, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_RECEIPT};

    memcpy(message.receipt.lineage, session->lineage, LINEAGE_SIZE);
    memcpy(message.receipt.push_id, session->record.push_id, LINEAGE_SIZE);
    memcpy(message.receipt.root, session->record.new_root, ROOT_SIZE);
    message.receipt.version = session->record.version;
    move_to(session, FINISHED);
    return message_encode(&message, out, error);
}

/* An earlier push may have died between its two commits: find out under the write lock what became of it. */
static int settle(struct session *session, struct error *error)
{
    struct local_copy *copy = &session->copy;
    int rc;

    if (!copy->book.has_intent)
        return 0;
    if (copy->db != NULL) {
        rc = local_copy_lock(copy, error);
        if (rc != 0)
            return rc;
    }
    rc = sidecar_settle(copy->sidecar, copy->geometry.root, error);
    if (copy->db != NULL)
        database_end(copy->db);
    if (rc == 0)
        rc = sidecar_read(copy->sidecar, &copy->book, error);
    return rc;
}

/* An origin without a lineage takes the replica's, if its own content is nothing, the same, or what the replica's was made from. */
static int take_lineage(struct session *session, struct error *error)
{
    const struct message_push *push = &session->push;
    struct local_copy *copy = &session->copy;
    int rc;

    memcpy(session->lineage, push->lineage, sizeof(session->lineage));
    memcpy(session->hash_key, push->hash_key, sizeof(session->hash_key));
    rc = local_copy_scan(copy, session->hash_key, error);
    if (rc != 0 || copy->state.is_empty || (push->flags & (SYNC_ADOPT | SYNC_FORCE_RESET | SYNC_ANY_BASE)) ||
        memcmp(push->geometry.root, copy->geometry.root, ROOT_SIZE) == 0 ||
        memcmp(push->base_root, copy->geometry.root, ROOT_SIZE) == 0)
        return rc;
    return error_set(error, ERR_FOREIGN_LINEAGE,
                     "%s was never synced with the replica's database and has other content; to replace it, give --adopt",
                     copy->path);
}

/* Whether the lineages allow the push. */
static int check_lineage(struct session *session, struct error *error)
{
    static const uint8_t none[LINEAGE_SIZE];
    const struct message_push *push = &session->push;
    const struct local_copy *copy = &session->copy;
    int replica_has_one = memcmp(push->lineage, none, LINEAGE_SIZE) != 0;
    int same_content = memcmp(push->geometry.root, copy->geometry.root, ROOT_SIZE) == 0;
    int forced = (push->flags & SYNC_FORCE_RESET) != 0;

    if ((push->flags & SYNC_EMPTY) && !copy->state.is_empty && !forced)
        return error_set(error, ERR_FOREIGN_LINEAGE,
                         "the replica's database has no tables and would replace one that has; to do that all the same, "
                         "give --force-reset");
    if (!copy->book.has_lineage)
        return replica_has_one ? take_lineage(session, error) : 0;
    if (memcmp(push->lineage, session->lineage, LINEAGE_SIZE) == 0 || forced)
        return 0;
    if (replica_has_one)
        return error_set(error, ERR_FOREIGN_LINEAGE,
                         "the replica's database is of another lineage: it never came from %s; to replace that, give "
                         "--force-reset",
                         copy->path);
    if (same_content || copy->state.is_empty || (push->flags & SYNC_ADOPT))
        return 0;
    return error_set(error, ERR_FOREIGN_LINEAGE,
                     "the replica's database never came from %s and has other content; to join them, give --adopt",
                     copy->path);
}

static int check_base(const struct session *session, struct error *error)
{
    const struct message_push *push = &session->push;
    const struct local_copy *copy = &session->copy;
    uint64_t version = sidecar_version_of(&copy->book, copy->geometry.root);

    if ((!(push->flags & SYNC_DIRECT) && ((push->flags & (SYNC_ANY_BASE | SYNC_FORCE_RESET)) ||
                                          (!copy->book.has_lineage && copy->state.is_empty))) ||
        sidecar_is_base(&copy->book, push->base_root, copy->geometry.root) ||
        memcmp(push->geometry.root, copy->geometry.root, ROOT_SIZE) == 0)
        return 0;
    if (copy->geometry.page_count == 0)
        return error_set(error, ERR_STALE_BASE,
                         "there is no database at %s any more; to put this copy there, give --force-reset", copy->path);
    return error_set(error, ERR_STALE_BASE,
                     "%s is at version %llu now and the replica's copy was made from version %llu; nothing was changed; "
                     "pull again (with --discard to give up the local changes) and do the work anew",
                     copy->path, (unsigned long long)version, (unsigned long long)push->base_version);
}

static int check_lease(const struct session *session, struct error *error)
{
    return session->options.lock_url != NULL ? lease_guard_check(session->options.lock_url, &session->push.fence, error) : 0;
}

static int check_push(struct session *session, struct error *error)
{
    const struct message_push *push = &session->push;
    struct local_copy *copy = &session->copy;
    int rc;

    rc = check_lineage(session, error);
    if (rc == 0)
        rc = sidecar_check_fence(&copy->book, &push->fence, error);
    if (rc == 0)
        rc = check_lease(session, error);
    if (rc != 0)
        return rc;
    if ((push->flags & SYNC_WAL_ONLY) && copy->geometry.page_count > 0 && !copy->state.is_wal)
        return error_set(error, ERR_USAGE, "%s is not in WAL mode, and --wal-only was given", copy->path);
    rc = check_base(session, error);
    if (rc != 0)
        return rc;
    if (copy->geometry.page_count > 0 && copy->geometry.page_size != push->geometry.page_size &&
        !(push->flags & SYNC_REPLACE) && !copy->state.is_empty)
        return error_set(error, ERR_PAGE_SIZE,
                         "%s has pages of %u bytes, the replica's copy has pages of %u; to rebuild the origin's file with "
                         "the replica's page size first, give --replace",
                         copy->path, copy->geometry.page_size, push->geometry.page_size);
    return 0;
}

/* Nothing differs: the push is done as it stands. */
static int accept_unchanged(struct session *session, struct buffer *out, struct error *error)
{
    struct local_copy *copy = &session->copy;
    int rc = sidecar_join(copy->sidecar, session->lineage, session->hash_key, 0, error);

    session->record.version = sidecar_version_of(&copy->book, copy->geometry.root);
    if (rc == 0)
        rc = sidecar_set_fence(copy->sidecar, &session->record.fence, error);
    if (rc == 0)
        rc = sidecar_finish_push(copy->sidecar, &session->record, error);
    return rc != 0 ? rc : speak_receipt(session, out, error);
}

/* The file gets the replica's page size, in a transaction of its own that keeps its content; then all starts anew. */
static int change_page_size(struct session *session, struct error *error)
{
    int rc = local_copy_change_page_size(&session->copy, session->push.geometry.page_size, error);

    local_copy_let_go(&session->copy);
    if (rc == 0)
        move_to(session, GREETING);
    return rc;
}

static void fill_record(struct session *session)
{
    const struct message_push *push = &session->push;
    struct push_record *record = &session->record;

    memset(record, 0, sizeof(*record));
    memcpy(record->push_id, push->push_id, sizeof(record->push_id));
    memcpy(record->old_root, session->copy.geometry.root, sizeof(record->old_root));
    memcpy(record->new_root, push->geometry.root, sizeof(record->new_root));
    record->fence = push->fence;
    snprintf(record->instance, sizeof(record->instance), "%s", push->instance);
}

static int begin_commit(void *arg, struct error *error)
{
    struct session *session = arg;
    int rc = sidecar_join(session->copy.sidecar, session->lineage, session->hash_key, 0, error);

    return rc != 0 ? rc : sidecar_begin_push(session->copy.sidecar, &session->record, error);
}

/* For the receiver: a page that the push replaces goes to the page-version log. */
static void keep_old_page(void *arg, uint32_t pgno, const uint8_t *page, const struct page_hash *hash)
{
    struct session *session = arg;

    history_add(session->history, pgno, hash->low, page);
}

static int start_receiving(struct session *session, struct error *error)
{
    const struct receiver_hooks hooks = {.replace = keep_old_page, .before_commit = begin_commit, .arg = session};
    struct local_copy *copy = &session->copy;
    int describe = !(session->push.flags & SYNC_DIRECT);
    int rc = 0;

    /* Writers must not wait for the transfer. */
    if (!copy->state.is_wal)
        local_copy_let_go(copy);
    /* The replica saw no pages in HELLO and sends all of them: nothing to go on from. */
    if (copy->geometry.page_count == 0)
        rc = local_copy_open_partial(copy, session->push.geometry.page_size, 0, error);
    if (rc == 0)
        rc = open_history(session, error);
    if (rc == 0) {
        history_begin(session->history, sidecar_version_of(&copy->book, copy->geometry.root) + 1, copy->geometry.page_size);
        rc = receiver_new(&session->receiver, copy, &session->push.geometry, session->push.seed, describe, &hooks, error);
    }
    if (rc == 0)
        move_to(session, RECEIVING);
    return rc;
}

static int hear_push(struct session *session, const struct message_push *push, struct buffer *out, struct error *error)
{
    struct local_copy *copy = &session->copy;
    int known = 0;
    int rc;

    if (!session->options.may_push)
        return error_set(error, ERR_NOT_ALLOWED, "this link may not push");
    if (push->geometry.page_count == 0)
        return error_set(error, ERR_PROTOCOL, "a push of no pages is none");
    session->push = *push;
    rc = settle(session, error);
    if (rc == 0)
        rc = sidecar_find_push(copy->sidecar, push->push_id, &session->record, &known, error);
    if (rc != 0)
        return rc;
    if (known && memcmp(session->record.new_root, push->geometry.root, ROOT_SIZE) == 0)
        return speak_receipt(session, out, error);
    rc = check_push(session, error);
    if (rc != 0)
        return rc;
    fill_record(session);
    if (memcmp(push->geometry.root, copy->geometry.root, ROOT_SIZE) == 0)
        return accept_unchanged(session, out, error);
    if (copy->geometry.page_count > 0 && copy->geometry.page_size != push->geometry.page_size)
        return change_page_size(session, error);
    return start_receiving(session, error);
}

static int speak_apply(struct session *session, struct buffer *out, struct error *error)
{
    int rc = check_lease(session, error); /* once more: the pages may have been hours on their way */

    if (rc == 0)
        rc = receiver_apply(session->receiver, error);
    if (rc == ERR_MOVED)
        error->code = rc = ERR_STALE_BASE;
    if (rc == 0)
        rc = sidecar_finish_push(session->copy.sidecar, &session->record, error);
    if (rc != 0)
        return rc;
    history_end(session->history);
    log_line(LOG_INFO, "%s pushed version %llu of %s: %u pages", session->record.instance,
             (unsigned long long)session->record.version, session->copy.path, receiver_pages(session->receiver));
    return speak_receipt(session, out, error);
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
    if (rc != 0)
        return rc;
    message.digest.geometry = copy->geometry;
    move_to(session, READY);
    return message_encode(&message, out, error);
}

/* ---- the party ---- */

static int unexpected(const struct message *message, struct error *error)
{
    return error_set(error, ERR_PROTOCOL, "%s came at a time when it means nothing", message_name(message->type));
}

static int hear_ready(struct session *session, const struct message *message, struct buffer *out, struct error *error)
{
    session->passes_over = 0;
    switch (message->type) {
    case MESSAGE_PULL:
        return hear_pull(session, &message->pull, out, error);
    case MESSAGE_PUSH:
        return hear_push(session, &message->push, out, error);
    case MESSAGE_FENCE:
        return hear_fence(session, &message->fence, error);
    case MESSAGE_VERIFY:
        if (!session->options.may_pull)
            return error_set(error, ERR_NOT_ALLOWED, "this link may not pull, so it may not verify either");
        move_to(session, DIGESTING);
        return 0;
    default:
        return unexpected(message, error);
    }
}

static int hear(struct party *party, const struct message *message, struct buffer *out, struct error *error)
{
    struct session *session = (struct session *)party;
    int rc;

    if (session->passes_over && (message->type == MESSAGE_CELLS || message->type == MESSAGE_HASHES))
        return 0;
    switch (session->stage) {
    case READY:
        return hear_ready(session, message, out, error);
    case SENDING:
        rc = sender_hear(session->sender, message, error);
        move_to(session, SENDING);
        return rc;
    case CONFIRMING:
        return message->type == MESSAGE_RECEIPT ? hear_receipt(session, &message->receipt) : unexpected(message, error);
    case RECEIVING:
        rc = receiver_hear(session->receiver, message, error);
        move_to(session, receiver_status(session->receiver) == PARTY_DONE ? APPLYING : RECEIVING);
        return rc;
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
        return speak_pages(session, out, error);
    case RECEIVING:
        rc = receiver_speak(session->receiver, out, error);
        move_to(session, RECEIVING);
        return rc;
    case APPLYING:
        return speak_apply(session, out, error);
    case DIGESTING:
        return speak_digest(session, out, error);
    default:
        return error_set(error, ERR_INTERNAL, "the session has nothing to say");
    }
}

static const struct party_methods methods = {hear, speak};

int session_new(struct session **session, const struct session_options *options, struct error *error)
{
    struct session *new = calloc(1, sizeof(*new));

    *session = NULL;
    if (new == NULL || (new->options.path = strdup(options->path)) == NULL ||
        (options->lock_url != NULL && (new->options.lock_url = strdup(options->lock_url)) == NULL)) {
        if (new != NULL)
            free((char *)new->options.path);
        free(new);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    new->party.methods = &methods;
    new->options.may_pull = options->may_pull;
    new->options.may_push = options->may_push;
    new->options.timeout_ms = options->timeout_ms;
    new->options.level = options->level;
    new->options.history_bytes = options->history_bytes;
    random_bytes(new->lineage, sizeof(new->lineage));
    random_bytes(new->hash_key, sizeof(new->hash_key));
    move_to(new, GREETING);
    *session = new;
    return 0;
}

void session_free(struct session *session)
{
    if (session == NULL)
        return;
    receiver_free(session->receiver);
    sender_free(session->sender);
    history_free(session->history);
    if (session->opened)
        local_copy_release(&session->copy);
    explicit_bzero(session->hash_key, sizeof(session->hash_key));
    free((char *)session->options.path);
    free((char *)session->options.lock_url);
    free(session);
}

struct party *session_party(struct session *session)
{
    return &session->party;
}
