/* gf64: the field's laws, known products, and that the two products are one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "protocol/page/gf64.h"

static uint64_t random_state = 1;

/* SplitMix64, now and then with few bits set or few unset. */
static uint64_t next_element(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    switch (z % 8) {
    case 0:
        return (uint64_t)1 << (z >> 8) % 64;
    case 1:
        return UINT64_MAX << (z >> 8) % 64;
    case 2:
        return UINT64_MAX >> (z >> 8) % 64;
    default:
        return z;
    }
}

/* The product by its definition: bit by bit, then the remainder. */
static uint64_t multiply_by_definition(uint64_t a, uint64_t b)
{
    uint64_t low = 0, high = 0;

    for (int i = 0; i < 64; i++) {
        if (b >> i & 1) {
            low ^= a << i;
            high ^= i > 0 ? a >> (64 - i) : 0;
        }
    }
    for (int i = 63; i >= 0; i--) {
        if (high >> i & 1) {
            low ^= (uint64_t)0x1b << i;
            high ^= i > 59 ? (uint64_t)0x1b >> (64 - i) : 0;
        }
    }
    return low;
}

static void test_known_products(void **state)
{
    static const uint64_t rows[][3] = {
        {0, 0, 0},
        {1, 0x8000000000000000u, 0x8000000000000000u},
        {2, 0x8000000000000000u, 0x1b},
        {0x10, 0x8000000000000000u, 0xd8},
        {3, 3, 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        assert_true(gf64_multiply(rows[i][0], rows[i][1]) == rows[i][2]);
}

static void test_products_are_equal(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint64_t a = next_element(), b = next_element();
        uint64_t expected = multiply_by_definition(a, b);

        assert_true(gf64_multiply_portable(a, b) == expected);
        assert_true(gf64_multiply(a, b) == expected);
    }
}

/* The processor's products and the portable ones, many at a time. */
static void test_many_at_a_time(void **state)
{
    uint64_t a[100], b[100], products[100], sums[100], sum;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        size_t count = (size_t)round % 101;
        uint64_t factor = next_element();

        gf64_accelerate(round % 2);
        sum = 0;
        for (size_t i = 0; i < count; i++) {
            products[i] = a[i] = next_element();
            b[i] = next_element();
            sums[i] = a[i];
            sum ^= multiply_by_definition(a[i], b[i]);
        }
        gf64_multiply_each(products, b, count);
        gf64_add_multiple(sums, b, factor, count);
        for (size_t i = 0; i < count; i++) {
            assert_true(products[i] == multiply_by_definition(a[i], b[i]));
            assert_true(sums[i] == (a[i] ^ multiply_by_definition(b[i], factor)));
        }
        assert_true(gf64_dot(a, b, count) == sum);
    }
    gf64_accelerate(1);
}

static void test_inverse(void **state)
{
    uint64_t elements[300], inverses[300], scratch[300];

    (void)state;
    assert_true(gf64_inverse(0) == 0);
    assert_true(gf64_inverse(1) == 1);
    for (size_t i = 0; i < 300; i++) {
        do
            elements[i] = next_element();
        while (elements[i] == 0);
        inverses[i] = elements[i];
        assert_true(gf64_multiply(gf64_inverse(elements[i]), elements[i]) == 1);
    }
    gf64_inverse_many(inverses, 300, scratch);
    for (size_t i = 0; i < 300; i++)
        assert_true(gf64_multiply(elements[i], inverses[i]) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_products),
        cmocka_unit_test(test_products_are_equal),
        cmocka_unit_test(test_many_at_a_time),
        cmocka_unit_test(test_inverse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
