/*
 *   SCANNING --> AWAITING_HELLO --HELLO, DESCRIBE--> FINDING --(known)--> ATTRIBUTING --> done
 *                                   \----------------------------------------^   (nothing in common, or nothing differs)
 *
 * The origin describes its pages and the sender finds those that differ, as in a push; but here it is not made to go on.
 */
#include "replica/page_diff.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/random.h"
#include "protocol/page/difference.h"
#include "protocol/page/page_owners.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/meter.h"
#include "protocol/sync/party.h"
#include "protocol/sync/sender.h"
#include "replica/greeting.h"

enum stage { SCANNING, AWAITING_HELLO, FINDING, ATTRIBUTING, FINISHED };

struct page_diff {
    struct party party;
    struct local_copy *copy; /* borrowed */
    struct meter *meter;     /* borrowed */
    enum stage stage;
    int scanned;
    int is_greeted;
    struct message_hello hello;
    struct sender *sender;   /* NULL where nothing is to be found */
    struct page_owners owners;
    struct page_diff_row *rows; /* one for each tree, then free pages, pointer maps, pages beyond */
    struct page_diff_result result;
};

static void move_to(struct page_diff *diff, enum stage stage)
{
    static const enum meter_phase phases[] = {METER_SCANNING, METER_CONNECTING, METER_FINDING, METER_APPLYING};

    diff->stage = stage;
    if (stage != FINISHED)
        meter_enter(diff->meter, phases[stage]);
    switch (stage) {
    case SCANNING:
    case ATTRIBUTING:
        diff->party.status = PARTY_SPEAKS;
        break;
    case AWAITING_HELLO:
        diff->party.status = PARTY_LISTENS;
        break;
    case FINDING:
        diff->party.status = sender_status(diff->sender);
        break;
    case FINISHED:
        diff->party.status = PARTY_DONE;
        break;
    }
}

static int speak_scan(struct page_diff *diff, struct error *error)
{
    struct local_copy *copy = diff->copy;
    int rc = sidecar_read(copy->sidecar, &copy->book, error);

    if (rc == 0 && copy->db == NULL)
        rc = error_set(error, ERR_NO_DATABASE, "there is no database at %s to compare", copy->path);
    if (rc == 0 && copy->book.has_lineage)
        rc = greeting_scan(copy, copy->book.hash_key, &diff->scanned, error);
    move_to(diff, AWAITING_HELLO);
    return rc;
}

static int say_describe(struct page_diff *diff, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_DESCRIBE, .describe = {.geometry = diff->copy->geometry}};
    struct sender_options options = {
        .theirs = diff->hello.geometry, .seed = message.describe.seed, .build_on_nothing = 1, .is_dry = 1};
    int rc;

    random_bytes(message.describe.seed, sizeof(message.describe.seed));
    rc = sender_new(&diff->sender, diff->copy, &options, error);
    if (rc == 0)
        rc = message_encode(&message, out, error);
    if (rc == 0)
        move_to(diff, FINDING);
    return rc;
}

static int hear_hello(struct page_diff *diff, const struct message_hello *hello, struct buffer *out, struct error *error)
{
    struct local_copy *copy = diff->copy;
    int rc = greeting_check_protocol(hello, error);

    diff->hello = *hello;
    diff->is_greeted = 1;
    if (rc == 0 && !(hello->flags & HELLO_MAY_PULL))
        rc = error_set(error, ERR_NOT_ALLOWED, "the origin does not let this link pull, so it does not tell which pages differ either; "
                                               "log in with a key that may pull");
    if (rc == 0 && hello->geometry.page_count == 0)
        rc = error_set(error, ERR_NO_DATABASE, "the origin has no database there, or an empty file");
    meter_enter(diff->meter, METER_SCANNING);
    if (rc == 0)
        rc = greeting_scan(copy, hello->hash_key, &diff->scanned, error);
    if (rc == 0 && copy->geometry.page_count > 0 && copy->geometry.page_size != hello->geometry.page_size)
        rc = error_set(error, ERR_PAGE_SIZE,
                       "%s has pages of %u bytes, the origin's database has pages of %u: they cannot be compared page by page; "
                       "`lockstep pull --replace` rebuilds the local file",
                       copy->path, copy->geometry.page_size, hello->geometry.page_size);
    if (rc != 0)
        return rc;
    if (copy->geometry.page_count > 0 && !greeting_is_equal(hello, copy))
        return say_describe(diff, out, error);
    move_to(diff, ATTRIBUTING);
    return 0;
}

/* ---- which table it is ---- */

static int compare_rows(const void *one, const void *other)
{
    const struct page_diff_row *a = one;
    const struct page_diff_row *b = other;

    if (a->differing != b->differing)
        return a->differing < b->differing ? 1 : -1;
    return a->kind != b->kind ? (a->kind > b->kind) - (a->kind < b->kind) : strcmp(a->name, b->name);
}

/* The row that a page of the local copy counts for; NULL for the lock-byte page. */
static struct page_diff_row *row_of(struct page_diff *diff, uint32_t pgno)
{
    size_t trees = diff->owners.tree_count;
    size_t tree;

    switch (page_owners_find(&diff->owners, pgno, &tree)) {
    case OWNER_TREE:
        return &diff->rows[tree];
    case OWNER_FREE:
        return &diff->rows[trees];
    case OWNER_POINTER_MAP:
        return &diff->rows[trees + 1];
    default:
        return NULL;
    }
}

static int make_rows(struct page_diff *diff, struct error *error)
{
    const struct page_owners *owners = &diff->owners;
    size_t trees = owners->tree_count;

    diff->rows = calloc(trees + 3, sizeof(*diff->rows));
    if (diff->rows == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    for (size_t i = 0; i < trees; i++)
        diff->rows[i] = (struct page_diff_row){.kind = owners->trees[i].is_index ? DIFF_INDEX : DIFF_TABLE,
                                               .name = owners->trees[i].name,
                                               .table = owners->trees[i].table};
    diff->rows[trees] = (struct page_diff_row){.kind = DIFF_FREE, .name = "", .table = ""};
    diff->rows[trees + 1] = (struct page_diff_row){.kind = DIFF_POINTER_MAPS, .name = "", .table = ""};
    diff->rows[trees + 2] = (struct page_diff_row){.kind = DIFF_BEYOND, .name = "", .table = ""};
    for (uint32_t pgno = 1; pgno <= owners->page_count; pgno++) {
        struct page_diff_row *row = row_of(diff, pgno);
        if (row != NULL)
            row->pages++;
    }
    return 0;
}

static void count_page(struct page_diff *diff, uint32_t pgno)
{
    struct page_diff_row *row = row_of(diff, pgno);

    if (row == NULL)
        return;
    row->differing++;
    diff->result.differing++;
}

/* Count the pages that differ, and sort. */
static void count(struct page_diff *diff)
{
    struct page_diff_result *result = &diff->result;
    const struct difference_page *pages = NULL;
    struct page_diff_row *beyond = &diff->rows[diff->owners.tree_count + 2];
    uint32_t lock_page = page_lock_byte_page(result->origin.page_size);
    size_t known = 0;

    if (diff->sender != NULL)
        sender_differences(diff->sender, &pages, &known);
    for (size_t i = 0; i < known; i++)
        count_page(diff, pages[i].pgno);
    for (uint32_t pgno = result->origin.page_count + 1; pgno <= result->local.page_count; pgno++)
        count_page(diff, pgno);
    if (result->local.page_count > result->origin.page_count)
        result->only_local = result->local.page_count - result->origin.page_count;
    if (result->origin.page_count > result->local.page_count) {
        result->only_origin = result->origin.page_count - result->local.page_count;
        if (lock_page > result->local.page_count && lock_page <= result->origin.page_count)
            result->only_origin--;
        beyond->differing = beyond->pages = result->only_origin;
        result->differing += result->only_origin;
    }
    qsort(diff->rows, diff->owners.tree_count + 3, sizeof(*diff->rows), compare_rows);
    while (result->row_count < diff->owners.tree_count + 3 && diff->rows[result->row_count].differing > 0)
        result->row_count++;
    result->rows = diff->rows;
}

static int speak_attribute(struct page_diff *diff, struct error *error)
{
    struct local_copy *copy = diff->copy;
    int rc = local_copy_hold(copy, error);

    diff->result.origin = diff->hello.geometry;
    diff->result.version = diff->hello.version;
    diff->result.local = copy->geometry;
    if (rc == 0)
        rc = database_find_owners(copy->db, &diff->owners, error);
    local_copy_let_go(copy);
    if (rc == 0)
        rc = make_rows(diff, error);
    if (rc != 0)
        return rc;
    count(diff);
    move_to(diff, FINISHED);
    return 0;
}

/* ---- the party ---- */

/* The sender heard or asked. Once it knows what differs it would go on to send. */
static void go_on(struct page_diff *diff)
{
    const struct difference_page *pages;
    size_t known;

    move_to(diff, sender_differences(diff->sender, &pages, &known) ? ATTRIBUTING : FINDING);
}

static int hear(struct party *party, const struct message *message, struct buffer *out, struct error *error)
{
    struct page_diff *diff = (struct page_diff *)party;
    int rc;

    if (message->type == MESSAGE_HELLO && diff->stage == AWAITING_HELLO)
        return hear_hello(diff, &message->hello, out, error);
    if (diff->stage != FINDING)
        return error_set(error, ERR_PROTOCOL, "%s came at a time when it means nothing", message_name(message->type));
    rc = sender_hear(diff->sender, message, error);
    if (rc == 0)
        go_on(diff);
    return rc;
}

static int speak(struct party *party, struct buffer *out, struct error *error)
{
    struct page_diff *diff = (struct page_diff *)party;
    int rc;

    switch (diff->stage) {
    case SCANNING:
        return speak_scan(diff, error);
    case FINDING:
        rc = sender_speak(diff->sender, out, error);
        if (rc == 0)
            go_on(diff);
        return rc;
    case ATTRIBUTING:
        return speak_attribute(diff, error);
    default:
        return error_set(error, ERR_INTERNAL, "the comparison has nothing to say");
    }
}

int page_diff_new(struct page_diff **diff, struct local_copy *copy, struct meter *meter, struct error *error)
{
    static const struct party_methods methods = {hear, speak, NULL};
    struct page_diff *new = calloc(1, sizeof(*new));

    *diff = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->party.methods = &methods;
    new->copy = copy;
    new->meter = meter;
    move_to(new, SCANNING);
    *diff = new;
    return 0;
}

void page_diff_free(struct page_diff *diff)
{
    if (diff == NULL)
        return;
    sender_free(diff->sender);
    page_owners_release(&diff->owners);
    explicit_bzero(&diff->hello, sizeof(diff->hello));
    free(diff->rows);
    free(diff);
}

struct party *page_diff_party(struct page_diff *diff)
{
    return &diff->party;
}

const struct message_hello *page_diff_hello(const struct page_diff *diff)
{
    return diff->is_greeted ? &diff->hello : NULL;
}

const struct page_diff_result *page_diff_result(const struct page_diff *diff)
{
    return &diff->result;
}
