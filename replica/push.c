/*
 *   SCANNING --> AWAITING_HELLO --HELLO, PUSH--> SENDING --END--> AWAITING_RECEIPT --RECEIPT--> done
 *                                      \--------------------------^        (nothing differs)
 *
 * The receipt may come before everything was sent: the origin knew the push id. A HELLO that comes instead of an answer says that the
 * origin's file was rebuilt with our page size: everything is decided anew.
 */
#include "replica/push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/random.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/meter.h"
#include "protocol/sync/party.h"
#include "protocol/sync/sender.h"
#include "replica/guards.h"

#define GREETINGS_MAX 3

enum stage { SCANNING, AWAITING_HELLO, SENDING, AWAITING_RECEIPT, FINISHED };

struct push {
    struct party party;
    struct sync_options options;
    struct local_copy *copy; /* borrowed */
    enum stage stage;
    int scanned;
    int greetings;
    int any_base;            /* the origin is to take it on top of whatever it announced in HELLO */
    struct message_hello hello;
    struct message_push request;
    struct page_index base;  /* what the origin has, where that is the remembered base; else empty */
    struct kept_base *kept;  /* the base's pages; NULL where they are not kept */
    struct sender *sender;
    struct sync_result result;
};

static void move_to(struct push *push, enum stage stage)
{
    push->stage = stage;
    switch (stage) {
    case SCANNING:
        meter_enter(push->options.meter, METER_SCANNING);
        push->party.status = PARTY_SPEAKS;
        break;
    case AWAITING_HELLO:
        meter_enter(push->options.meter, METER_CONNECTING);
        push->party.status = PARTY_LISTENS;
        break;
    case AWAITING_RECEIPT:
        meter_enter(push->options.meter, METER_CONFIRMING);
        push->party.status = PARTY_LISTENS;
        break;
    case SENDING:
        push->party.status = sender_status(push->sender);
        break;
    case FINISHED:
        push->party.status = PARTY_DONE;
        break;
    }
}

static int speak_scan(struct push *push, struct error *error)
{
    struct local_copy *copy = push->copy;
    int rc = sidecar_read(copy->sidecar, &copy->book, error);

    if (rc == 0 && copy->db == NULL)
        rc = error_set(error, ERR_NO_DATABASE, "there is no database at %s to push", copy->path);
    if (rc == 0 && copy->book.has_lineage)
        rc = greeting_scan(copy, copy->book.hash_key, &push->scanned, error);
    move_to(push, AWAITING_HELLO);
    return rc;
}

/* ---- the answer to HELLO ---- */

/*
 * Hash the local copy with the key that the origin will use, and find out whether the contents are equal. An origin without a
 * lineage hashed with the key that it offers; it will take ours if we have one.
 */
static int compare(struct push *push, enum relation relation, int *equal, struct error *error)
{
    struct local_copy *copy = push->copy;
    uint8_t own_key[HASH_KEY_SIZE];
    int rc;

    *equal = 0;
    memcpy(own_key, copy->book.hash_key, sizeof(own_key));
    if (relation != NO_LINEAGE_THERE || push->hello.geometry.page_count > 0) {
        rc = greeting_scan(copy, push->hello.hash_key, &push->scanned, error);
        if (rc != 0)
            return rc;
        *equal = greeting_is_equal(&push->hello, copy);
    }
    if (relation != NO_LINEAGE_THERE)
        return 0;
    rc = greeting_scan(copy, own_key, &push->scanned, error);
    explicit_bzero(own_key, sizeof(own_key));
    return rc;
}

static void fill_request(struct push *push, enum relation relation)
{
    const struct sync_options *options = &push->options;
    const struct local_copy *copy = push->copy;
    const struct sidecar_state *book = &copy->book;
    struct message_push *request = &push->request;

    memset(request, 0, sizeof(*request));
    request->flags = (options->adopt || options->any_base ? SYNC_ADOPT : 0) | (options->force_reset ? SYNC_FORCE_RESET : 0) |
                     (push->any_base ? SYNC_ANY_BASE : 0) | (options->wal_only ? SYNC_WAL_ONLY : 0) |
                     (options->replace ? SYNC_REPLACE : 0) | (copy->state.is_empty ? SYNC_EMPTY : 0) |
                     (copy->state.is_wal ? SYNC_WAL : 0) | (push->base.page_count > 0 ? SYNC_DIRECT : 0) | (options->dry_run ? SYNC_DRY_RUN : 0);
    if (relation != NO_LINEAGE_HERE) {
        memcpy(request->lineage, book->lineage, sizeof(request->lineage));
        memcpy(request->hash_key, book->hash_key, sizeof(request->hash_key));
    }
    if (book->has_base)
        memcpy(request->base_root, book->base_root, sizeof(request->base_root));
    request->base_version = book->base_version;
    if (options->has_over) {
        memcpy(request->base_root, options->over_root, sizeof(request->base_root));
        request->base_version = options->over_version;
    }
    request->geometry = copy->geometry;
    request->fence = options->fence;
    random_bytes(request->seed, sizeof(request->seed));
    snprintf(request->instance, sizeof(request->instance), "%s", options->instance);
    if (book->has_pending && memcmp(book->pending_root, copy->geometry.root, ROOT_SIZE) == 0)
        memcpy(request->push_id, book->pending_id, sizeof(request->push_id));
    else
        random_bytes(request->push_id, sizeof(request->push_id));
}

/* For the sender: a page of the base. */
static int find_base_page(void *arg, uint32_t pgno, uint64_t hash_low, const struct page_version *now, uint8_t *page, int *known,
                          struct error *error)
{
    const struct push *push = arg;

    (void)hash_low;
    (void)now;
    (void)error;
    *known = push->kept != NULL && kept_base_read_page(push->kept, pgno, page);
    return 0;
}

/*
 * Where the origin has exactly the base, its page hashes are in the sidecar: then what differs is known, and the pages can follow
 * the request at once.
 */
static int load_base(struct push *push, struct error *error)
{
    const struct local_copy *copy = push->copy;
    const struct geometry *theirs = &push->hello.geometry;
    int proven = 0;
    int rc = 0;

    page_index_release(&push->base);
    kept_base_free(push->kept);
    push->kept = NULL;
    if (copy->book.has_base && theirs->page_count > 0 && memcmp(copy->book.base_root, theirs->root, ROOT_SIZE) == 0 &&
        memcmp(copy->hash_key, copy->book.hash_key, HASH_KEY_SIZE) == 0)
        rc = sidecar_read_base(copy->sidecar, theirs->root, &push->base, &proven, error);
    if (rc == 0 && proven && push->options.base != KEPT_BASE_NONE)
        kept_base_open(&push->kept, copy->real_path, theirs->page_size);
    return rc;
}

static int start_sending(struct push *push, const struct geometry *theirs, struct error *error)
{
    const struct sender_options options = {.theirs = *theirs,
                                           .is_dry = push->options.dry_run,
                                           .seed = push->request.seed,
                                           .known = push->base.page_count > 0 ? &push->base : NULL,
                                           .old = {find_base_page, push, 0},
                                           .level = push->options.level,
                                           .meter = push->options.meter};
    int rc;

    meter_enter(push->options.meter, METER_FINDING);
    rc = sender_new(&push->sender, push->copy, &options, error);

    if (rc == 0)
        move_to(push, SENDING);
    return rc;
}

/* The same, but the pages are only counted; where nothing differs there is nothing to count. */
static int say_dry_push(struct push *push, int equal, struct buffer *out, struct error *error)
{
    static const struct geometry none;
    struct message message = {.type = MESSAGE_PUSH, .push = push->request};
    struct message end = {.type = MESSAGE_END, .end = {.geometry = push->copy->geometry}};
    const struct geometry *theirs = &push->hello.geometry;
    int rc = message_encode(&message, out, error);

    if (rc != 0)
        return rc;
    if (equal) {
        move_to(push, AWAITING_RECEIPT);
        return message_encode(&end, out, error);
    }
    push->result.is_whole = theirs->page_count == 0 || theirs->page_size != push->copy->geometry.page_size;
    return start_sending(push, push->result.is_whole ? &none : theirs, error);
}

static int say_push(struct push *push, enum relation relation, int equal, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_PUSH};
    const struct geometry theirs = push->hello.geometry;
    struct local_copy *copy = push->copy;
    int rc;

    rc = equal ? 0 : load_base(push, error);
    if (rc != 0)
        return rc;
    fill_request(push, relation);
    if (push->options.dry_run)
        return say_dry_push(push, equal, out, error);
    rc = sidecar_set_pending(copy->sidecar, push->request.push_id, copy->geometry.root, error);
    if (rc != 0)
        return rc;
    message.push = push->request;
    rc = message_encode(&message, out, error);
    if (rc != 0)
        return rc;
    if (equal || (theirs.page_count > 0 && theirs.page_size != copy->geometry.page_size)) {
        move_to(push, AWAITING_RECEIPT);
        return 0;
    }
    return start_sending(push, &theirs, error);
}

static int hear_hello(struct push *push, const struct message_hello *hello, struct buffer *out, struct error *error)
{
    struct guards guards = {.hello = hello, .copy = push->copy, .options = &push->options};
    int rc;

    if (push->greetings++ == GREETINGS_MAX)
        return error_set(error, ERR_MOVED, "the origin's database changed again and again while it was being read");
    push->any_base = 0;
    push->hello = *hello;
    sender_free(push->sender);
    push->sender = NULL;
    rc = greeting_check_protocol(hello, error);
    if (rc != 0)
        return rc;
    guards.relation = greeting_relation(hello, push->copy);
    meter_enter(push->options.meter, METER_SCANNING);
    rc = compare(push, guards.relation, &guards.is_equal, error);
    if (rc == 0)
        rc = guards_check_push(&guards, &push->any_base, error);
    return rc != 0 ? rc : say_push(push, guards.relation, guards.is_equal, out, error);
}

/* ---- the receipt ---- */

/* The kept base gets the pages that the origin got. Where they cannot be read any more, their hashes will tell. */
static void update_kept_base(struct push *push)
{
    struct local_copy *copy = push->copy;
    const struct page_hash *ours = copy->index.hashes;
    uint8_t *page = malloc(copy->geometry.page_size);
    struct error error = {0};

    if (page != NULL && push->kept != NULL && local_copy_hold(copy, &error) == 0) {
        for (uint32_t pgno = 1; pgno <= copy->geometry.page_count; pgno++) {
            if (pgno <= push->base.page_count && memcmp(&ours[pgno - 1], &push->base.hashes[pgno - 1], sizeof(*ours)) == 0)
                continue;
            if (database_read_page(copy->db, pgno, page, &error) != 0)
                break;
            kept_base_write_page(push->kept, pgno, page);
        }
        kept_base_truncate(push->kept, copy->geometry.page_count);
    }
    free(page);
}

/* The origin guarded, and changed nothing. */
static int hear_dry_receipt(struct push *push, const struct message_receipt *receipt)
{
    push->result.geometry = push->request.geometry;
    push->result.version = receipt->version + (push->sender != NULL);
    push->result.pages = push->sender != NULL ? sender_pages(push->sender) : 0;
    push->result.bytes = push->sender != NULL ? sender_bytes(push->sender) : 0;
    push->result.is_dry = 1;
    local_copy_let_go(push->copy);
    move_to(push, FINISHED);
    return 0;
}

static int hear_receipt(struct push *push, const struct message_receipt *receipt, struct error *error)
{
    struct local_copy *copy = push->copy;
    const uint8_t *key = copy->hash_key;
    int rc;

    if (push->options.dry_run)
        return hear_dry_receipt(push, receipt);
    if (memcmp(receipt->push_id, push->request.push_id, LINEAGE_SIZE) != 0 ||
        memcmp(receipt->root, push->request.geometry.root, ROOT_SIZE) != 0)
        return error_set(error, ERR_PROTOCOL, "the origin's receipt is for another push");
    push->result.pages = push->sender != NULL ? sender_pages(push->sender) : 0;
    rc = sidecar_join(copy->sidecar, receipt->lineage, key, 1, error);
    if (rc == 0)
        rc = sidecar_set_base(copy->sidecar, receipt->root, receipt->version, &copy->index, error);
    if (rc != 0)
        return error_wrap(error, "the push is committed as version %llu, but noting that here failed",
                          (unsigned long long)receipt->version);
    push->result.geometry = push->request.geometry;
    push->result.version = receipt->version;
    push->result.is_wal = copy->state.is_wal;
    update_kept_base(push);
    local_copy_let_go(copy);
    move_to(push, FINISHED);
    return 0;
}

static int hear(struct party *party, const struct message *message, struct buffer *out, struct error *error)
{
    struct push *push = (struct push *)party;
    int rc;

    if (message->type == MESSAGE_HELLO && push->stage != SENDING)
        return hear_hello(push, &message->hello, out, error);
    if (message->type == MESSAGE_RECEIPT && push->stage > AWAITING_HELLO)
        return hear_receipt(push, &message->receipt, error);
    if (push->stage != SENDING)
        return error_set(error, ERR_PROTOCOL, "%s came at a time when it means nothing", message_name(message->type));
    rc = sender_hear(push->sender, message, error);
    move_to(push, SENDING);
    return rc;
}

static int speak(struct party *party, struct buffer *out, struct error *error)
{
    struct push *push = (struct push *)party;
    int rc;

    switch (push->stage) {
    case SCANNING:
        return speak_scan(push, error);
    case SENDING:
        rc = sender_speak(push->sender, out, error);
        move_to(push, sender_status(push->sender) == PARTY_DONE ? AWAITING_RECEIPT : SENDING);
        return rc;
    default:
        return error_set(error, ERR_INTERNAL, "the push has nothing to say");
    }
}

static const struct party_methods methods = {hear, speak, NULL};

int push_new(struct push **push, struct local_copy *copy, const struct sync_options *options, struct error *error)
{
    struct push *new = calloc(1, sizeof(*new));

    *push = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->party.methods = &methods;
    new->copy = copy;
    new->options = *options;
    new->party.send_rate = options->rate;
    move_to(new, SCANNING);
    *push = new;
    return 0;
}

void push_free(struct push *push)
{
    if (push == NULL)
        return;
    sender_free(push->sender);
    kept_base_free(push->kept);
    page_index_release(&push->base);
    explicit_bzero(&push->hello, sizeof(push->hello));
    explicit_bzero(&push->request, sizeof(push->request));
    free(push);
}

struct party *push_party(struct push *push)
{
    return &push->party;
}

const struct sync_result *push_result(const struct push *push)
{
    return &push->result;
}

const struct message_hello *push_hello(const struct push *push)
{
    return push->greetings > 0 ? &push->hello : NULL;
}
