/* Peers that lie: whatever they say, both databases stay as they were, and nobody crashes, waits or
 * believes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/page/page_stream.h"
#include "tests/page/sample.h"
#include "tests/sync/duet.h"

#define ROWS(n)                                                                                    \
    "PRAGMA page_size = 512; CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(i) AS "    \
    "(VALUES(1) UNION ALL SELECT i + 1 FROM c WHERE i < " #n                                       \
    ") INSERT INTO t SELECT i, hex(randomblob(150)) FROM c;"

static char *origin, *replica;
static uint64_t contents[2];

/* Two that differ, or with `first` one that is missing at the receiver's. */
static void make(enum duet_kind kind, int first)
{
    const int receiver = kind == DUET_PULL ? DUET_REPLICA : DUET_ORIGIN;

    origin = duet_path("origin.db");
    replica = duet_path("replica.db");
    if (first) {
        sample_sql(receiver == DUET_REPLICA ? origin : replica, ROWS(40));
    } else {
        sample_sql(origin, ROWS(40));
        duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
        sample_sql(kind == DUET_PULL ? origin : replica,
                   "UPDATE t SET b = hex(randomblob(150)) WHERE a % 3 = 0");
    }
    contents[0] = duet_content(origin);
    contents[1] = duet_content(replica);
}

static void check_unchanged(void)
{
    assert_true(duet_content(origin) == contents[0]);
    assert_true(duet_content(replica) == contents[1]);
    if (contents[0] != 0)
        duet_check_whole(origin);
    if (contents[1] != 0)
        duet_check_whole(replica);
}

/* ---- contents that are not what was announced ---- */

/* What is changed in a message on its way, by number. */
enum lie {
    ROOT_EVERYWHERE,  /* the pages add up to another root than announced, from the first message on
                       */
    COUNT_EVERYWHERE, /* a page more is announced than comes */
    FEWER_EVERYWHERE, /* a page less */
    END_ROOT,
    END_COUNT,
    END_PAGE_SIZE,
    PAGES_LOST, /* of the page stream, a message */
    PAGES_TWICE,
    PAGES_DAMAGED,
    END_EARLY, /* before the pages */
    LIES
};

struct plan {
    enum lie lie;
    enum duet_side victim;
    int done;
};

static struct geometry *announced(struct message *message)
{
    return message->type == MESSAGE_HELLO  ? &message->hello.geometry
           : message->type == MESSAGE_PUSH ? &message->push.geometry
           : message->type == MESSAGE_END  ? &message->end.geometry
                                           : NULL;
}

static int lie(void *arg, enum duet_side to, struct message *message, struct buffer *before)
{
    static uint8_t damaged[65536];
    struct plan *plan = arg;
    struct geometry *geometry = announced(message);
    struct message end;

    if (to != plan->victim)
        return 0;
    if (geometry != NULL && geometry->page_count > 0) {
        if (plan->lie == ROOT_EVERYWHERE || (plan->lie == END_ROOT && message->type == MESSAGE_END))
            geometry->root[5] ^= 1;
        if (plan->lie == COUNT_EVERYWHERE ||
            (plan->lie == END_COUNT && message->type == MESSAGE_END))
            geometry->page_count++;
        if (plan->lie == FEWER_EVERYWHERE)
            geometry->page_count--;
        if (plan->lie == END_PAGE_SIZE && message->type == MESSAGE_END)
            geometry->page_size *= 2;
        if (plan->lie == END_EARLY && message->type != MESSAGE_END)
            plan->done = 0;
    }
    if (message->type != MESSAGE_PAGES || plan->done)
        return 0;
    plan->done = 1;
    switch (plan->lie) {
    case PAGES_LOST:
        return 1;
    case PAGES_TWICE:
        ok(message_encode(message, before, &failure));
        return 0;
    case PAGES_DAMAGED:
        memcpy(damaged, message->pages.data, message->pages.len);
        damaged[message->pages.len / 2] ^= 0x10;
        message->pages.data = damaged;
        return 0;
    case END_EARLY:
        memset(&end, 0, sizeof(end));
        end.type = MESSAGE_END;
        ok(message_encode(&end, before, &failure));
        return 0;
    default:
        return 0;
    }
}

static void test_content_is_proven(void **unused)
{
    (void)unused;
    for (int kind = DUET_PULL; kind <= DUET_PUSH; kind++) {
        for (int i = 0; i < LIES * 2; i++) {
            struct plan plan = {(enum lie)(i / 2), kind == DUET_PULL ? DUET_REPLICA : DUET_ORIGIN,
                                0};
            struct duet_options options = {
                .kind = (enum duet_kind)kind, .tamper = lie, .arg = &plan};
            struct duet_outcome outcome;
            make((enum duet_kind)kind, i % 2);
            options.origin = origin;
            options.replica = replica;
            outcome = duet_run(&options);
            if (outcome.code == 0)
                print_error("%s, lie %d, %s\n", kind == DUET_PULL ? "pull" : "push", plan.lie,
                            i % 2 ? "first" : "later");
            if (plan.lie == ROOT_EVERYWHERE)
                duet_expect(outcome, ERR_VERIFY_FAILED);
            else if (plan.lie >= END_ROOT && plan.lie <= END_PAGE_SIZE)
                duet_expect(outcome, ERR_PROTOCOL);
            else /* NO_LINK: each waits for what the other thinks is none of its pages, until the
                    time-out */
                assert_true(outcome.code == ERR_PROTOCOL || outcome.code == ERR_VERIFY_FAILED ||
                            (outcome.code == ERR_NO_LINK && plan.lie <= FEWER_EVERYWHERE));
            check_unchanged();
            duet_expect(duet_sync((enum duet_kind)kind, origin, replica, NULL), 0);
            duet_check_equal(origin, replica);
        }
    }
}

/* ---- receipts ---- */

static int falsify_receipt(void *arg, enum duet_side to, struct message *message,
                           struct buffer *before)
{
    const int *field = arg;

    (void)before;
    if (to != DUET_REPLICA || message->type != MESSAGE_RECEIPT)
        return 0;
    if (*field == 0)
        message->receipt.root[0] ^= 1;
    else
        message->receipt.push_id[0] ^= 1;
    return 0;
}

/* A receipt for another push or another content is none. */
static void test_false_receipts(void **unused)
{
    (void)unused;
    for (int field = 0; field < 2; field++) {
        struct duet_options options = {.kind = DUET_PUSH, .tamper = falsify_receipt, .arg = &field};
        uint8_t base[ROOT_SIZE];
        make(DUET_PUSH, 0);
        memcpy(base, duet_book(replica).base_root, sizeof(base));
        options.origin = origin;
        options.replica = replica;
        duet_expect(duet_run(&options), ERR_PROTOCOL);
        assert_true(duet_book(replica).has_pending);
        assert_memory_equal(duet_book(replica).base_root, base, ROOT_SIZE);
    }
}

/* ---- HELLO ---- */

struct greetings {
    int count;
    uint32_t page_size; /* that the later ones claim; 0: none */
    enum message_type at;
    int done;
    struct message hello;
};

static int greet_often(void *arg, enum duet_side to, struct message *message, struct buffer *before)
{
    struct greetings *greetings = arg;

    if (to != DUET_REPLICA)
        return 0;
    if (message->type == MESSAGE_HELLO && greetings->hello.type == 0)
        greetings->hello = *message;
    if (message->type != greetings->at || greetings->done)
        return 0;
    greetings->done = 1;
    if (greetings->page_size != 0) {
        greetings->hello.hello.geometry.page_size = greetings->page_size;
        greetings->hello.hello.geometry.root[7] ^= 1;
    }
    for (int i = 0; i < greetings->count; i++)
        ok(message_encode(&greetings->hello, before, &failure));
    return 0;
}

static void test_hello_floods(void **unused)
{
    (void)unused;
    for (int kind = DUET_PULL; kind <= DUET_PUSH; kind++) {
        for (int first = 0; first < 2; first++) {
            struct greetings greetings = {.count = 200, .at = MESSAGE_HELLO};
            struct duet_options options = {
                .kind = (enum duet_kind)kind, .tamper = greet_often, .arg = &greetings};
            struct duet_outcome outcome;
            make((enum duet_kind)kind, first);
            options.origin = origin;
            options.replica = replica;
            outcome = duet_run(&options);
            if (outcome.code != ERR_PROTOCOL)
                duet_expect(outcome, ERR_MOVED);
            check_unchanged();
        }
    }
}

static int lose_end(void *arg, enum duet_side to, struct message *message, struct buffer *before)
{
    (void)arg, (void)before;
    return to == DUET_REPLICA && message->type == MESSAGE_END;
}

/* HELLO in the middle of a transfer: of the same content, and of another page size than what came
 * so far has. */
static void test_hello_in_between(void **unused)
{
    static const enum message_type moments[] = {MESSAGE_PAGES, MESSAGE_END};
    static const uint32_t page_sizes[] = {0, 1024};

    (void)unused;
    for (int i = 0; i < 8; i++) {
        struct greetings greetings = {
            .count = 1, .at = moments[i / 2 % 2], .page_size = page_sizes[i / 4]};
        struct duet_options options = {.kind = DUET_PULL, .tamper = greet_often, .arg = &greetings};
        struct duet_outcome outcome;
        make(DUET_PULL, i % 2);
        options.origin = origin;
        options.replica = replica;
        if (i % 2) { /* a partial that has all pages already */
            const struct duet_options lost = {
                .kind = DUET_PULL, .origin = origin, .replica = replica, .tamper = lose_end};
            duet_expect(duet_run(&lost), ERR_NO_LINK);
        }
        outcome = duet_run(&options);
        if (!(i % 2))
            assert_int_not_equal(outcome.code, 0);
        if (outcome.code != 0)
            check_unchanged();
        duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
        duet_check_equal(origin, replica);
    }
}

/* A whole partial, and an origin that says HELLO twice with just that content: there must be a
 * database in the end. */
static int hello_after_pull(void *arg, enum duet_side to, struct message *message,
                            struct buffer *before)
{
    struct greetings *greetings = arg;

    if (to == DUET_REPLICA && message->type == MESSAGE_HELLO)
        greetings->hello = *message;
    if (to == DUET_REPLICA && message->type == MESSAGE_END && !greetings->done) {
        greetings->done = 1;
        greetings->hello.hello.flags &= ~HELLO_FRESH;
        ok(message_encode(&greetings->hello, before, &failure));
        return 1;
    }
    return 0;
}

static void test_hello_again_with_a_whole_partial(void **unused)
{
    struct greetings greetings = {.count = 1};
    struct duet_options options = {.kind = DUET_PULL, .tamper = lose_end};
    struct duet_outcome outcome;

    (void)unused;
    make(DUET_PULL, 1);
    options.origin = origin;
    options.replica = replica;
    duet_expect(duet_run(&options), ERR_NO_LINK);
    options.tamper = hello_after_pull;
    options.arg = &greetings;
    outcome = duet_run(&options);
    assert_true(outcome.code != 0 || access(replica, F_OK) == 0);
    duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
    duet_check_equal(origin, replica);
}

/* An origin that claims more pages than any memory holds. */
static int claim_pages(void *arg, enum duet_side to, struct message *message, struct buffer *before)
{
    const enum duet_side *victim = arg;
    struct geometry *geometry = announced(message);

    (void)before;
    if (message->type == MESSAGE_PULL)
        geometry = &message->pull.geometry;
    if (to == *victim && geometry != NULL && geometry->page_count > 0)
        geometry->page_count = 4294967294u;
    return 0;
}

static void test_page_count_claims(void **unused)
{
    (void)unused;
    for (int i = 0; i < 8; i++) {
        enum duet_side victim = i % 2 ? DUET_ORIGIN : DUET_REPLICA;
        struct duet_options options = {
            .kind = i / 2 % 2 ? DUET_PULL : DUET_PUSH, .tamper = claim_pages, .arg = &victim};
        make(options.kind, i / 4);
        options.origin = origin;
        options.replica = replica;
        if (duet_run(&options).code != 0)
            check_unchanged();
        if (access(replica, F_OK) == 0 && access(origin, F_OK) == 0 &&
            duet_content(origin) == duet_content(replica))
            continue;
        duet_expect(duet_sync(options.kind, origin, replica, NULL), 0);
        duet_check_equal(origin, replica);
    }
}

/* ---- pages out of order ---- */

static int wrong_pages(void *arg, enum duet_side to, struct message *message, struct buffer *before)
{
    const enum duet_side *victim = arg;
    struct page_stream_writer *writer;
    struct message pages = {.type = MESSAGE_PAGES};
    uint8_t page[512] = "not the first page";
    struct buffer bytes;

    if (to != *victim || message->type != MESSAGE_PAGES)
        return 0;
    buffer_init(&bytes, 1u << 20);
    ok(page_stream_writer_new(&writer, sizeof(page), 0, NULL, &failure));
    ok(page_stream_writer_add(writer, 70, page, 0, &bytes, &failure));
    ok(page_stream_writer_finish(writer, &bytes, &failure));
    page_stream_writer_free(writer);
    pages.pages.data = bytes.data;
    pages.pages.len = (uint32_t)bytes.len;
    ok(message_encode(&pages, before, &failure));
    buffer_release(&bytes);
    return 1;
}

static void test_pages_out_of_order(void **unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++) {
        enum duet_side victim = i % 2 ? DUET_ORIGIN : DUET_REPLICA;
        struct duet_options options = {
            .kind = i % 2 ? DUET_PUSH : DUET_PULL, .tamper = wrong_pages, .arg = &victim};
        make(options.kind, i / 2);
        options.origin = origin;
        options.replica = replica;
        duet_expect(duet_run(&options), ERR_PROTOCOL);
        check_unchanged();
        duet_expect(duet_sync(options.kind, origin, replica, NULL), 0);
        duet_check_equal(origin, replica);
    }
}

/* ---- messages at wrong times ---- */

struct wrong_time {
    enum message_type type; /* that comes */
    enum duet_side victim;
    int number;           /* before this message of those to the victim, counted from 0 */
    int count;            /* so far */
    struct message hello; /* a copy, to be believable */
};

static int say_at_wrong_time(void *arg, enum duet_side to, struct message *message,
                             struct buffer *before)
{
    static const uint8_t bytes[64] = {1, 2, 3};
    struct wrong_time *plan = arg;
    struct message extra = {.type = plan->type};

    if (message->type == MESSAGE_HELLO)
        plan->hello = *message;
    if (to != plan->victim || plan->count++ != plan->number)
        return 0;
    switch (plan->type) {
    case MESSAGE_HELLO:
        extra = plan->hello;
        if (extra.type == 0 || extra.hello.geometry.page_count == 0)
            return 0;
        extra.hello.geometry.root[3] ^= 4;
        break;
    case MESSAGE_PULL:
        extra.pull.geometry = plan->hello.hello.geometry;
        break;
    case MESSAGE_PUSH:
        extra.push.geometry = plan->hello.hello.geometry;
        if (extra.push.geometry.page_count == 0)
            extra.push.geometry = (struct geometry){512, 3, {1}};
        extra.push.geometry.root[3] ^= 4;
        break;
    case MESSAGE_CELLS:
        extra.cells.data = bytes;
        extra.cells.len = 64;
        break;
    case MESSAGE_HASHES:
        extra.hashes.first = 1;
        extra.hashes.data = bytes;
        extra.hashes.len = 64;
        break;
    case MESSAGE_ASK:
        extra.ask.kind = ASK_CELLS;
        extra.ask.first = 1;
        extra.ask.count = UINT64_MAX - 1;
        break;
    case MESSAGE_PAGES:
        extra.pages.data = bytes;
        extra.pages.len = 64;
        break;
    case MESSAGE_END:
        extra.end.geometry = plan->hello.hello.geometry;
        break;
    case MESSAGE_FENCE:
        extra.fence.token = 3;
        break;
    case MESSAGE_OPEN:
        extra.open.protocol = PROTOCOL_VERSION;
        break;
    case MESSAGE_DESCRIBE:
        extra.describe.geometry = plan->hello.hello.geometry;
        break;
    case MESSAGE_HISTORY:
        extra.history.count = 5;
        break;
    default:
        break;
    }
    ok(message_encode(&extra, before, &failure));
    return 0;
}

/* Every message before every other: an error or no matter, and never a change that was not proven.
 */
static void test_messages_at_wrong_times(void **unused)
{
    int refused = 0, tried = 0;

    (void)unused;
    for (int i = 0; i < 8; i++) {
        const enum duet_kind kind = i % 2 ? DUET_PUSH : DUET_PULL;
        const int receiver = kind == DUET_PULL ? DUET_REPLICA : DUET_ORIGIN;
        char *still[2];
        make(kind, i / 2 % 2);
        still[0] = duet_path("still-origin.db");
        still[1] = duet_path("still-replica.db");
        duet_copy(origin, still[0]);
        duet_copy(replica, still[1]);
        for (int type = MESSAGE_HELLO; type <= MESSAGE_ENTRY; type++) {
            for (int number = 0; type != MESSAGE_ERROR && number < 20; number++) {
                struct wrong_time plan = {.type = (enum message_type)type,
                                          .victim = (enum duet_side)(i / 4),
                                          .number = number};
                const struct duet_options options = {.kind = kind,
                                                     .origin = origin,
                                                     .replica = replica,
                                                     .tamper = say_at_wrong_time,
                                                     .arg = &plan};
                struct duet_outcome outcome;
                duet_copy(still[0], origin);
                duet_copy(still[1], replica);
                outcome = duet_run(&options);
                if (plan.count <= number)
                    break;
                tried++;
                refused += outcome.code != 0;
                assert_true(duet_content(receiver == DUET_REPLICA ? origin : replica) ==
                            contents[!receiver]);
                if (outcome.code == 0)
                    assert_true(duet_content(origin) == duet_content(replica));
                else
                    assert_true(duet_content(receiver == DUET_REPLICA ? replica : origin) ==
                                    contents[receiver] ||
                                duet_content(origin) == duet_content(replica));
                if (duet_content(origin) != 0)
                    duet_check_whole(origin);
                if (duet_content(replica) != 0)
                    duet_check_whole(replica);
            }
        }
    }
    print_message("%d of %d ended the conversation\n", refused, tried);
    assert_true(refused > tried / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_is_proven),
        cmocka_unit_test(test_false_receipts),
        cmocka_unit_test(test_hello_floods),
        cmocka_unit_test(test_hello_in_between),
        cmocka_unit_test(test_hello_again_with_a_whole_partial),
        cmocka_unit_test(test_page_count_claims),
        cmocka_unit_test(test_pages_out_of_order),
        cmocka_unit_test(test_messages_at_wrong_times),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
