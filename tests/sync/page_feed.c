/* page_feed: all pages, in order, whatever is taken when; an error in its place; nothing is read once it is freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/sync/page_feed.h"

#define PAGE_SIZE 512u

/* Pages 1 to last; page pgno is full of its number, its old content of the number before; every third has none. */
struct numbers {
    uint32_t next, last;
    uint32_t fails_at;    /* 0: nowhere */
    uint32_t old_fails_at;
    uint32_t old_read;    /* how many old pages were asked for */
};

static uint32_t next(void *arg)
{
    struct numbers *numbers = arg;

    return numbers->next < numbers->last ? ++numbers->next : 0;
}

static int read_new(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    struct numbers *numbers = arg;

    if (pgno == numbers->fails_at)
        return error_set(error, ERR_IO, "page %u", pgno);
    memset(page, (int)(pgno & 0xff), PAGE_SIZE);
    return 0;
}

static int read_old(void *arg, uint32_t pgno, const uint8_t *page, uint8_t *old, int *known, struct error *error)
{
    struct numbers *numbers = arg;

    numbers->old_read++;
    if (pgno == numbers->old_fails_at)
        return error_set(error, ERR_MOVED, "old page %u", pgno);
    assert_int_equal(page[0], pgno & 0xff);
    memset(old, (int)((pgno - 1) & 0xff), PAGE_SIZE);
    *known = pgno % 3 != 0;
    return 0;
}

static struct page_feed *start(struct numbers *numbers)
{
    const struct page_feed_source source = {next, read_new, read_old, numbers};
    struct error error = {0};
    struct page_feed *feed;

    assert_int_equal(page_feed_new(&feed, PAGE_SIZE, &source, 1, &error), 0);
    return feed;
}

static void check(const struct fed_page *page, uint32_t pgno)
{
    uint8_t wanted[PAGE_SIZE];

    assert_int_equal(page->pgno, pgno);
    memset(wanted, (int)(pgno & 0xff), PAGE_SIZE);
    assert_memory_equal(page->page, wanted, PAGE_SIZE);
    if (page->has_old == FED_OLD_NOT_READ)
        return;
    assert_int_equal(page->has_old, pgno % 3 != 0 ? FED_OLD_KNOWN : FED_OLD_UNKNOWN);
    memset(wanted, (int)((pgno - 1) & 0xff), PAGE_SIZE);
    assert_memory_equal(page->old, wanted, PAGE_SIZE);
}

static void all_pages_in_order(void **state)
{
    static const uint32_t counts[] = {0, 1, 2, 31, 32, 33, 63, 64, 65, 1000, 5000};
    struct error error = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct numbers numbers = {.last = counts[i]};
        struct page_feed *feed = start(&numbers);
        struct fed_page page;

        for (uint32_t pgno = 1; pgno <= counts[i]; pgno++) {
            assert_int_equal(page_feed_next(feed, &page, &error), 0);
            check(&page, pgno);
            assert_int_not_equal(page.has_old, FED_OLD_NOT_READ);
        }
        for (int again = 0; again < 2; again++) {
            assert_int_equal(page_feed_next(feed, &page, &error), 0);
            assert_int_equal(page.pgno, 0);
        }
        page_feed_free(feed);
        assert_int_equal(numbers.old_read, counts[i]);
    }
}

static void errors_come_in_their_place(void **state)
{
    struct numbers numbers[] = {{.last = 500, .fails_at = 217}, {.last = 500, .old_fails_at = 217}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct page_feed *feed = start(&numbers[i]);
        struct error error = {0};
        struct fed_page page;

        for (uint32_t pgno = 1; pgno < 217; pgno++) {
            assert_int_equal(page_feed_next(feed, &page, &error), 0);
            check(&page, pgno);
        }
        assert_int_equal(page_feed_next(feed, &page, &error), i == 0 ? ERR_IO : ERR_MOVED);
        assert_non_null(strstr(error.text, "page 217"));
        page_feed_free(feed);
        assert_int_equal(numbers[i].next, 217);
    }
}

/* Old pages are left out soon after they are not wanted, and come again when they are. */
static void old_pages_as_wanted(void **state)
{
    struct numbers numbers = {.last = 3000};
    struct page_feed *feed = start(&numbers);
    struct error error = {0};
    struct fed_page page;

    (void)state;
    for (uint32_t pgno = 1; pgno <= 3000; pgno++) {
        assert_int_equal(page_feed_next(feed, &page, &error), 0);
        check(&page, pgno);
        page_feed_want_old(feed, pgno < 1000 || pgno >= 2000);
        if (pgno > 1000 + 66 && pgno <= 2000)
            assert_int_equal(page.has_old, FED_OLD_NOT_READ);
        if (pgno <= 1000 || pgno > 2000 + 66)
            assert_int_not_equal(page.has_old, FED_OLD_NOT_READ);
    }
    page_feed_free(feed);
}

/* Freed at any place, whether or not the thread waits; and while somebody else uses what is behind the source. */
static void stops_anywhere(void **state)
{
    struct error error = {0};
    struct fed_page page;

    (void)state;
    for (uint32_t taken = 0; taken < 140; taken += 7) {
        struct numbers numbers = {.last = 100000};
        struct page_feed *feed = start(&numbers);
        uint32_t seen;

        for (uint32_t pgno = 1; pgno <= taken; pgno++) {
            assert_int_equal(page_feed_next(feed, &page, &error), 0);
            check(&page, pgno);
            page_feed_lock(feed);
            seen = numbers.next;
            assert_true(seen >= pgno && seen <= pgno + 64);
            assert_int_equal(numbers.next, seen);
            page_feed_unlock(feed);
        }
        page_feed_free(feed);
        assert_true(numbers.next <= taken + 65);
    }
    page_feed_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_pages_in_order),
        cmocka_unit_test(errors_come_in_their_place),
        cmocka_unit_test(old_pages_as_wanted),
        cmocka_unit_test(stops_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
