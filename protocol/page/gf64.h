/*
 * gf64: arithmetic in GF(2^64), the field with 2^64 elements that the sketch calculates in.
 *
 * An element is a polynomial over GF(2) of degree below 64, bit k being the coefficient of x^k,
 * taken modulo x^64 + x^4 + x^3 + x + 1 (the irreducible polynomial of least weight and degree, as
 * in Seroussi's table, HP Labs HPL-98-135). Addition is XOR.
 */
#ifndef LOCKSTEP_PAGE_GF64_H
#define LOCKSTEP_PAGE_GF64_H

#include <stddef.h>
#include <stdint.h>

/* a * b, by the fastest way that this processor has. */
uint64_t gf64_multiply(uint64_t a, uint64_t b);

/* The same in portable C. Quickest where b is small. */
uint64_t gf64_multiply_portable(uint64_t a, uint64_t b);

/* Use the processor's carry-less multiplication, as is done unasked, or do without; whether it is
 * used from now on is returned. For tests, while no other thread calculates. */
int gf64_accelerate(int is_wanted);

/* products[i] = products[i] * factors[i] for count elements. */
void gf64_multiply_each(uint64_t *products, const uint64_t *factors, size_t count);

/* sums[i] = sums[i] + terms[i] * factor for count elements. */
void gf64_add_multiple(uint64_t *sums, const uint64_t *terms, uint64_t factor, size_t count);

/* The sum of a[i] * b[i] over count elements. */
uint64_t gf64_dot(const uint64_t *a, const uint64_t *b, size_t count);

/* The b with a * b = 1; 0 for 0. */
uint64_t gf64_inverse(uint64_t a);

/* Replace each of the count elements, none of which may be 0, by its inverse. scratch: room for
 * count elements. */
void gf64_inverse_many(uint64_t *elements, size_t count, uint64_t *scratch);

#endif
