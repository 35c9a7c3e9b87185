#include "protocol/sync/receiver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/arrivals.h"
#include "protocol/page/first_copy.h"
#include "protocol/page/page_stream.h"
#include "protocol/page/spool.h"
#include "protocol/sync/description.h"
#include "protocol/sync/history.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/meter.h"

struct receiver {
    struct local_copy *copy; /* borrowed */
    struct receiver_hooks hooks;
    struct geometry theirs;  /* what this copy is to become */
    struct geometry ours;    /* what is described: the copy, and what an earlier attempt left */
    uint64_t *kept;          /* owned; [pgno - 1]: where among the arrivals the page is that an earlier attempt left; 0: nowhere */
    uint32_t kept_count;     /* how many of these there are; kept is NULL where there are none */
    uint64_t fresh;          /* where among the arrivals those of this attempt begin */
    int complete;            /* END has come, and what came is proven */
    struct message_end end;
    struct description *description; /* NULL where nothing is to be described, and once pages come */
    struct page_stream_reader *reader;
    struct page_hasher hasher;
    struct page_index index;     /* of what this copy is to become; after the apply: of what it was */
    struct spool *spool;         /* the stream, in rollback mode */
    struct arrivals *arrivals;   /* the pages; NULL for a first copy, whose pages go to copy->partial */
    uint8_t *old_page;           /* owned; what a page replaces, where the stream did not need that */
    uint32_t pages;              /* that came */
    int is_moving;               /* PAGES has come */
    uint64_t bytes;              /* of the stream that came */
};

/* In kept: the page came again, so that what was left is not what it will be. */
#define CAME_AGAIN (1ull << 63)

/* While it is not worth reading what pages replace, that of every so manieth is read all the same. */
#define SAMPLE_EVERY 16u

/* Where an earlier attempt left page pgno; 0: nowhere. */
static uint64_t kept_place(const struct receiver *receiver, uint32_t pgno)
{
    return pgno <= receiver->kept_count ? receiver->kept[pgno - 1] & ~CAME_AGAIN : 0;
}

/* A page of this copy from before the sync, for a record of the stream that builds on it. */
static int fetch_page(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    const struct receiver *receiver = arg;
    uint64_t place = kept_place(receiver, pgno);

    if (place > 0)
        return arrivals_read(receiver->arrivals, place, page, error);
    return database_read_page(receiver->copy->db, pgno, page, error);
}

/* For the arrivals: what page pgno replaces, before it does. */
static int fetch_replaced(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    const struct receiver *receiver = arg;

    return database_read_page(receiver->copy->db, pgno, page, error);
}

static int copy_index(struct page_index *to, const struct page_index *from, struct error *error)
{
    int rc = page_index_resize(to, from->page_count, error);

    to->page_size = from->page_size;
    if (rc == 0 && from->page_count > 0)
        memcpy(to->hashes, from->hashes, from->page_count * sizeof(*from->hashes));
    return rc;
}

/* Set up what describes this copy's pages, if there are any that the sender may have, too. */
static int start_describing(struct receiver *receiver, const uint8_t seed[LINEAGE_SIZE], struct error *error)
{
    /* Equal roots: a partial that only lacked its name. Nothing will be sent, so nothing is described. */
    if (receiver->theirs.page_count == 0 || receiver->ours.page_count == 0 ||
        memcmp(receiver->theirs.root, receiver->ours.root, ROOT_SIZE) == 0)
        return 0;
    return description_new(&receiver->description, &receiver->index, receiver->theirs.page_count, seed, error);
}

/*
 * Note the hash of a page that came. The index grows only by pages that really come, one behind the other, so that no
 * claim of the peer's costs memory.
 */
static int note_page(struct receiver *receiver, uint32_t pgno, const uint8_t *page, struct error *error)
{
    struct page_index *index = &receiver->index;
    uint32_t lock_page = page_lock_byte_page(receiver->theirs.page_size);
    int rc = 0;

    if (pgno > receiver->theirs.page_count)
        return error_set(error, ERR_PROTOCOL, "page %u came for a database of %u pages", pgno,
                         receiver->theirs.page_count);
    if (pgno > index->page_count) {
        if (pgno != index->page_count + 1 && !(pgno == lock_page + 1 && pgno == index->page_count + 2))
            return error_set(error, ERR_PROTOCOL, "page %u came where page %u was due", pgno, index->page_count + 1);
        rc = page_index_resize(index, pgno, error);
    }
    if (rc == 0)
        index->hashes[pgno - 1] = page_hash(&receiver->hasher, pgno, page, receiver->theirs.page_size);
    receiver->pages++;
    meter_add_page(receiver->hooks.meter);
    return rc;
}

/* Note where an earlier attempt left a page. */
static int keep_place(struct receiver *receiver, uint32_t pgno, uint64_t place, struct error *error)
{
    uint32_t count = receiver->kept_count;

    if (pgno > count) {
        uint64_t *grown;

        count = pgno > receiver->index.page_count ? pgno : receiver->index.page_count;
        count += count / 8;
        grown = realloc(receiver->kept, count * sizeof(*grown));
        if (grown == NULL)
            return error_set(error, ERR_INTERNAL, "out of memory");
        memset(grown + receiver->kept_count, 0, (count - receiver->kept_count) * sizeof(*grown));
        receiver->kept = grown;
        receiver->kept_count = count;
    }
    receiver->kept[pgno - 1] = place;
    return 0;
}

/* What an earlier attempt left counts as pages of this copy from now on, as far as it fits. */
static int take_over(struct receiver *receiver, struct error *error)
{
    struct arrivals *arrivals = receiver->arrivals;
    int lets_go = !receiver->copy->held;
    const uint8_t *page;
    uint64_t end;
    uint32_t pgno;
    int rc = local_copy_hold(receiver->copy, error);

    if (rc != 0)
        return rc;
    for (;;) {
        rc = arrivals_next(arrivals, &pgno, &page, error);
        end = arrivals_place(arrivals);
        if (rc != 0 || pgno == 0 || note_page(receiver, pgno, page, error) != 0)
            break;
        rc = keep_place(receiver, pgno, end, error);
        if (rc != 0)
            break;
    }
    if (lets_go)
        local_copy_let_go(receiver->copy);
    if (rc == ERR_INTERNAL)
        return rc;
    /* What does not fit, or was damaged, is where the next pages go. */
    error_init(error);
    receiver->pages = 0;
    receiver->ours.page_count = receiver->index.page_count;
    page_index_root(&receiver->index, receiver->ours.root);
    receiver->fresh = end;
    return arrivals_cut(arrivals, end, error);
}

/* Where the pages will wait. What cannot be kept for another attempt is still good for this one. */
static int make_arrivals(struct receiver *receiver, struct error *error)
{
    const struct local_copy *copy = receiver->copy;
    int rc;

    if (receiver->hooks.resumes) {
        if (arrivals_open(&receiver->arrivals, copy->real_path, receiver->theirs.page_size, copy->geometry.root, error) == 0) {
            arrivals_build_on(receiver->arrivals, fetch_replaced, receiver);
            return take_over(receiver, error);
        }
        error_init(error);
    }
    rc = arrivals_new(&receiver->arrivals, copy->real_path, receiver->theirs.page_size, error);
    if (rc == 0)
        arrivals_build_on(receiver->arrivals, fetch_replaced, receiver);
    return rc;
}

int receiver_new(struct receiver **receiver, struct local_copy *copy, const struct geometry *theirs,
                 const uint8_t seed[LINEAGE_SIZE], int describe, const struct receiver_hooks *hooks, struct error *error)
{
    struct receiver *new = calloc(1, sizeof(*new));
    int rc = 0;

    assert(copy->geometry.page_count == 0 || copy->geometry.page_size == theirs->page_size);
    *receiver = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->copy = copy;
    new->theirs = *theirs;
    new->ours = copy->geometry;
    new->hooks = *hooks;
    page_hasher_init(&new->hasher, copy->hash_key);
    rc = local_copy_check_writable(copy, error);
    if (rc == 0)
        rc = copy_index(&new->index, &copy->index, error);
    if (rc == 0 && copy->partial == NULL)
        rc = make_arrivals(new, error);
    if (rc == 0 && describe)
        rc = start_describing(new, seed, error);
    if (rc == 0)
        rc = page_stream_reader_new(&new->reader, theirs->page_size, copy->partial != NULL ? 0 : new->ours.page_count, fetch_page,
                                    new, error);
    if (rc == 0 && copy->partial == NULL && !copy->held)
        rc = spool_new(&new->spool, copy->real_path, NULL, LIMIT_SPOOL, error);
    if (rc != 0) {
        receiver_free(new);
        return rc;
    }
    *receiver = new;
    return 0;
}

static int take_spool_apart(struct receiver *receiver, struct error *error);

/* In rollback mode what arrived of a pull that broke is still a stream: make pages of it, as far as it goes, for the next attempt. */
static void salvage(struct receiver *receiver)
{
    struct error ignored = {0};

    if (receiver->hooks.resumes && receiver->spool != NULL && receiver->arrivals != NULL && !receiver->complete &&
        spool_size(receiver->spool) > 0) {
        take_spool_apart(receiver, &ignored);
        local_copy_let_go(receiver->copy);
    }
}

void receiver_free(struct receiver *receiver)
{
    if (receiver == NULL)
        return;
    salvage(receiver);
    free(receiver->kept);
    arrivals_free(receiver->arrivals);
    spool_free(receiver->spool);
    free(receiver->old_page);
    page_index_release(&receiver->index);
    page_stream_reader_free(receiver->reader);
    description_free(receiver->description);
    explicit_bzero(&receiver->hasher, sizeof(receiver->hasher));
    free(receiver);
}

const struct geometry *receiver_geometry(const struct receiver *receiver)
{
    return &receiver->ours;
}

enum party_status receiver_status(const struct receiver *receiver)
{
    if (receiver->complete)
        return PARTY_DONE;
    return description_speaks(receiver->description) ? PARTY_SPEAKS : PARTY_LISTENS;
}

/* ---- describing ---- */

int receiver_speak(struct receiver *receiver, struct buffer *out, struct error *error)
{
    return description_speak(receiver->description, out, error);
}

static int hear_ask(struct receiver *receiver, const struct message_ask *ask, struct error *error)
{
    if (receiver->description == NULL)
        return error_set(error, ERR_PROTOCOL, "ASK came where no description of pages was due");
    description_hear(receiver->description, ask);
    return 0;
}

/* ---- taking the stream apart ---- */

/* Whether it is worth reading what the next page replaces, only to keep it as what it differs in. */
static int is_worth_reading(const struct receiver *receiver)
{
    uint64_t given, alike;

    arrivals_likeness(receiver->arrivals, &given, &alike);
    return given - alike < SAMPLE_EVERY || alike >= given / 2 || receiver->pages % SAMPLE_EVERY == 0;
}

/*
 * What page pgno holds before it is written over; *old stays NULL where there is nothing, or where it is not worth reading. The stream often has read
 * it already; but of a page that an earlier attempt left it builds on that.
 */
static int find_old(struct receiver *receiver, uint32_t pgno, const uint8_t **old, struct error *error)
{
    const struct local_copy *copy = receiver->copy;
    int rc;

    *old = NULL;
    if (pgno > copy->geometry.page_count)
        return 0;
    if (kept_place(receiver, pgno) == 0)
        *old = page_stream_reader_old(receiver->reader);
    if (*old != NULL || (receiver->hooks.replace == NULL && !is_worth_reading(receiver)))
        return 0;
    if (receiver->old_page == NULL && (receiver->old_page = malloc(receiver->theirs.page_size)) == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    rc = database_read_page(copy->db, pgno, receiver->old_page, error);
    if (rc == 0)
        *old = receiver->old_page;
    return rc;
}

/* A page came for a database: keep it, and show the hook what it replaces. */
static int keep_page(struct receiver *receiver, uint32_t pgno, const uint8_t *page, struct error *error)
{
    const struct page_version after = {page, receiver->index.hashes[pgno - 1].low};
    struct page_version before = {0};
    int came_before = kept_place(receiver, pgno) > 0;
    int rc = find_old(receiver, pgno, &before.page, error);

    /* By the time that a page is written for the second time, what it replaces is gone. Page 1 is read with some bytes cleared. */
    if (rc == 0)
        rc = arrivals_add(receiver->arrivals, pgno, page, came_before || pgno == 1 ? NULL : before.page, error);
    if (rc == 0 && came_before)
        receiver->kept[pgno - 1] |= CAME_AGAIN;
    if (rc == 0 && before.page != NULL && receiver->hooks.replace != NULL) {
        before.hash_low = receiver->copy->index.hashes[pgno - 1].low;
        receiver->hooks.replace(receiver->hooks.arg, pgno, &before, &after);
    }
    return rc;
}

/* Put the pages that these bytes of the stream complete where they wait, or into the new file. */
static int take_apart(struct receiver *receiver, const uint8_t *data, size_t len, struct error *error)
{
    const uint8_t *page;
    uint32_t pgno;
    int rc;

    page_stream_reader_feed(receiver->reader, data, len);
    for (;;) {
        rc = page_stream_reader_next(receiver->reader, &pgno, &page, error);
        if (rc != 0 || pgno == 0)
            return rc;
        rc = note_page(receiver, pgno, page, error);
        if (rc == 0 && receiver->arrivals == NULL)
            rc = first_copy_write_page(receiver->copy->partial, pgno, page, receiver->theirs.page_size, error);
        else if (rc == 0)
            rc = keep_page(receiver, pgno, page, error);
        if (rc != 0)
            return rc;
    }
}

/* Rollback mode: the whole stream is there; readers hold up writers from here to the end of this function. */
static int take_spool_apart(struct receiver *receiver, struct error *error)
{
    uint8_t chunk[16384];
    size_t len = 1;
    int rc = local_copy_hold(receiver->copy, error);

    while (rc == 0 && len > 0) {
        rc = spool_read(receiver->spool, chunk, sizeof(chunk), &len, error);
        if (rc == 0 && len > 0)
            rc = take_apart(receiver, chunk, len, error);
    }
    spool_free(receiver->spool);
    receiver->spool = NULL;
    return rc;
}

/* Whether the index says that this copy will be what the sender has. */
static int prove(struct receiver *receiver, struct error *error)
{
    uint8_t root[ROOT_SIZE];
    int rc = 0;

    if (receiver->end.pages > 0 && !page_stream_reader_ended(receiver->reader))
        return error_set(error, ERR_PROTOCOL, "the page stream ended too early");
    if (receiver->theirs.page_count < receiver->index.page_count)
        rc = page_index_resize(&receiver->index, receiver->theirs.page_count, error);
    receiver->index.page_size = receiver->theirs.page_size;
    page_index_root(&receiver->index, root);
    if (rc == 0 && (receiver->index.page_count != receiver->theirs.page_count ||
                    memcmp(root, receiver->theirs.root, ROOT_SIZE) != 0))
        rc = error_set(error, ERR_VERIFY_FAILED,
                       "what arrived does not add up to the sender's content; nothing was changed; try again, and "
                       "report this if it comes back");
    return rc;
}

static int hear_pages(struct receiver *receiver, const struct message_pages *pages, struct error *error)
{
    /* The hashes that it describes change from now on. */
    description_free(receiver->description);
    receiver->description = NULL;
    receiver->bytes += pages->len;
    if (!receiver->is_moving) {
        receiver->is_moving = 1;
        meter_enter(receiver->hooks.meter, METER_MOVING);
        meter_begin_pages(receiver->hooks.meter, pages->total);
    }
    if (receiver->spool != NULL)
        return spool_append(receiver->spool, pages->data, pages->len, error);
    return take_apart(receiver, pages->data, pages->len, error);
}

static int hear_end(struct receiver *receiver, const struct message_end *end, struct error *error)
{
    int rc = 0;

    if (end->geometry.page_size != receiver->theirs.page_size || end->geometry.page_count != receiver->theirs.page_count ||
        memcmp(end->geometry.root, receiver->theirs.root, ROOT_SIZE) != 0)
        return error_set(error, ERR_PROTOCOL, "END promises another content than the one that was announced");
    receiver->end = *end;
    if (receiver->spool != NULL)
        rc = take_spool_apart(receiver, error);
    local_copy_let_go(receiver->copy);
    if (rc == 0)
        rc = prove(receiver, error);
    receiver->complete = rc == 0;
    return rc;
}

int receiver_hear(struct receiver *receiver, const struct message *message, struct error *error)
{
    int rc;

    if (receiver_status(receiver) != PARTY_LISTENS)
        return error_set(error, ERR_PROTOCOL, "%s came before the description of pages was through",
                         message_name(message->type));
    switch (message->type) {
    case MESSAGE_ASK:
        return hear_ask(receiver, &message->ask, error);
    case MESSAGE_PAGES:
        rc = hear_pages(receiver, &message->pages, error);
        break;
    case MESSAGE_END:
        rc = hear_end(receiver, &message->end, error);
        break;
    default:
        return error_set(error, ERR_PROTOCOL, "%s came where pages were due", message_name(message->type));
    }
    /* What went wrong may be the fault of what was kept: the next attempt does without. */
    if (rc != 0 && receiver->arrivals != NULL)
        arrivals_discard(receiver->arrivals);
    return rc;
}

/* ---- applying ---- */

/* Whether the page that the arrivals gave last was left by an earlier attempt, and came again in another, or in this one: that one is written. */
static int is_outdated(const struct receiver *receiver, uint32_t pgno)
{
    uint64_t place = arrivals_place(receiver->arrivals);

    return place < receiver->fresh && (pgno > receiver->kept_count || receiver->kept[pgno - 1] != place);
}

/* Write what was proven. A page is hashed again, for it was on a disk, and may be made anew from the one that it replaces. */
static int write_arrivals(struct receiver *receiver, struct error *error)
{
    uint32_t page_size = receiver->theirs.page_size;
    const uint8_t *page;
    uint32_t pgno;
    int rc = 0;

    arrivals_rewind(receiver->arrivals);
    while (rc == 0) {
        rc = arrivals_next(receiver->arrivals, &pgno, &page, error);
        if (rc != 0 || pgno == 0)
            break;
        if (is_outdated(receiver, pgno))
            continue;
        if (page_hash(&receiver->hasher, pgno, page, page_size).low != receiver->index.hashes[pgno - 1].low)
            return error_set(error, ERR_VERIFY_FAILED, "page %u is not what arrived any more; nothing was changed; try again", pgno);
        rc = database_write_page(receiver->copy->db, pgno, page, page_size, error);
    }
    return rc;
}

static int apply_to_database(struct receiver *receiver, struct error *error)
{
    const struct receiver_hooks *hooks = &receiver->hooks;
    struct local_copy *copy = receiver->copy;
    int rc = local_copy_lock(copy, error);

    if (rc != 0)
        return rc;
    /* Before the pages: an fsync of the hook's between them and their commit would wait for them, and so would other writers. */
    if (hooks->before_apply != NULL)
        rc = hooks->before_apply(hooks->arg, error);
    if (rc == 0)
        rc = write_arrivals(receiver, error);
    if (rc == 0 && receiver->theirs.page_count < copy->geometry.page_count)
        rc = database_truncate(copy->db, receiver->theirs.page_count, error);
    if (rc == 0)
        return database_commit(copy->db, error);
    database_end(copy->db);
    return rc;
}

static int apply_first_copy(struct receiver *receiver, struct error *error)
{
    const struct receiver_hooks *hooks = &receiver->hooks;
    int rc = hooks->before_apply != NULL ? hooks->before_apply(hooks->arg, error) : 0;

    return rc != 0 ? rc : local_copy_finish_partial(receiver->copy, receiver->theirs.page_count, error);
}

int receiver_apply(struct receiver *receiver, struct error *error)
{
    struct local_copy *copy = receiver->copy;
    int rc;

    assert(receiver->complete);
    if (receiver->arrivals == NULL)
        rc = apply_first_copy(receiver, error);
    else
        rc = apply_to_database(receiver, error);
    if (rc != 0)
        return error_wrap(error, "writing to %s", copy->path);
    if (receiver->arrivals != NULL)
        arrivals_discard(receiver->arrivals);
    local_copy_swap_index(copy, &receiver->index);
    copy->geometry = receiver->theirs;
    return 0;
}

const struct page_index *receiver_old_index(const struct receiver *receiver)
{
    return &receiver->index;
}

struct arrivals *receiver_arrivals(struct receiver *receiver)
{
    return receiver->arrivals;
}

uint32_t receiver_pages(const struct receiver *receiver)
{
    return receiver->pages;
}

uint64_t receiver_bytes(const struct receiver *receiver)
{
    return receiver->bytes;
}

uint64_t receiver_version(const struct receiver *receiver)
{
    return receiver->end.version;
}
