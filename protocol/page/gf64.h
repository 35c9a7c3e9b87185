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

/* Whether gf64_multiply uses the processor's carry-less multiplication. */
int gf64_is_accelerated(void);

/* The b with a * b = 1; 0 for 0. */
uint64_t gf64_inverse(uint64_t a);

/* Replace each of the count elements, none of which may be 0, by its inverse. scratch: room for
 * count elements. */
void gf64_inverse_many(uint64_t *elements, size_t count, uint64_t *scratch);

#endif
