/* Which pages are pointer maps, free or a table's, by the file format's own arithmetic; SQLite's word on real files is in
 * tests/system/diff.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/page/page_owners.h"

static struct page_owners made(uint32_t page_size, uint32_t page_count, uint8_t reserved, int auto_vacuum)
{
    uint8_t page1[65536] = {0};
    struct page_owners owners;

    page1[20] = reserved;
    page1[55] = (uint8_t)auto_vacuum;
    assert_int_equal(page_owners_init(&owners, page_size, page_count, page1, NULL), 0);
    return owners;
}

static void assert_owner(const struct page_owners *owners, uint32_t pgno, enum page_owner want)
{
    size_t tree;

    assert_int_equal(page_owners_find(owners, pgno, &tree), want);
}

static void test_trees(void **state)
{
    struct page_owners owners = made(4096, 10, 0, 0);
    struct error error = {0};
    size_t tree;

    (void)state;
    assert_int_equal(page_owners_add(&owners, "sqlite_schema", 0, "sqlite_schema", 1, &error), 0);
    assert_int_equal(page_owners_add(&owners, "t", 0, "t", 2, &error), 0);
    assert_int_equal(page_owners_add(&owners, "t", 0, "t", 9, &error), 0);
    assert_int_equal(page_owners_add(&owners, "i", 1, "t", 3, &error), 0);
    assert_int_equal(owners.tree_count, 3);
    assert_int_equal(page_owners_find(&owners, 9, &tree), OWNER_TREE);
    assert_string_equal(owners.trees[tree].name, "t");
    assert_int_equal(owners.trees[tree].pages, 2);
    assert_int_equal(page_owners_find(&owners, 3, &tree), OWNER_TREE);
    assert_true(owners.trees[tree].is_index);
    assert_string_equal(owners.trees[tree].table, "t");
    assert_owner(&owners, 10, OWNER_FREE);
    /* A b-tree that leads beyond the end. */
    assert_int_equal(page_owners_add(&owners, "t", 0, "t", 11, &error), ERR_NOT_A_DATABASE);
    assert_int_equal(page_owners_add(&owners, "t", 0, "t", 0, &error), ERR_NOT_A_DATABASE);
    page_owners_release(&owners);
    page_owners_release(&owners);
}

/* Usable size / 5 pages follow each map: 102 of 512 bytes, 819 of 4096, 816 of 4096 less 16 reserved. */
static void test_pointer_maps(void **state)
{
    static const struct {
        uint32_t page_size;
        uint8_t reserved;
        uint32_t maps[4];
    } rows[] = {{512, 0, {2, 105, 208, 311}}, {4096, 0, {2, 822, 1642, 2462}}, {4096, 16, {2, 819, 1636, 2453}}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct page_owners owners = made(rows[i].page_size, 3000, rows[i].reserved, 1);
        size_t next = 0;
        for (uint32_t pgno = 1; pgno <= 300; pgno++) {
            int is_map = next < 4 && pgno == rows[i].maps[next];
            assert_owner(&owners, pgno, is_map ? OWNER_POINTER_MAP : OWNER_FREE);
            next += (size_t)is_map;
        }
        for (size_t map = 0; map < 4; map++)
            assert_owner(&owners, rows[i].maps[map], OWNER_POINTER_MAP);
        page_owners_release(&owners);
        owners = made(rows[i].page_size, 3000, rows[i].reserved, 0);
        assert_owner(&owners, 2, OWNER_FREE);
        page_owners_release(&owners);
    }
}

/* At 1 GiB is a page that is none; with pages of 65536 bytes it is number 16385. A map that would be there comes behind it. */
static void test_lock_bytes(void **state)
{
    struct page_owners owners = made(65536, 16400, 0, 1);

    (void)state;
    assert_owner(&owners, 16385, OWNER_LOCK_BYTES);
    assert_owner(&owners, 16386, OWNER_FREE);
    page_owners_release(&owners);
    /* Of 1024 bytes: 204 pages a map, and 1,048,577 is 2 + 205 * 5115. */
    owners = made(1024, 1048600, 0, 1);
    assert_owner(&owners, 1048577, OWNER_LOCK_BYTES);
    assert_owner(&owners, 1048578, OWNER_POINTER_MAP);
    assert_owner(&owners, 1048579, OWNER_FREE);
    assert_owner(&owners, 1048577 - 205, OWNER_POINTER_MAP);
    page_owners_release(&owners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_pointer_maps),
        cmocka_unit_test(test_lock_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
