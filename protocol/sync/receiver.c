#include "protocol/sync/receiver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/difference.h"
#include "protocol/page/first_copy.h"
#include "protocol/page/page_stream.h"
#include "protocol/page/spool.h"
#include "protocol/sync/local_copy.h"

struct receiver {
    struct local_copy *copy; /* borrowed */
    struct geometry theirs;  /* what this copy is to become */
    uint32_t common;         /* pages that both sides have */
    int complete;            /* END has come */
    struct message_end end;
    struct difference_describer *describer; /* NULL where this copy has no pages */
    struct difference_want want; /* what is still to be described; count 0: nothing */
    struct page_stream_reader *reader;
    struct page_hasher hasher;
    struct spool *spool;     /* the stream, for a database that exists; NULL: pages go to copy->partial */
    uint32_t pages;          /* written so far */
};

/* A page of this copy from before the sync, for a record of the stream that builds on it. */
static int fetch_page(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    struct receiver *receiver = arg;

    return database_read_page(receiver->copy->db, pgno, page, error);
}

int receiver_new(struct receiver **receiver, struct local_copy *copy, const struct geometry *theirs,
                 const uint8_t seed[LINEAGE_SIZE], struct error *error)
{
    struct receiver *new = calloc(1, sizeof(*new));
    int rc;

    assert(copy->geometry.page_count == 0 || copy->geometry.page_size == theirs->page_size);
    *receiver = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->copy = copy;
    new->theirs = *theirs;
    page_hasher_init(&new->hasher, copy->hash_key);
    new->common = theirs->page_count < copy->geometry.page_count ? theirs->page_count : copy->geometry.page_count;
    rc = page_stream_reader_new(&new->reader, theirs->page_size, 0, fetch_page, new, error);
    /* Equal roots: a partial that only lacked its name. Nothing will be sent, so nothing is described. */
    if (rc == 0 && new->common > 0 && memcmp(theirs->root, copy->geometry.root, ROOT_SIZE) != 0) {
        new->want = difference_first_flight(new->common);
        rc = difference_describer_new(&new->describer, copy->index.hashes, new->common, seed, error);
    }
    if (rc == 0 && copy->partial == NULL)
        rc = spool_new(&new->spool, copy->real_path, NULL, LIMIT_SPOOL, error);
    if (rc != 0) {
        receiver_free(new);
        return rc;
    }
    *receiver = new;
    return 0;
}

void receiver_free(struct receiver *receiver)
{
    if (receiver == NULL)
        return;
    spool_free(receiver->spool);
    page_stream_reader_free(receiver->reader);
    difference_describer_free(receiver->describer);
    explicit_bzero(&receiver->hasher, sizeof(receiver->hasher));
    free(receiver);
}

enum party_status receiver_status(const struct receiver *receiver)
{
    if (receiver->complete)
        return PARTY_DONE;
    return receiver->want.count > 0 ? PARTY_SPEAKS : PARTY_LISTENS;
}

/* ---- describing ---- */

int receiver_speak(struct receiver *receiver, struct buffer *out, struct error *error)
{
    int is_cells = receiver->want.kind == DIFFERENCE_CELLS;
    size_t unit = is_cells ? DIFFERENCE_CELL_SIZE : DIFFERENCE_HASH_SIZE;
    struct difference_want part = receiver->want;
    struct message message = {.type = is_cells ? MESSAGE_CELLS : MESSAGE_HASHES};
    struct buffer bytes;
    int rc;

    if (part.count > LIMIT_CHUNK / unit)
        part.count = LIMIT_CHUNK / unit;
    buffer_init(&bytes, LIMIT_CHUNK);
    rc = difference_describe(receiver->describer, &part, &bytes, error);
    if (rc == 0 && is_cells) {
        message.cells.first = part.first;
        message.cells.data = bytes.data;
        message.cells.len = (uint32_t)bytes.len;
    } else if (rc == 0) {
        message.hashes.first = (uint32_t)part.first;
        message.hashes.data = bytes.data;
        message.hashes.len = (uint32_t)bytes.len;
    }
    if (rc == 0)
        rc = message_encode(&message, out, error);
    buffer_release(&bytes);
    receiver->want.first += part.count;
    receiver->want.count -= part.count;
    return rc;
}

static int hear_ask(struct receiver *receiver, const struct message_ask *ask, struct error *error)
{
    if (receiver->describer == NULL || receiver->pages > 0 || ask->count == 0)
        return error_set(error, ERR_PROTOCOL, "ASK came where no description of pages was due");
    receiver->want.kind = ask->kind == ASK_CELLS ? DIFFERENCE_CELLS : DIFFERENCE_HASHES;
    receiver->want.first = ask->first;
    receiver->want.count = ask->count;
    return 0;
}

/* ---- taking the stream ---- */

/*
 * Note the hash of a page that came. The index grows only by pages that really come, one behind the other, so that no
 * claim of the peer's costs memory.
 */
static int note_page(struct receiver *receiver, uint32_t pgno, const uint8_t *page, struct error *error)
{
    struct page_index *index = &receiver->copy->index;
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
    return rc;
}

/* Write the pages that the stream yields so far, to the new file or within the write transaction. */
static int write_pages(struct receiver *receiver, struct error *error)
{
    const uint8_t *page;
    uint32_t pgno;
    int rc;

    for (;;) {
        rc = page_stream_reader_next(receiver->reader, &pgno, &page, error);
        if (rc != 0 || pgno == 0)
            return rc;
        rc = note_page(receiver, pgno, page, error);
        if (rc == 0 && receiver->spool == NULL)
            rc = first_copy_write_page(receiver->copy->partial, pgno, page, receiver->theirs.page_size, error);
        else if (rc == 0)
            rc = database_write_page(receiver->copy->db, pgno, page, receiver->theirs.page_size, error);
        if (rc != 0)
            return rc;
    }
}

static int hear_pages(struct receiver *receiver, const struct message_pages *pages, struct error *error)
{
    if (receiver->spool != NULL)
        return spool_append(receiver->spool, pages->data, pages->len, error);
    page_stream_reader_feed(receiver->reader, pages->data, pages->len);
    return write_pages(receiver, error);
}

static int hear_end(struct receiver *receiver, const struct message_end *end, struct error *error)
{
    if (end->geometry.page_size != receiver->theirs.page_size || end->geometry.page_count != receiver->theirs.page_count ||
        memcmp(end->geometry.root, receiver->theirs.root, ROOT_SIZE) != 0)
        return error_set(error, ERR_PROTOCOL, "END promises another content than the one that was announced");
    receiver->end = *end;
    receiver->complete = 1;
    return 0;
}

int receiver_hear(struct receiver *receiver, const struct message *message, struct error *error)
{
    if (receiver_status(receiver) != PARTY_LISTENS)
        return error_set(error, ERR_PROTOCOL, "%s came before the description of pages was through",
                         message_name(message->type));
    switch (message->type) {
    case MESSAGE_ASK:
        return hear_ask(receiver, &message->ask, error);
    case MESSAGE_PAGES:
        return hear_pages(receiver, &message->pages, error);
    case MESSAGE_END:
        return hear_end(receiver, &message->end, error);
    default:
        return error_set(error, ERR_PROTOCOL, "%s came where pages were due", message_name(message->type));
    }
}

/* ---- applying ---- */

/* Whether the index says that this copy is now what the sender has. */
static int prove(struct receiver *receiver, struct error *error)
{
    uint8_t root[ROOT_SIZE];

    if (receiver->end.pages > 0 && !page_stream_reader_ended(receiver->reader))
        return error_set(error, ERR_PROTOCOL, "the page stream ended too early");
    page_index_root(&receiver->copy->index, root);
    if (memcmp(root, receiver->theirs.root, ROOT_SIZE) != 0)
        return error_set(error, ERR_VERIFY_FAILED,
                         "what arrived does not add up to the sender's content; nothing was changed; try again, and "
                         "report this if it comes back");
    return 0;
}

/* Everything between the lock and the commit. */
static int apply_locked(struct receiver *receiver, struct error *error)
{
    struct local_copy *copy = receiver->copy;
    uint8_t chunk[16384];
    size_t len;
    int rc = 0;

    spool_rewind(receiver->spool);
    while (rc == 0) {
        rc = spool_read(receiver->spool, chunk, sizeof(chunk), &len, error);
        if (rc != 0 || len == 0)
            break;
        page_stream_reader_feed(receiver->reader, chunk, len);
        rc = write_pages(receiver, error);
    }
    if (rc == 0 && receiver->theirs.page_count < copy->index.page_count) {
        rc = database_truncate(copy->db, receiver->theirs.page_count, error);
        if (rc == 0)
            rc = page_index_resize(&copy->index, receiver->theirs.page_count, error);
    }
    if (rc == 0)
        rc = prove(receiver, error);
    return rc;
}

static int apply_to_database(struct receiver *receiver, int (*before_commit)(void *arg, struct error *error), void *arg,
                             struct error *error)
{
    struct local_copy *copy = receiver->copy;
    int rc = local_copy_lock(copy, error);

    if (rc != 0)
        return rc;
    rc = apply_locked(receiver, error);
    if (rc == 0 && before_commit != NULL)
        rc = before_commit(arg, error);
    if (rc == 0)
        return database_commit(copy->db, error);
    database_end(copy->db);
    return rc;
}

static int apply_first_copy(struct receiver *receiver, int (*before_commit)(void *arg, struct error *error), void *arg,
                            struct error *error)
{
    struct local_copy *copy = receiver->copy;
    int rc = 0;

    if (receiver->theirs.page_count < copy->index.page_count)
        rc = page_index_resize(&copy->index, receiver->theirs.page_count, error);
    if (rc == 0)
        rc = prove(receiver, error);
    if (rc == 0 && before_commit != NULL)
        rc = before_commit(arg, error);
    return rc != 0 ? rc : local_copy_finish_partial(copy, receiver->theirs.page_count, error);
}

int receiver_apply(struct receiver *receiver, int (*before_commit)(void *arg, struct error *error), void *arg,
                   struct error *error)
{
    int rc;

    assert(receiver->complete);
    if (receiver->spool == NULL)
        rc = apply_first_copy(receiver, before_commit, arg, error);
    else
        rc = apply_to_database(receiver, before_commit, arg, error);
    if (rc != 0)
        return error_wrap(error, "writing to %s", receiver->copy->path);
    receiver->copy->geometry = receiver->theirs;
    return 0;
}

uint32_t receiver_pages(const struct receiver *receiver)
{
    return receiver->pages;
}

uint64_t receiver_version(const struct receiver *receiver)
{
    return receiver->end.version;
}
