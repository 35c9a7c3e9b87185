#include "protocol/sync/sender.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/le64.h"
#include "protocol/base/limits.h"
#include "protocol/page/difference.h"
#include "protocol/page/page_stream.h"
#include "protocol/page/spool.h"
#include "protocol/sync/history.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/meter.h"
#include "protocol/sync/page_feed.h"

/*
 *   FINDING --(the set is known)--> FOUND --sender_begin--> STREAMING --(last byte)--> ENDING --(END said)--> FINISHED
 *
 * FINDING listens while a flight is under way and speaks an ASK when it has come and did not do. A receiver
 * without pages starts in FOUND. Unless it is to stop there, FOUND is passed through at once.
 */
enum stage { FINDING, FOUND, STREAMING, ENDING, FINISHED };

struct sender {
    struct local_copy *copy; /* borrowed */
    struct sender_options options; /* seed is not good after sender_new */
    enum stage stage;
    int asks;                /* FINDING: an ASK is to be said */
    struct difference_want want; /* FINDING: what the receiver was last asked for, or sends unasked */
    struct difference_finder *finder; /* NULL where nothing is to be found */
    struct difference_page *owned;    /* the pages that differ, found from known hashes */
    const struct difference_page *pages; /* those, or the finder's */
    size_t count;
    uint32_t common;         /* pages that both sides have */
    uint64_t *beyond;        /* owned; the receiver's hashes of its pages beyond the common ones; NULL: not known */
    uint32_t beyond_wanted;  /* how many of them */
    uint32_t beyond_count;   /* how many came, or were known */
    size_t difference_hint;  /* index into pages of what is asked for next, perhaps */
    size_t next_difference;  /* STREAMING: index into pages; the feed's */
    uint32_t next_page;      /* STREAMING: next page beyond the common ones; the feed's */
    struct page_feed *feed;  /* STREAMING: reads the pages ahead; with its lock the database and options.old are used */
    struct page_hasher hasher;
    struct page_stream_writer *writer;
    struct spool *spool;     /* rollback mode: the finished stream */
    uint64_t streamed;       /* bytes of the stream so far */
    uint32_t total;          /* pages that the stream will hold, once they are known */
    struct buffer bytes;     /* of the stream, not yet said */
    struct fed_page fed;     /* the page that is being sent */
    int asked_for_old;       /* its old content was asked for */
    int asked_before;        /* that of the page before was */
    uint8_t *now;            /* owned; another page, for options.old */
};

/* ---- what the receiver has ---- */

/*
 * The entry of a page that differs, NULL for one that does not. *hint is where the caller found or missed the one before: most ask
 * for one page after the other.
 */
static const struct difference_page *find_difference(const struct sender *sender, uint32_t pgno, size_t *hint)
{
    const struct difference_page *pages = sender->pages;
    size_t low = 0, high = sender->count;

    if (*hint <= high && (*hint == 0 || pages[*hint - 1].pgno < pgno) && (*hint == high || pages[*hint].pgno >= pgno))
        low = high = *hint;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pages[middle].pgno < pgno)
            low = middle + 1;
        else
            high = middle;
    }
    *hint = low;
    if (low == sender->count || pages[low].pgno != pgno)
        return NULL;
    ++*hint;
    return &pages[low];
}

/* The receiver's hash of its old page; 0 where that is not known. */
static uint64_t their_hash(const struct sender *sender, uint32_t pgno, size_t *hint)
{
    const struct difference_page *difference;

    if (pgno > sender->common)
        return pgno - sender->common <= sender->beyond_count ? sender->beyond[pgno - sender->common - 1] : 0;
    difference = find_difference(sender, pgno, hint);
    return difference != NULL ? difference->their_hash : sender->copy->index.hashes[pgno - 1].low;
}

/* For the page stream: the receiver's hash of its old page; 0 where that is not known. */
static uint64_t old_hash(void *arg, uint32_t pgno)
{
    struct sender *sender = arg;

    return their_hash(sender, pgno, &sender->difference_hint);
}

/* The receiver's old page, where it can be had here, and is proven to be that. now: the page as it is. */
static int find_old(struct sender *sender, uint32_t pgno, uint64_t hash, const uint8_t *now, uint8_t *page, int *known,
                    struct error *error)
{
    const struct old_pages *old = &sender->options.old;
    struct page_version present = {now, 0};
    int rc;

    *known = 0;
    if (old->find == NULL || hash == 0)
        return 0;
    if (now != NULL)
        present.hash_low = sender->copy->index.hashes[pgno - 1].low;
    rc = old->find(old->arg, pgno, hash, now != NULL ? &present : NULL, page, known, error);
    if (rc == 0 && *known)
        *known = page_hash(&sender->hasher, pgno, page, sender->copy->geometry.page_size).low == hash;
    return rc;
}

/* With the feed's lock: an old page that is not, or not only, that of the page that is being sent. */
static int read_other_old(struct sender *sender, uint32_t pgno, uint8_t *page, int *known, struct error *error)
{
    struct local_copy *copy = sender->copy;
    uint64_t hash = old_hash(sender, pgno);
    int is_here = pgno <= copy->geometry.page_count;
    const uint8_t *now = NULL;
    int rc = 0;

    *known = is_here && copy->index.hashes[pgno - 1].low == hash;
    if (*known)
        return database_read_page(copy->db, pgno, page, error);
    if (is_here && sender->options.old.wants_now && pgno == sender->fed.pgno) {
        now = sender->fed.page;
    } else if (is_here && sender->options.old.wants_now) {
        if (sender->now == NULL && (sender->now = malloc(copy->geometry.page_size)) == NULL)
            return error_set(error, ERR_INTERNAL, "out of memory");
        rc = database_read_page(copy->db, pgno, sender->now, error);
        now = sender->now;
    }
    return rc == 0 ? find_old(sender, pgno, hash, now, page, known, error) : rc;
}

/* For the page stream: an old page. */
static int old_page(void *arg, uint32_t pgno, uint8_t *page, int *known, struct error *error)
{
    struct sender *sender = arg;
    int rc;

    if (pgno == sender->fed.pgno) {
        sender->asked_for_old = 1;
        *known = sender->fed.has_old == FED_OLD_KNOWN;
        if (*known)
            memcpy(page, sender->fed.old, sender->copy->geometry.page_size);
        if (sender->fed.has_old != FED_OLD_NOT_READ)
            return 0;
    }
    page_feed_lock(sender->feed);
    rc = read_other_old(sender, pgno, page, known, error);
    page_feed_unlock(sender->feed);
    return rc;
}

/* How many pages will go over: those that differ, and those beyond the common ones, of which the lock-byte page is none. */
static uint32_t count_pages(const struct sender *sender)
{
    uint32_t lock_page = page_lock_byte_page(sender->copy->geometry.page_size);
    uint32_t last = sender->copy->geometry.page_count;

    return (uint32_t)sender->count + last - sender->common - (lock_page > sender->common && lock_page <= last);
}

static int start_stream(struct sender *sender, struct error *error)
{
    const struct sender_options *options = &sender->options;
    struct page_stream_base base = {
        .page_count = sender->common + sender->beyond_count, .arg = sender, .hash = old_hash, .fetch = old_page};
    int has_base = base.page_count > 0 && !options->build_on_nothing;

    sender->stage = STREAMING;
    meter_enter(options->meter, METER_MOVING);
    meter_begin_pages(options->meter, sender->total);
    return page_stream_writer_new(&sender->writer, sender->copy->geometry.page_size, options->level,
                                  has_base ? &base : NULL, error);
}

/* The set is known. */
static int found(struct sender *sender, struct error *error)
{
    if (sender->finder != NULL)
        sender->pages = difference_finder_pages(sender->finder, &sender->count);
    sender->stage = FOUND;
    sender->next_page = sender->common + 1;
    sender->total = count_pages(sender);
    return sender->options.stops ? 0 : start_stream(sender, error);
}

/* What is known of the receiver's pages beyond the common ones. */
static int keep_beyond(struct sender *sender, const struct page_index *known, struct error *error)
{
    if (known->page_count <= sender->common)
        return 0;
    sender->beyond = malloc((known->page_count - sender->common) * sizeof(*sender->beyond));
    if (sender->beyond == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    for (uint32_t i = sender->common; i < known->page_count; i++)
        sender->beyond[sender->beyond_count++] = known->hashes[i].low;
    return 0;
}

/* The pages that differ, from the hashes of both sides. */
static int compare_known(struct sender *sender, struct error *error)
{
    const struct page_hash *ours = sender->copy->index.hashes;
    const struct page_hash *theirs = sender->options.known->hashes;
    size_t cap = 0;
    int rc;

    for (uint32_t pgno = 1; pgno <= sender->common; pgno++) {
        struct difference_page *grown;
        if (ours[pgno - 1].low == theirs[pgno - 1].low && ours[pgno - 1].high == theirs[pgno - 1].high)
            continue;
        if (sender->count == cap) {
            cap = cap == 0 ? 256 : 2 * cap;
            grown = realloc(sender->owned, cap * sizeof(*grown));
            if (grown == NULL)
                return error_set(error, ERR_INTERNAL, "out of memory");
            sender->owned = grown;
        }
        sender->owned[sender->count++] = (struct difference_page){pgno, theirs[pgno - 1].low};
    }
    sender->pages = sender->owned;
    rc = keep_beyond(sender, sender->options.known, error);
    return rc != 0 ? rc : found(sender, error);
}

int sender_new(struct sender **sender, struct local_copy *copy, const struct sender_options *options, struct error *error)
{
    const struct geometry *theirs = &options->theirs;
    struct sender *new = calloc(1, sizeof(*new));
    int rc = 0;

    assert(theirs->page_count == 0 || theirs->page_size == copy->geometry.page_size);
    *sender = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->copy = copy;
    new->options = *options;
    page_hasher_init(&new->hasher, copy->hash_key);
    /* One page can release those of many (page_stream.h). */
    buffer_init(&new->bytes, 64 * LIMIT_CHUNK);
    new->common = theirs->page_count < copy->geometry.page_count ? theirs->page_count : copy->geometry.page_count;
    if (options->known != NULL) {
        rc = compare_known(new, error);
    } else if (new->common > 0) {
        rc = difference_finder_new(&new->finder, copy->index.hashes, new->common, options->seed, error);
        new->want = difference_first_flight(new->common);
    } else {
        rc = found(new, error);
    }
    if (rc != 0) {
        sender_free(new);
        return rc;
    }
    *sender = new;
    return 0;
}

void sender_free(struct sender *sender)
{
    if (sender == NULL)
        return;
    page_feed_free(sender->feed);
    spool_free(sender->spool);
    page_stream_writer_free(sender->writer);
    difference_finder_free(sender->finder);
    buffer_release(&sender->bytes);
    explicit_bzero(&sender->hasher, sizeof(sender->hasher));
    free(sender->owned);
    free(sender->beyond);
    free(sender->now);
    free(sender);
}

enum party_status sender_status(const struct sender *sender)
{
    if (sender->stage == FINISHED)
        return PARTY_DONE;
    if (sender->stage == FOUND)
        return PARTY_WAITS;
    return sender->stage == FINDING && !sender->asks ? PARTY_LISTENS : PARTY_SPEAKS;
}

void sender_found(const struct sender *sender, struct sender_difference *difference)
{
    assert(sender->stage == FOUND);
    *difference = (struct sender_difference){.common = sender->common,
                                             .pages = sender->pages,
                                             .count = sender->count,
                                             .beyond = sender->beyond,
                                             .beyond_count = sender->beyond_count,
                                             .total = sender->total};
}

int sender_begin(struct sender *sender, struct local_copy *copy, const struct old_pages *old, struct error *error)
{
    assert(sender->stage == FOUND && copy->index.page_count == sender->copy->index.page_count);
    sender->copy = copy;
    sender->options.old = *old;
    return start_stream(sender, error);
}

/*
 * With the list, the receiver's pages beyond the common ones are told, too: after a VACUUM their content stands further to the front now,
 * 8 bytes instead of a page.
 */
static int hear_beyond(struct sender *sender, uint32_t first, const uint8_t *data, size_t len, struct error *error)
{
    if (first != sender->common + sender->beyond_count + 1 ||
        len / DIFFERENCE_HASH_SIZE > sender->beyond_wanted - sender->beyond_count)
        return error_set(error, ERR_PROTOCOL, "HASHES came that were not asked for");
    for (size_t at = 0; at < len; at += DIFFERENCE_HASH_SIZE)
        sender->beyond[sender->beyond_count++] = le64_load(data + at);
    return 0;
}

static int hear_hashes(struct sender *sender, const struct message_hashes *hashes, struct error *error)
{
    size_t common = 0;
    int rc = 0;

    if (hashes->first <= sender->common)
        common = ((size_t)sender->common - hashes->first + 1) * DIFFERENCE_HASH_SIZE;
    if (common > hashes->len)
        common = hashes->len;
    if (common > 0)
        rc = difference_finder_add(sender->finder, DIFFERENCE_HASHES, hashes->first, hashes->data, common, error);
    if (rc == 0 && hashes->len > common)
        rc = hear_beyond(sender, hashes->first + (uint32_t)(common / DIFFERENCE_HASH_SIZE), hashes->data + common,
                         hashes->len - common, error);
    return rc;
}

/* The finder wants more than the flight that is under way brings: ask, for the list to its end with all that is beyond, once. */
static int plan_ask(struct sender *sender, const struct difference_want *want, struct error *error)
{
    const struct geometry *theirs = &sender->options.theirs;
    uint32_t beyond = theirs->page_count - sender->common;

    sender->asks = 1;
    if (want->kind != DIFFERENCE_HASHES || want->first + want->count <= sender->common ||
        sender->options.build_on_nothing || beyond == 0 || sender->beyond != NULL)
        return 0;
    sender->beyond = malloc(beyond * sizeof(*sender->beyond));
    if (sender->beyond == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    sender->beyond_wanted = beyond;
    return 0;
}

int sender_hear(struct sender *sender, const struct message *message, struct error *error)
{
    struct difference_want want;
    int rc;

    if (sender_status(sender) != PARTY_LISTENS)
        return error_set(error, ERR_PROTOCOL, "%s came at a time when nothing was asked for", message_name(message->type));
    if (message->type == MESSAGE_CELLS)
        rc = difference_finder_add(sender->finder, DIFFERENCE_CELLS, message->cells.first, message->cells.data,
                                   message->cells.len, error);
    else if (message->type == MESSAGE_HASHES)
        rc = hear_hashes(sender, &message->hashes, error);
    else
        rc = error_set(error, ERR_PROTOCOL, "%s came where the description of pages was due", message_name(message->type));
    if (rc != 0)
        return rc;
    want = difference_finder_want(sender->finder);
    if (want.kind == DIFFERENCE_FOUND)
        return sender->beyond_count < sender->beyond_wanted ? 0 : found(sender, error);
    /* The rest of the flight that is under way needs no asking. */
    if (want.kind != sender->want.kind || want.first + want.count != sender->want.first + sender->want.count)
        rc = plan_ask(sender, &want, error);
    sender->want = want;
    return rc;
}

/* ---- what the feed's thread calls ---- */

/* The number of the next page to send; 0 after the last. */
static uint32_t next_page(void *arg)
{
    struct sender *sender = arg;
    uint32_t lock_page = page_lock_byte_page(sender->copy->geometry.page_size);
    uint32_t pgno;

    do {
        if (sender->next_difference < sender->count)
            pgno = sender->pages[sender->next_difference++].pgno;
        else
            pgno = sender->next_page <= sender->copy->geometry.page_count ? sender->next_page++ : 0;
    } while (pgno == lock_page);
    return pgno;
}

static int read_page(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    struct sender *sender = arg;

    return database_read_page(sender->copy->db, pgno, page, error);
}

/* The page that is sent differs, or is beyond the common ones: its old content is not here. */
static int read_own_old(void *arg, uint32_t pgno, const uint8_t *page, uint8_t *old, int *known, struct error *error)
{
    struct sender *sender = arg;
    size_t hint = sender->next_difference > 0 ? sender->next_difference - 1 : 0;

    return find_old(sender, pgno, their_hash(sender, pgno, &hint), sender->options.old.wants_now ? page : NULL, old, known, error);
}

/* ---- the stream ---- */

/*
 * Whether old pages are worth being found ahead. After a VACUUM most pages are found elsewhere: of the own old ones only a sample is asked
 * for, and to find all took a second of processor time more than the stream itself.
 */
static int is_scattered(const struct sender *sender)
{
    return sender->count < sender->copy->geometry.page_count / 2;
}

/* The first page is due. */
static int start_feed(struct sender *sender, struct error *error)
{
    const struct page_feed_source source = {next_page, read_page, read_own_old, sender};

    if (sender->feed != NULL)
        return 0;
    return page_feed_new(&sender->feed, sender->copy->geometry.page_size, &source, is_scattered(sender), error);
}

static void stop_feed(struct sender *sender)
{
    page_feed_free(sender->feed);
    sender->feed = NULL;
    sender->fed = (struct fed_page){0};
}

/* Put pages into the stream until at least `enough` bytes wait. Sets *ended after the last one. */
static int produce(struct sender *sender, size_t enough, int *ended, struct error *error)
{
    const struct fed_page *fed = &sender->fed;
    int rc = start_feed(sender, error);

    *ended = 0;
    while (rc == 0 && sender->bytes.len < enough && !*ended) {
        rc = page_feed_next(sender->feed, &sender->fed, error);
        if (rc != 0)
            return rc;
        if (fed->pgno == 0) {
            *ended = 1;
            stop_feed(sender);
            return page_stream_writer_finish(sender->writer, &sender->bytes, error);
        }
        sender->asked_for_old = 0;
        rc = page_stream_writer_add(sender->writer, fed->pgno, fed->page, sender->copy->index.hashes[fed->pgno - 1].low,
                                    &sender->bytes, error);
        /* What the stream does not ask for any more, or only for a sample of the pages, need not be found. */
        page_feed_want_old(sender->feed, is_scattered(sender) && sender->asked_for_old && sender->asked_before);
        sender->asked_before = sender->asked_for_old;
        meter_add_page(sender->options.meter);
    }
    return rc;
}

/* Rollback mode: the whole stream to the spool, then let the writers go on. */
static int fill_spool(struct sender *sender, struct error *error)
{
    int ended = 0;
    int rc = spool_new(&sender->spool, sender->copy->real_path, NULL, LIMIT_SPOOL, error);

    while (rc == 0 && !ended) {
        rc = produce(sender, LIMIT_CHUNK, &ended, error);
        if (rc == 0)
            rc = spool_append(sender->spool, sender->bytes.data, sender->bytes.len, error);
        buffer_consume(&sender->bytes, sender->bytes.len);
    }
    stop_feed(sender);
    local_copy_let_go(sender->copy);
    if (rc == 0)
        meter_set_bytes_total(sender->options.meter, spool_size(sender->spool));
    return rc;
}

static int read_spool(struct sender *sender, int *ended, struct error *error)
{
    uint8_t *spot;
    size_t len;
    int rc = buffer_reserve(&sender->bytes, LIMIT_CHUNK, &spot, error);

    if (rc == 0)
        rc = spool_read(sender->spool, spot, LIMIT_CHUNK, &len, error);
    if (rc != 0)
        return rc;
    sender->bytes.len += len;
    *ended = len == 0;
    return 0;
}

/* Say up to LIMIT_CHUNK bytes of what waits. */
static int say_bytes(struct sender *sender, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_PAGES};
    int rc;

    if (sender->bytes.len == 0)
        return 0;
    if (sender->options.is_dry) {
        sender->streamed += sender->bytes.len;
        buffer_consume(&sender->bytes, sender->bytes.len);
        return 0;
    }
    message.pages.data = sender->bytes.data;
    message.pages.len = (uint32_t)(sender->bytes.len < LIMIT_CHUNK ? sender->bytes.len : LIMIT_CHUNK);
    message.pages.total = sender->total;
    rc = message_encode(&message, out, error);
    sender->streamed += message.pages.len;
    buffer_consume(&sender->bytes, message.pages.len);
    return rc;
}

static int speak_pages(struct sender *sender, struct buffer *out, struct error *error)
{
    int ended = 0;
    int rc = 0;

    if (sender->spool == NULL) {
        rc = local_copy_hold(sender->copy, error);
        if (rc == 0 && !sender->copy->state.is_wal)
            rc = fill_spool(sender, error);
    }
    if (rc == 0 && sender->spool != NULL)
        rc = read_spool(sender, &ended, error);
    else if (rc == 0)
        rc = produce(sender, LIMIT_CHUNK, &ended, error);
    if (rc != 0)
        return error_wrap(error, "reading the changed pages of %s", sender->copy->path);
    if (ended)
        sender->stage = ENDING;
    return say_bytes(sender, out, error);
}

static int speak_end(struct sender *sender, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_END};
    int rc;

    if (sender->bytes.len > 0)
        return say_bytes(sender, out, error);
    message.end.geometry = sender->copy->geometry;
    message.end.version = sender->options.version;
    message.end.pages = page_stream_writer_count(sender->writer);
    message.end.bytes = sender->streamed;
    rc = message_encode(&message, out, error);
    sender->stage = FINISHED;
    return rc;
}

static int speak_ask(struct sender *sender, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_ASK};

    message.ask.kind = sender->want.kind == DIFFERENCE_CELLS ? ASK_CELLS : ASK_HASHES;
    message.ask.first = sender->want.first;
    message.ask.count = sender->want.count + sender->beyond_wanted - sender->beyond_count;
    sender->asks = 0;
    return message_encode(&message, out, error);
}

int sender_speak(struct sender *sender, struct buffer *out, struct error *error)
{
    switch (sender->stage) {
    case FINDING:
        return speak_ask(sender, out, error);
    case STREAMING:
        return speak_pages(sender, out, error);
    case ENDING:
        return speak_end(sender, out, error);
    default:
        return 0;
    }
}

uint64_t sender_bytes(const struct sender *sender)
{
    return sender->streamed;
}

int sender_differences(const struct sender *sender, const struct difference_page **pages, size_t *count)
{
    *pages = sender->pages;
    *count = sender->count;
    return sender->stage != FINDING;
}

uint32_t sender_pages(const struct sender *sender)
{
    return sender->writer != NULL ? page_stream_writer_count(sender->writer) : 0;
}
