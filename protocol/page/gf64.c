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

/* The ways to calculate: portable, or by the processor's own instruction. */
struct methods {
    uint64_t (*multiply)(uint64_t a, uint64_t b);
    void (*multiply_each)(uint64_t *products, const uint64_t *factors, size_t count);
    void (*add_multiple)(uint64_t *sums, const uint64_t *terms, uint64_t factor, size_t count);
    uint64_t (*dot)(const uint64_t *a, const uint64_t *b, size_t count);
};

static void multiply_each_portable(uint64_t *products, const uint64_t *factors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        products[i] = gf64_multiply_portable(products[i], factors[i]);
}

static void add_multiple_portable(uint64_t *sums, const uint64_t *terms, uint64_t factor,
                                  size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] ^= gf64_multiply_portable(terms[i], factor);
}

static uint64_t dot_portable(const uint64_t *a, const uint64_t *b, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum ^= gf64_multiply_portable(a[i], b[i]);
    return sum;
}

static const struct methods portable = {gf64_multiply_portable, multiply_each_portable,
                                        add_multiple_portable, dot_portable};

#if defined(__x86_64__)
#define WITH_PCLMUL __attribute__((target("pclmul,sse2")))

WITH_PCLMUL static inline __m128i full_product(uint64_t a, uint64_t b)
{
    return _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), _mm_cvtsi64_si128((long long)b),
                                0);
}

WITH_PCLMUL static inline uint64_t reduce(__m128i product)
{
    const __m128i reduction = _mm_cvtsi64_si128(REDUCTION);
    __m128i fold = _mm_clmulepi64_si128(product, reduction, 0x01); /* of degree below 68 */

    product = _mm_xor_si128(product, fold);
    fold = _mm_clmulepi64_si128(fold, reduction, 0x01);
    return (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(product, fold));
}

WITH_PCLMUL static uint64_t multiply_pclmul(uint64_t a, uint64_t b)
{
    return reduce(full_product(a, b));
}

WITH_PCLMUL static void multiply_each_pclmul(uint64_t *products, const uint64_t *factors,
                                             size_t count)
{
    for (size_t i = 0; i < count; i++)
        products[i] = reduce(full_product(products[i], factors[i]));
}

WITH_PCLMUL static void add_multiple_pclmul(uint64_t *sums, const uint64_t *terms, uint64_t factor,
                                            size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] ^= reduce(full_product(terms[i], factor));
}

WITH_PCLMUL static uint64_t dot_pclmul(const uint64_t *a, const uint64_t *b, size_t count)
{
    __m128i sum = _mm_setzero_si128();

    for (size_t i = 0; i < count; i++)
        sum = _mm_xor_si128(sum, full_product(a[i], b[i]));
    return reduce(sum);
}

static const struct methods accelerated = {multiply_pclmul, multiply_each_pclmul,
                                           add_multiple_pclmul, dot_pclmul};
#endif

static const struct methods *methods = &portable;

__attribute__((constructor)) static void choose_methods(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("pclmul"))
        methods = &accelerated;
#endif
}

int gf64_accelerate(int is_wanted)
{
    methods = &portable;
    if (is_wanted)
        choose_methods();
    return methods != &portable;
}

uint64_t gf64_multiply(uint64_t a, uint64_t b)
{
    return methods->multiply(a, b);
}

void gf64_multiply_each(uint64_t *products, const uint64_t *factors, size_t count)
{
    methods->multiply_each(products, factors, count);
}

void gf64_add_multiple(uint64_t *sums, const uint64_t *terms, uint64_t factor, size_t count)
{
    methods->add_multiple(sums, terms, factor, count);
}

uint64_t gf64_dot(const uint64_t *a, const uint64_t *b, size_t count)
{
    return methods->dot(a, b, count);
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
            raised = gf64_multiply(raised, raised);
        power = gf64_multiply(raised, power);
        power = gf64_multiply(gf64_multiply(power, power), a);
    }
    return gf64_multiply(power, power);
}

/* Montgomery's trick: one inverse of the product of all, and three products for each element. */
void gf64_inverse_many(uint64_t *elements, size_t count, uint64_t *scratch)
{
    uint64_t product = 1, inverse;
    size_t i;

    for (i = 0; i < count; i++) {
        scratch[i] = product;
        product = gf64_multiply(product, elements[i]);
    }
    inverse = gf64_inverse(product);
    for (i = count; i > 0; i--) {
        uint64_t element = elements[i - 1];

        elements[i - 1] = gf64_multiply(inverse, scratch[i - 1]);
        inverse = gf64_multiply(inverse, element);
    }
}
