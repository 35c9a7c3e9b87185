/*
 * twister: the random numbers that Python's module `random` draws, so that the bench's database is,
 * row by row, the one that a short Python script makes.
 *
 * MT19937 (Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8, 1998, with the authors'
 * init_by_array of 2002); a number below a bound is drawn as random.randrange does: as many bits as
 * the bound has, again and again until they are below it.
 */
#ifndef LOCKSTEP_BENCH_TWISTER_H
#define LOCKSTEP_BENCH_TWISTER_H

#include <stdint.h>

#define TWISTER_WORDS 624

struct twister {
    uint32_t state[TWISTER_WORDS];
    unsigned next; /* the word that is drawn next; TWISTER_WORDS where new ones have to be made */
};

/* As random.seed(seed). */
void twister_init(struct twister *twister, uint64_t seed);

/* As random.getrandbits(bits), for 1 to 64 of them. */
uint64_t twister_bits(struct twister *twister, unsigned bits);

/* As random.randint(low, high): a number from low to high, both included. */
int64_t twister_between(struct twister *twister, int64_t low, int64_t high);

#endif
