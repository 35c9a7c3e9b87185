#include "protocol/page/btree_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/page/fake_pages.h"
#include "protocol/base/error.h"

static const uint8_t types[] = {FAKE_INDEX_INTERIOR, FAKE_TABLE_INTERIOR, FAKE_INDEX_LEAF,
                                FAKE_TABLE_LEAF};
static const uint32_t sizes[] = {512, 1024, 4096, 65536};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct btree_page new_btree(uint32_t page_size)
{
    struct btree_page btree;
    struct error error;

    assert_int_equal(btree_page_init(&btree, page_size, &error), 0);
    return btree;
}

/* The cells that were put on a page are those that are found, whatever order they stand in. */
static void finds_the_cells(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(sizes); s++) {
        for (size_t t = 0; t < COUNT(types); t++) {
            struct btree_page btree = new_btree(sizes[s]);
            struct fake_page *fake = fake_page_new(sizes[s], types[t]);

            for (uint32_t seed = 1; seed <= 20; seed++) {
                fake_page_fill(fake, seed, seed * 1000, 1000000, seed % 2 == 0);
                assert_true(btree_page_parse(&btree, fake->bytes));
                assert_int_equal(btree.type, types[t]);
                assert_int_equal(btree.cell_count, fake->cell_count);
                for (uint32_t i = 0; i < btree.cell_count; i++) {
                    assert_int_equal(btree.cells[i].offset, fake->cells[i].offset);
                    assert_int_equal(btree.cells[i].size, fake->cells[i].size);
                }
                if (seed % 2 == 1)
                    assert_int_equal(btree_page_packed_cells(&btree), btree.cell_count);
            }
            fake_page_free(fake);
            btree_page_release(&btree);
        }
    }
}

/* The sizes that https://www.sqlite.org/fileformat2.html section 1.6 gives to cells on pages of 512
 * bytes. */
static void sizes_of_cells(void **state)
{
    static const struct {
        uint8_t type;
        uint8_t cell[6]; /* its start */
        uint16_t size;
    } rows[] = {
        {FAKE_TABLE_LEAF, {1, 5, 0}, 4},                  /* 3 bytes, counted as 4 */
        {FAKE_TABLE_LEAF, {10, 5, 0}, 12},                /* 1 + 1 + 10 */
        {FAKE_TABLE_LEAF, {0x81, 0x00, 0x81, 0x00}, 132}, /* 2 + 2 + 128 */
        {FAKE_TABLE_LEAF, {0x83, 0x5d, 5}, 480},          /* all 477 bytes fit: 512 - 35 */
        {FAKE_TABLE_LEAF, {0x83, 0x5e, 5}, 3 + 39 + 4},   /* 478: 39 stay, the rest overflows */
        {FAKE_TABLE_LEAF, {0x84, 0x37, 5}, 3 + 59 + 4},   /* 567: 39 + (567 - 39) % 508 stay */
        {FAKE_INDEX_LEAF, {102, 5}, 103},                 /* all 102 bytes fit */
        {FAKE_INDEX_LEAF, {103, 5}, 1 + 39 + 4},          /* 103 > 102: 39 + 64 > 102, so 39 stay */
        {FAKE_INDEX_INTERIOR, {0, 0, 0, 9, 10, 1}, 15},   /* 4 + 1 + 10 */
        {FAKE_TABLE_INTERIOR, {0, 0, 0, 9, 0x81, 0x00}, 6}, /* 4 + 2 */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct btree_page btree = new_btree(512);
        uint8_t page[512] = {rows[i].type, 0, 0, 0, 1, 0, 30};
        uint32_t header = rows[i].type < FAKE_INDEX_LEAF ? 12 : 8;

        page[header + 1] = 30;
        memcpy(page + 30, rows[i].cell, sizeof(rows[i].cell));
        if (!btree_page_parse(&btree, page) || btree.cells[0].size != rows[i].size)
            fail_msg("row %zu: %u", i, btree.cells[0].size);
        btree_page_release(&btree);
    }
}

static void what_is_no_btree_page(void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[24];
    } rows[] = {
        {"type 0", {0, 0, 0, 0, 0, 1, 0}},
        {"type 14", {14, 0, 0, 0, 0, 1, 0}},
        {"more cells than fit", {13, 0, 0, 0, 129, 1, 0}},
        {"a cell behind the page", {13, 0, 0, 0, 1, 1, 0, 0, 2, 0}},
        {"a cell within the pointers", {13, 0, 0, 0, 1, 1, 0, 0, 0, 9}},
        {"a cell that goes on behind the page", {13, 0, 0, 0, 1, 1, 0, 0, 1, 255}},
        {"a payload of 2^63 bytes at the end",
         {13,  0,   0,   0,   1,   1,   0,   0,   0,   12,  0,   0,
          255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct btree_page btree = new_btree(512);
        uint8_t page[512] = {0};

        memcpy(page, rows[i].bytes, sizeof(rows[i].bytes));
        page[511] = 100;
        if (i + 1 < COUNT(rows) && btree_page_parse(&btree, page))
            fail_msg("%s was taken for a page of a b-tree", rows[i].what);
        btree_page_parse(&btree, page);
        btree_page_release(&btree);
    }
}

static void coding_is_undone_exactly(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(sizes); s++) {
        uint8_t *coded = malloc(sizes[s]);

        for (size_t t = 0; t < COUNT(types); t++) {
            struct btree_page btree = new_btree(sizes[s]);
            struct fake_page *fake = fake_page_new(sizes[s], types[t]);

            for (uint32_t seed = 1; seed <= 20; seed++) {
                fake_page_fill(fake, seed, seed * 1000, 1 + seed * 20, seed % 2 == 0);
                assert_true(btree_page_parse(&btree, fake->bytes));
                memcpy(coded, fake->bytes, sizes[s]);
                btree_page_code_pointers(&btree, coded);
                if (seed % 2 == 1) {
                    for (uint32_t i = 0; i < 2u * btree.cell_count; i++)
                        assert_int_equal(coded[btree.header_size + i], 0);
                }
                assert_true(btree_page_decode_pointers(coded, sizes[s]));
                assert_memory_equal(coded, fake->bytes, sizes[s]);
            }
            fake_page_free(fake);
            btree_page_release(&btree);
        }
        free(coded);
    }
}

/* Any bytes that parse are coded and decoded to themselves; any bytes at all are decoded without
 * harm. */
static void coding_of_random_bytes(void **state)
{
    struct btree_page btree = new_btree(512);
    uint32_t parsed = 0;

    (void)state;
    for (uint32_t seed = 1; seed < 200000; seed++) {
        uint8_t page[512], coded[512];
        uint32_t x = fake_random(seed * 2654435761u + 1);

        for (uint32_t i = 0; i < sizeof(page); i++) {
            x = fake_random(x);
            page[i] = (uint8_t)(x >> 8) & (seed % 2 == 0 ? 0x7f : 0x1f);
        }
        page[0] = types[seed % 4];
        page[3] = 0;
        page[4] = (uint8_t)(seed / 4 % 4);
        for (int i = 0; i < 4; i++) /* pointers that may be good */
            page[(page[0] < FAKE_INDEX_LEAF ? 12 : 8) + 2 * i] = (uint8_t)(seed / 16 % 2);
        memcpy(coded, page, sizeof(page));
        if (btree_page_parse(&btree, page)) {
            parsed++;
            btree_page_code_pointers(&btree, coded);
            assert_true(btree_page_decode_pointers(coded, sizeof(page)));
            assert_memory_equal(coded, page, sizeof(page));
        } else {
            btree_page_decode_pointers(coded, sizeof(page));
        }
    }
    assert_in_range(parsed, 10000, 200000);
    btree_page_release(&btree);
}

/* Two pages with the same cells, one in disorder, are packed to the same bytes but for the header.
 */
static void packing_makes_order_alike(void **state)
{
    uint8_t scratch[4096];

    (void)state;
    for (size_t t = 0; t < COUNT(types); t++) {
        struct btree_page a = new_btree(4096), b = new_btree(4096);
        struct fake_page *one = fake_page_new(4096, types[t]),
                         *other = fake_page_new(4096, types[t]);

        fake_page_fill(one, 5, 1000, 1000000, 0);
        fake_page_fill(other, 5, 1000, 1000000, 1);
        assert_true(btree_page_parse(&a, one->bytes));
        assert_true(btree_page_parse(&b, other->bytes));
        assert_memory_not_equal(one->bytes + 8, other->bytes + 8, 4096 - 8);
        btree_page_pack(&a, one->bytes, scratch);
        btree_page_pack(&b, other->bytes, scratch);
        assert_memory_equal(one->bytes + 8, other->bytes + 8, 4096 - 8);
        for (uint32_t i = 0; i < a.cell_count; i++)
            assert_int_equal(a.cells[i].offset, b.cells[i].offset);
        fake_page_free(one);
        fake_page_free(other);
        btree_page_release(&a);
        btree_page_release(&b);
    }
}

/* Cells that overlap add up to more than the page: it stays as it is. */
static void packing_leaves_overlaps_alone(void **state)
{
    struct btree_page btree = new_btree(512);
    uint8_t page[512] = {FAKE_TABLE_LEAF, 0, 0, 0, 3, 0, 30, 0, 0, 30, 0, 31, 0, 32};
    uint8_t before[512], scratch[512];

    (void)state;
    memset(page + 30, 0x82, 3);
    memset(page + 33, 100, 400);
    memcpy(before, page, sizeof(page));
    assert_true(btree_page_parse(&btree, page));
    assert_true(btree.cells[0].size + btree.cells[1].size + btree.cells[2].size > 512 - 14);
    btree_page_pack(&btree, page, scratch);
    assert_memory_equal(page, before, sizeof(page));
    btree_page_release(&btree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_cells),
        cmocka_unit_test(sizes_of_cells),
        cmocka_unit_test(what_is_no_btree_page),
        cmocka_unit_test(coding_is_undone_exactly),
        cmocka_unit_test(coding_of_random_bytes),
        cmocka_unit_test(packing_makes_order_alike),
        cmocka_unit_test(packing_leaves_overlaps_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
