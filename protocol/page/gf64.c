/*
 * gf64: see gf64.h.
 *
 * The portable product walks b four bits at a time, the highest first, and reduces as it goes;
 * leading zeros of b cost nothing, and a page number has at least 32. The accelerated one is a
 * single PCLMULQDQ and two more that fold the upper half back; it is chosen once, when the program
 * is loaded.
 */
#include "protocol/page/gf64.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define REDUCTION 0x1bu /* x^4 + x^3 + x + 1, which is what x^64 equals */

static uint64_t times_x(uint64_t a)
{
    return a << 1 ^ ((0 - (a >> 63)) & REDUCTION);
}

uint64_t gf64_multiply_portable(uint64_t a, uint64_t b)
{
    uint64_t multiples[16], product = 0;
    int shift;

    if (b == 0)
        return 0;
    multiples[0] = 0;
    multiples[1] = a;
    for (int k = 2; k < 16; k += 2) {
        multiples[k] = times_x(multiples[k / 2]);
        multiples[k + 1] = multiples[k] ^ a;
    }
    for (shift = (63 - __builtin_clzll(b)) & ~3; shift >= 0; shift -= 4) {
        uint64_t top = product >> 60;

        product = product << 4 ^ top ^ top << 1 ^ top << 3 ^ top << 4;
        product ^= multiples[b >> shift & 15];
    }
    return product;
}

#if defined(__x86_64__)
__attribute__((target("pclmul,sse2"))) static uint64_t multiply_pclmul(uint64_t a, uint64_t b)
{
    const __m128i reduction = _mm_set_epi64x(0, REDUCTION);
    __m128i product, fold;

    product =
        _mm_clmulepi64_si128(_mm_set_epi64x(0, (long long)a), _mm_set_epi64x(0, (long long)b), 0);
    fold = _mm_clmulepi64_si128(product, reduction, 0x01); /* of degree below 68 */
    product = _mm_xor_si128(product, fold);
    fold = _mm_clmulepi64_si128(fold, reduction, 0x01);
    return (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(product, fold));
}
#endif

static uint64_t (*multiply)(uint64_t, uint64_t) = gf64_multiply_portable;

__attribute__((constructor)) static void choose_multiply(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("pclmul"))
        multiply = multiply_pclmul;
#endif
}

uint64_t gf64_multiply(uint64_t a, uint64_t b)
{
    return multiply(a, b);
}

int gf64_is_accelerated(void)
{
    return multiply != gf64_multiply_portable;
}

/*
 * a^(2^64 - 2), by Itoh and Tsujii's chain: from a^(2^k - 1) to twice as many ones in the exponent
 * by k squarings and one product, and to one more by one of each.
 */
uint64_t gf64_inverse(uint64_t a)
{
    uint64_t power = a; /* a^(2^ones - 1) */

    for (int ones = 1; ones < 63; ones = 2 * ones + 1) {
        uint64_t raised = power;

        for (int k = 0; k < ones; k++)
            raised = multiply(raised, raised);
        power = multiply(raised, power);
        power = multiply(multiply(power, power), a);
    }
    return multiply(power, power);
}

/* Montgomery's trick: one inverse of the product of all, and three products for each element. */
void gf64_inverse_many(uint64_t *elements, size_t count, uint64_t *scratch)
{
    uint64_t product = 1, inverse;
    size_t i;

    for (i = 0; i < count; i++) {
        scratch[i] = product;
        product = multiply(product, elements[i]);
    }
    inverse = gf64_inverse(product);
    for (i = count; i > 0; i--) {
        uint64_t element = elements[i - 1];

        elements[i - 1] = multiply(inverse, scratch[i - 1]);
        inverse = multiply(inverse, element);
    }
}
