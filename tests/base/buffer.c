/* Buffers: they grow to their maximum and not a byte further, and a failure leaves them as they
 * were. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

static void test_allocates_nothing_at_first(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 100);
    assert_null(buffer.data);
    assert_int_equal(buffer_append(&buffer, NULL, 0, NULL), 0);
    assert_null(buffer.data);
    buffer_release(&buffer);
}

static void test_grows_to_its_maximum(void **state)
{
    struct buffer buffer;
    uint8_t byte;

    (void)state;
    buffer_init(&buffer, 1000);
    for (int i = 0; i < 1000; i++) {
        byte = (uint8_t)i;
        assert_int_equal(buffer_append(&buffer, &byte, 1, NULL), 0);
        assert_true(buffer.cap <= buffer.max);
    }
    assert_int_equal(buffer_append(&buffer, &byte, 1, NULL), ERR_INTERNAL);
    assert_int_equal(buffer.len, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buffer.data[i], (uint8_t)i);
    buffer_release(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.max, 1000);
}

/* Lengths that would wrap around if they were added up. */
static void test_refusal_changes_nothing(void **state)
{
    static const size_t lengths[] = {8, 100, SIZE_MAX / 2, SIZE_MAX - 3, SIZE_MAX};
    struct error error = {0};
    struct buffer buffer;
    uint8_t *spot;

    (void)state;
    buffer_init(&buffer, 10);
    assert_int_equal(buffer_append(&buffer, "abc", 3, NULL), 0);
    assert_true(buffer.cap <= 10);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint8_t *data = buffer.data;

        assert_int_equal(buffer_reserve(&buffer, lengths[i], &spot, &error), ERR_INTERNAL);
        assert_int_equal(error.code, ERR_INTERNAL);
        assert_ptr_equal(buffer.data, data);
        assert_int_equal(buffer.len, 3);
        assert_memory_equal(buffer.data, "abc", 3);
    }
    buffer_release(&buffer);
}

static void test_reserve_gives_room_behind_what_is_used(void **state)
{
    struct buffer buffer;
    uint8_t *spot;

    (void)state;
    buffer_init(&buffer, 5000);
    assert_int_equal(buffer_append(&buffer, "abc", 3, NULL), 0);
    assert_int_equal(buffer_reserve(&buffer, 4997, &spot, NULL), 0);
    assert_ptr_equal(spot, buffer.data + 3);
    memset(spot, 'z', 4997); /* AddressSanitizer watches */
    assert_int_equal(buffer.len, 3);
    buffer.len += 4997;
    assert_int_equal(buffer_reserve(&buffer, 0, &spot, NULL), 0);
    buffer_release(&buffer);
}

static void test_consume(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 100);
    buffer_consume(&buffer, 0);
    assert_int_equal(buffer_append(&buffer, "abcdef", 6, NULL), 0);
    buffer_consume(&buffer, 2);
    assert_int_equal(buffer.len, 4);
    assert_memory_equal(buffer.data, "cdef", 4);
    buffer_consume(&buffer, 4);
    assert_int_equal(buffer.len, 0);
    buffer_release(&buffer);
}

static void test_detach(void **state)
{
    struct buffer buffer;
    uint8_t *data;
    size_t len;

    (void)state;
    buffer_init(&buffer, 100);
    assert_int_equal(buffer_append(&buffer, "abc", 3, NULL), 0);
    data = buffer_detach(&buffer, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "abc", 3);
    assert_null(buffer.data);
    assert_int_equal(buffer.len, 0);
    assert_int_equal(buffer.max, 100);
    assert_int_equal(buffer_append(&buffer, "defg", 4, NULL), 0);
    assert_memory_equal(data, "abc", 3);
    free(data);
    buffer_wipe(&buffer);
    assert_int_equal(buffer.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocates_nothing_at_first),
        cmocka_unit_test(test_grows_to_its_maximum),
        cmocka_unit_test(test_refusal_changes_nothing),
        cmocka_unit_test(test_reserve_gives_room_behind_what_is_used),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_detach),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
