#include "protocol/page/page_hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/hex.h"
#include "protocol/base/limits.h"
#include "tests/page/sample.h"

static uint8_t page[LIMIT_PAGE_SIZE_MAX];

/* The bytes 0, 1, 2, ... modulo 251, so that no two pieces of a page are the same. */
static void fill(void)
{
    for (size_t i = 0; i < sizeof(page); i++)
        page[i] = (uint8_t)(i % 251);
}

static struct page_hasher *hasher(void)
{
    static struct page_hasher one;
    uint8_t key[PAGE_HASH_KEY_SIZE];

    for (int i = 0; i < PAGE_HASH_KEY_SIZE; i++)
        key[i] = (uint8_t)i;
    page_hasher_init(&one, key);
    return &one;
}

static const char *hex_of(const void *data, size_t len)
{
    static char text[500];

    return hex_encode(data, len, text);
}

static const char *hex_of_hash(uint32_t pgno, uint32_t page_size)
{
    struct page_hash hash = page_hash(hasher(), pgno, page, page_size);

    return hex_of(
        &hash, sizeof(hash)); /* the two words as the wire has them, on a little-endian machine */
}

/* First and last bytes of the secret by Python's hashlib: sha256(bytes(range(32)) + bytes([i])). */
static void test_secret(void **unused)
{
    (void)unused;
    assert_string_equal(hex_of(hasher()->secret, 8), "1b170dcb8d81735a");
    assert_string_equal(hex_of(hasher()->secret + 184, 8), "398ceb765dbb5dc1");
}

static const struct {
    uint32_t pgno, page_size;
    const char *hash;
} vectors[] = {
    {1, 512, "74d1a708735f03aeef8fb061278d073a"},
    {2, 512, "afab8b334f064b3b0dbd6604dc288bd6"},
    {1, 4096, "62bcd72ecbbc180ace86c41a8e0439f4"},
    {2, 4096, "a0ee13fefa6de768025db5060e2bad6d"},
    {2, 65536, "49d80a993075ce64c3ec2a9d60c47cff"},
    {262145, 4096, "00000000000000000000000000000000"},
    {16385, 65536, "00000000000000000000000000000000"},
};

static void test_vectors(void **unused)
{
    (void)unused;
    fill();
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        assert_string_equal(hex_of_hash(vectors[i].pgno, vectors[i].page_size), vectors[i].hash);
}

static void test_another_key_another_hash(void **unused)
{
    struct page_hasher other = *hasher();
    uint8_t key[PAGE_HASH_KEY_SIZE] = {0};
    struct page_hash a, b;

    (void)unused;
    fill();
    page_hasher_init(&other, key);
    a = page_hash(hasher(), 2, page, 4096);
    b = page_hash(&other, 2, page, 4096);
    assert_memory_not_equal(&a, &b, sizeof(a));
}

/* Each byte of page 1: whether it counts is what the file format says, and in page 2 all count. */
static void test_volatile_bytes(void **unused)
{
    struct page_hash first, second;

    (void)unused;
    fill();
    first = page_hash(hasher(), 1, page, 512);
    second = page_hash(hasher(), 2, page, 512);
    for (size_t i = 0; i < 512; i++) {
        int is_volatile = i == 18 || i == 19 || (i >= 24 && i <= 27) || (i >= 92 && i <= 99);
        struct page_hash now;

        page[i] ^= 0x40;
        now = page_hash(hasher(), 1, page, 512);
        assert_int_equal(memcmp(&now, &first, sizeof(now)) == 0, is_volatile);
        now = page_hash(hasher(), 2, page, 512);
        assert_memory_not_equal(&now, &second, sizeof(now));
        page[i] ^= 0x40;
    }
}

static void test_keep_and_clear(void **unused)
{
    uint8_t ours[512], theirs[512];

    (void)unused;
    memset(ours, 1, 512);
    memset(theirs, 2, 512);
    page_keep_volatile(theirs, ours);
    for (size_t i = 0; i < 512; i++) {
        int is_volatile = i == 18 || i == 19 || (i >= 24 && i <= 27) || (i >= 92 && i <= 99);

        assert_int_equal(theirs[i], is_volatile ? 1 : 2);
    }
    page_clear_volatile(2, theirs);
    assert_int_equal(theirs[18], 1);
    page_clear_volatile(1, theirs);
    for (size_t i = 0; i < 512; i++) {
        int is_volatile = i == 18 || i == 19 || (i >= 24 && i <= 27) || (i >= 92 && i <= 99);

        assert_int_equal(theirs[i], is_volatile ? 0 : 2);
    }
}

static void test_lock_byte_page(void **unused)
{
    (void)unused;
    assert_int_equal(page_lock_byte_page(512), 2097153);
    assert_int_equal(page_lock_byte_page(4096), 262145);
    assert_int_equal(page_lock_byte_page(65536), 16385);
}

/* By Python's hashlib over the bytes that the header describes; 300 hashes, so that more than one
 * chunk is fed. */
static void test_root(void **unused)
{
    struct page_index index = {0};
    uint8_t root[PAGE_ROOT_SIZE];

    (void)unused;
    page_index_root(&index, root);
    assert_string_equal(hex_of(root, sizeof(root)),
                        "0000000000000000000000000000000000000000000000000000000000000000");
    index.page_size = 4096;
    ok(page_index_resize(&index, 300, &failure));
    for (uint32_t i = 0; i < 300; i++)
        index.hashes[i] = (struct page_hash){.low = i + 1, .high = (uint64_t)i << 40};
    page_index_root(&index, root);
    assert_string_equal(hex_of(root, sizeof(root)),
                        "71def50d6b73b0b728ec1a3daa3430986fe4a98cce051d3a3f9e592402e2b44a");
    ok(page_index_resize(&index, 256, &failure));
    page_index_root(&index, root);
    assert_string_equal(hex_of(root, sizeof(root)),
                        "23f449f121d536bd11c55489234a1112027f25270cafa8f7a59c7b106d3d0aec");
    page_index_release(&index);
}

static void test_resize(void **unused)
{
    struct page_index index = {0};

    (void)unused;
    ok(page_index_resize(&index, 0, &failure));
    ok(page_index_resize(&index, 3, &failure));
    memset(index.hashes, 0xff, 3 * sizeof(index.hashes[0]));
    ok(page_index_resize(&index, 2, &failure));
    ok(page_index_resize(&index, 4, &failure));
    assert_int_equal(index.page_count, 4);
    assert_true(index.hashes[1].low == UINT64_MAX);
    assert_true(index.hashes[2].low == 0 && index.hashes[3].high == 0);
    ok(page_index_resize(&index, 0, &failure));
    assert_null(index.hashes);
    page_index_release(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_another_key_another_hash),
        cmocka_unit_test(test_volatile_bytes),
        cmocka_unit_test(test_keep_and_clear),
        cmocka_unit_test(test_lock_byte_page),
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_resize),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
