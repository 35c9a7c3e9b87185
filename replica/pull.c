/*
 *   SCANNING --> GREETED? --HELLO--> (FENCE, then HELLO again) --PULL--> RECEIVING --END--> APPLYING --RECEIPT--> done
 *                   |                                              \--> CONFIRMING --END--> done      (nothing differs)
 *                   |                                              \--> COUNTING --END--> done        (a dry run)
 *                   +--> done                                             (nothing differs, nothing is to be told)
 *
 * A HELLO that comes instead of an answer says that the origin's database moved: everything is decided anew.
 */
#include "replica/pull.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/base/random.h"
#include "protocol/page/arrivals.h"
#include "protocol/page/first_copy.h"
#include "protocol/sync/description.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/meter.h"
#include "protocol/sync/party.h"
#include "protocol/sync/receiver.h"
#include "replica/guards.h"

/* An origin that greets more often than this does nothing else. */
#define GREETINGS_MAX 8

enum stage { SCANNING, AWAITING_HELLO, CONFIRMING, COUNTING, RECEIVING, APPLYING, FINISHED };

struct pull {
    struct party party;
    struct sync_options options;
    struct local_copy *copy; /* borrowed */
    enum stage stage;
    int scanned;
    int fenced;              /* FENCE was said */
    int greetings;
    struct message_hello hello;
    uint8_t seed[LINEAGE_SIZE];
    struct receiver *receiver;
    int began_base;          /* the kept base is written together with the first copy */
    int has_applied;         /* its pages are committed */
    struct description *description; /* COUNTING; NULL where nothing is to be described */
    struct sync_result result;
};

static void move_to(struct pull *pull, enum stage stage)
{
    pull->stage = stage;
    switch (stage) {
    case SCANNING:
        meter_enter(pull->options.meter, METER_SCANNING);
        pull->party.status = PARTY_SPEAKS;
        break;
    case APPLYING:
        meter_enter(pull->options.meter, METER_APPLYING);
        pull->party.status = PARTY_SPEAKS;
        break;
    case AWAITING_HELLO:
        meter_enter(pull->options.meter, METER_CONNECTING);
        pull->party.status = PARTY_LISTENS;
        break;
    case CONFIRMING:
        pull->party.status = PARTY_LISTENS;
        break;
    case COUNTING:
        pull->party.status = description_speaks(pull->description) ? PARTY_SPEAKS : PARTY_LISTENS;
        break;
    case RECEIVING:
        pull->party.status = receiver_status(pull->receiver);
        break;
    case FINISHED:
        pull->party.status = PARTY_DONE;
        break;
    }
}

/* While the link is being set up: hash the local copy with the key that it will most likely be. */
static int speak_scan(struct pull *pull, struct error *error)
{
    int rc = sidecar_read(pull->copy->sidecar, &pull->copy->book, error);

    if (rc == 0 && pull->copy->book.has_lineage)
        rc = greeting_scan(pull->copy, pull->copy->book.hash_key, &pull->scanned, error);
    move_to(pull, AWAITING_HELLO);
    return rc;
}

/* ---- the answer to HELLO ---- */

/* Write down what both sides have in common now. */
static int finish(struct pull *pull, uint64_t version, struct error *error)
{
    struct local_copy *copy = pull->copy;
    int rc = sidecar_join(copy->sidecar, pull->hello.lineage, pull->hello.hash_key, 1, error);

    if (rc == 0)
        rc = sidecar_set_base(copy->sidecar, copy->geometry.root, version, &copy->index, error);
    pull->result.geometry = copy->geometry;
    pull->result.version = version;
    pull->result.is_wal = copy->state.is_wal;
    move_to(pull, FINISHED);
    return rc;
}

static int say_fence(struct pull *pull, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_FENCE, .fence = pull->options.fence};

    pull->fenced = 1;
    move_to(pull, AWAITING_HELLO);
    return message_encode(&message, out, error);
}

/* Should this process die between the commit and the end, the next one knows by this that the content came from the origin. */
static int before_apply(void *arg, struct error *error)
{
    struct pull *pull = arg;
    struct sidecar *sidecar = pull->copy->sidecar;
    int rc = sidecar_join(sidecar, pull->hello.lineage, pull->hello.hash_key, 1, error);

    return rc != 0 ? rc : sidecar_set_incoming(sidecar, pull->hello.geometry.root, error);
}

/* ---- dry runs ---- */

/* Ask what a pull would bring. What a first copy or a rebuilt file would have is not known: then all pages are counted. */
static int say_dry_pull(struct pull *pull, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_PULL};
    struct message_pull *request = &message.pull;
    const struct local_copy *copy = pull->copy;
    int rc = 0;

    meter_enter(pull->options.meter, METER_FINDING);
    random_bytes(pull->seed, sizeof(pull->seed));
    pull->result.is_whole = copy->geometry.page_count == 0 || copy->geometry.page_size != pull->hello.geometry.page_size;
    if (!pull->result.is_whole)
        request->geometry = copy->geometry;
    if (copy->book.has_lineage)
        memcpy(request->lineage, copy->book.lineage, sizeof(request->lineage));
    request->flags = SYNC_DRY_RUN;
    request->version = copy->book.base_version;
    request->rate = pull->options.rate;
    request->level = pull->options.wanted_level;
    memcpy(request->seed, pull->seed, sizeof(request->seed));
    snprintf(request->instance, sizeof(request->instance), "%s", pull->options.instance);
    if (!pull->result.is_whole && !greeting_is_equal(&pull->hello, copy))
        rc = description_new(&pull->description, &copy->index, pull->hello.geometry.page_count, pull->seed, error);
    if (rc == 0)
        rc = message_encode(&message, out, error);
    if (rc == 0)
        move_to(pull, COUNTING);
    return rc;
}

static int hear_counting(struct pull *pull, const struct message *message, struct error *error)
{
    if (message->type == MESSAGE_ASK && pull->description != NULL && !description_speaks(pull->description)) {
        description_hear(pull->description, &message->ask);
        move_to(pull, COUNTING);
        return 0;
    }
    if (message->type != MESSAGE_END)
        return error_set(error, ERR_PROTOCOL, "%s came at a time when it means nothing", message_name(message->type));
    pull->result.geometry = message->end.geometry;
    pull->result.version = message->end.version;
    pull->result.pages = message->end.pages;
    pull->result.bytes = message->end.bytes;
    pull->result.is_dry = 1;
    move_to(pull, FINISHED);
    return 0;
}

/* ---- the answer to HELLO, if it is to be done ---- */

/* A first copy that starts with nothing: its base can be written at the same time. */
static void begin_base(struct pull *pull)
{
    const struct geometry *geometry = &pull->hello.geometry;
    struct first_copy *partial = pull->copy->partial;
    int fd;

    if (pull->copy->index.page_count > 0)
        return;
    fd = kept_base_begin(pull->copy->real_path, first_copy_descriptor(partial), pull->options.base,
                         (uint64_t)geometry->page_count * geometry->page_size);
    pull->began_base = fd >= 0;
    if (fd >= 0)
        first_copy_take_twin(partial, fd);
}

static int say_pull(struct pull *pull, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_PULL};
    struct message_pull *request = &message.pull;
    const struct receiver_hooks hooks = {.before_apply = before_apply, .arg = pull, .meter = pull->options.meter, .resumes = 1};
    struct local_copy *copy = pull->copy;
    int is_equal = greeting_is_equal(&pull->hello, copy);
    int rc;

    meter_enter(pull->options.meter, METER_FINDING);
    if (copy->geometry.page_count == 0) {
        rc = local_copy_open_partial(copy, pull->hello.geometry.page_size, 1, error);
        if (rc != 0)
            return rc;
        begin_base(pull);
    }
    random_bytes(pull->seed, sizeof(pull->seed));
    request->geometry = copy->geometry;
    if (!is_equal || copy->partial != NULL) {
        rc = receiver_new(&pull->receiver, copy, &pull->hello.geometry, pull->seed, 1, &hooks, error);
        if (rc != 0)
            return rc;
        request->geometry = *receiver_geometry(pull->receiver);
    }
    if (copy->book.has_lineage)
        memcpy(request->lineage, copy->book.lineage, sizeof(request->lineage));
    request->flags = copy->partial != NULL ? SYNC_PARTIAL : 0;
    request->version = copy->book.base_version;
    request->rate = pull->options.rate;
    request->level = pull->options.wanted_level;
    memcpy(request->seed, pull->seed, sizeof(request->seed));
    snprintf(request->instance, sizeof(request->instance), "%s", pull->options.instance);
    rc = message_encode(&message, out, error);
    if (rc == 0)
        move_to(pull, pull->receiver != NULL ? RECEIVING : CONFIRMING);
    return rc;
}

/* What is there is older than what we have from its origin already. */
static int stay_ahead(struct pull *pull)
{
    struct local_copy *copy = pull->copy;

    log_line(LOG_WARNING, "the copy there has version %llu, and %s is at version %llu of its origin, %s, already: nothing was pulled",
             (unsigned long long)pull->hello.version, copy->path, (unsigned long long)copy->book.base_version, pull->hello.origin);
    local_copy_let_go(copy);
    pull->result.geometry = copy->geometry;
    pull->result.version = copy->book.base_version;
    pull->result.is_wal = copy->state.is_wal;
    move_to(pull, FINISHED);
    return 0;
}

static int hear_hello(struct pull *pull, const struct message_hello *hello, struct buffer *out, struct error *error)
{
    struct local_copy *copy = pull->copy;
    struct guards guards = {.hello = hello, .copy = copy, .options = &pull->options};
    int rc;

    if (pull->greetings++ == GREETINGS_MAX)
        return error_set(error, ERR_MOVED, "the origin's database changed again and again while it was being read");
    pull->hello = *hello;
    receiver_free(pull->receiver);
    pull->receiver = NULL;
    description_free(pull->description);
    pull->description = NULL;
    /* What the copy was taken for since is a first copy that is coming into being, not a database. */
    if (copy->partial != NULL)
        pull->scanned = 0;
    rc = greeting_check_protocol(hello, error);
    if (rc != 0)
        return rc;
    if (pull->options.fence.token > 0 && !pull->fenced && !pull->options.dry_run)
        return say_fence(pull, out, error);
    guards.relation = greeting_relation(hello, copy);
    meter_enter(pull->options.meter, METER_SCANNING);
    rc = greeting_scan(copy, hello->hash_key, &pull->scanned, error);
    guards.is_equal = rc == 0 && greeting_is_equal(hello, copy);
    if (rc == 0)
        rc = guards_check_pull(&guards, error);
    if (rc != 0)
        return rc;
    if (greeting_is_behind(hello, copy) && !pull->options.discard && !pull->options.any_base && !pull->options.force_reset)
        return stay_ahead(pull);
    if (pull->options.dry_run)
        return say_dry_pull(pull, out, error);
    if (guards.is_equal && !(hello->flags & HELLO_FRESH))
        return finish(pull, hello->version, error);
    if (copy->geometry.page_count > 0 && copy->geometry.page_size != hello->geometry.page_size) {
        rc = local_copy_change_page_size(copy, hello->geometry.page_size, error);
        if (rc != 0)
            return rc;
        if (!copy->state.is_wal)
            local_copy_let_go(copy);
    }
    return say_pull(pull, out, error);
}

/* ---- what follows ---- */

static int hear_confirmation(struct pull *pull, const struct message_end *end, struct error *error)
{
    if (end->pages != 0 || memcmp(end->geometry.root, pull->copy->geometry.root, ROOT_SIZE) != 0)
        return error_set(error, ERR_PROTOCOL, "the origin confirmed another content than the one that it announced");
    return finish(pull, end->version, error);
}

/* For the arrivals: what a page of the kept base was, or something else. */
static int fetch_base_page(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    (void)error;
    kept_base_read_page(arg, pgno, page);
    return 0;
}

/*
 * The kept base gets the same pages. It is of use only if it is whole, so failures are not told: the hashes tell later. So they do where it did not
 * have what the database had, and a page that is made from that is not the page.
 */
static void *update_kept_base(void *arg)
{
    struct pull *pull = arg;
    struct arrivals *arrivals = receiver_arrivals(pull->receiver);
    const struct geometry *geometry = &pull->copy->geometry;
    struct kept_base *base;
    const uint8_t *page;
    uint32_t pgno;

    kept_base_open(&base, pull->copy->real_path, geometry->page_size);
    if (base == NULL)
        return NULL;
    if (arrivals != NULL) {
        arrivals_rewind(arrivals);
        arrivals_build_on(arrivals, fetch_base_page, base);
        while (arrivals_next(arrivals, &pgno, &page, NULL) == 0 && pgno != 0)
            kept_base_write_page(base, pgno, page);
        kept_base_truncate(base, geometry->page_count);
    }
    kept_base_free(base);
    return NULL;
}

/* The kept base gets the pages while SQLite copies them out of the WAL: the two have nothing in common, and the disk is waited for once. */
static void clear_up(struct party *party)
{
    struct pull *pull = (struct pull *)party;
    pthread_t thread;
    int has_thread;

    if (!pull->has_applied)
        return;
    has_thread = pthread_create(&thread, NULL, update_kept_base, pull) == 0;
    local_copy_close_database(pull->copy);
    if (has_thread)
        pthread_join(thread, NULL);
    else
        update_kept_base(pull);
}

static int speak_apply(struct pull *pull, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_RECEIPT};
    int rc = receiver_apply(pull->receiver, error);

    pull->result.pages = receiver_pages(pull->receiver);
    if (rc == 0)
        rc = finish(pull, receiver_version(pull->receiver), error);
    if (rc != 0)
        return rc;
    pull->has_applied = 1;
    memcpy(message.receipt.lineage, pull->hello.lineage, LINEAGE_SIZE);
    memcpy(message.receipt.root, pull->copy->geometry.root, ROOT_SIZE);
    message.receipt.version = pull->result.version;
    return message_encode(&message, out, error);
}

static int hear(struct party *party, const struct message *message, struct buffer *out, struct error *error)
{
    struct pull *pull = (struct pull *)party;
    int rc;

    if (message->type == MESSAGE_HELLO && pull->stage != APPLYING)
        return hear_hello(pull, &message->hello, out, error);
    if (pull->stage == CONFIRMING && message->type == MESSAGE_END)
        return hear_confirmation(pull, &message->end, error);
    if (pull->stage == COUNTING)
        return hear_counting(pull, message, error);
    if (pull->stage != RECEIVING)
        return error_set(error, ERR_PROTOCOL, "%s came at a time when it means nothing", message_name(message->type));
    rc = receiver_hear(pull->receiver, message, error);
    move_to(pull, receiver_status(pull->receiver) == PARTY_DONE ? APPLYING : RECEIVING);
    return rc;
}

static int speak(struct party *party, struct buffer *out, struct error *error)
{
    struct pull *pull = (struct pull *)party;
    int rc;

    switch (pull->stage) {
    case SCANNING:
        return speak_scan(pull, error);
    case COUNTING:
        rc = description_speak(pull->description, out, error);
        move_to(pull, COUNTING);
        return rc;
    case RECEIVING:
        rc = receiver_speak(pull->receiver, out, error);
        move_to(pull, RECEIVING);
        return rc;
    case APPLYING:
        return speak_apply(pull, out, error);
    default:
        return error_set(error, ERR_INTERNAL, "the pull has nothing to say");
    }
}

static const struct party_methods methods = {hear, speak, clear_up};

int pull_new(struct pull **pull, struct local_copy *copy, const struct sync_options *options, struct error *error)
{
    struct pull *new = calloc(1, sizeof(*new));

    *pull = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->party.methods = &methods;
    new->copy = copy;
    new->options = *options;
    new->party.send_rate = options->rate;
    move_to(new, SCANNING);
    *pull = new;
    return 0;
}

void pull_free(struct pull *pull)
{
    if (pull == NULL)
        return;
    if (pull->began_base && !pull->has_applied)
        kept_base_abandon(pull->copy->real_path);
    receiver_free(pull->receiver);
    description_free(pull->description);
    explicit_bzero(&pull->hello, sizeof(pull->hello));
    free(pull);
}

struct party *pull_party(struct pull *pull)
{
    return &pull->party;
}

const struct sync_result *pull_result(const struct pull *pull)
{
    return &pull->result;
}

const struct message_hello *pull_hello(const struct pull *pull)
{
    return pull->greetings > 0 ? &pull->hello : NULL;
}
