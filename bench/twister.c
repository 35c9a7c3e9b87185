#include "bench/twister.h"

#define MIDDLE 397 /* the word that a new one is mixed with, that many further on */

static void init_state(struct twister *t, uint32_t seed)
{
    t->state[0] = seed;
    for (uint32_t i = 1; i < TWISTER_WORDS; i++)
        t->state[i] = UINT32_C(1812433253) * (t->state[i - 1] ^ t->state[i - 1] >> 30) + i;
    t->next = TWISTER_WORDS;
}

/* The word at i, mixed with the one before it. */
static uint32_t mixed(const struct twister *t, uint32_t i, uint32_t factor)
{
    uint32_t before = t->state[i - 1];

    return t->state[i] ^ (before ^ before >> 30) * factor;
}

/* Move to the word behind i; the first one is what the last one was. */
static uint32_t step(struct twister *t, uint32_t i)
{
    if (i + 1 < TWISTER_WORDS)
        return i + 1;
    t->state[0] = t->state[TWISTER_WORDS - 1];
    return 1;
}

void twister_init(struct twister *twister, uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t key_words = key[1] ? 2 : 1, i = 1;

    init_state(twister, UINT32_C(19650218));
    for (uint32_t n = 0; n < TWISTER_WORDS; n++) {
        uint32_t k = n % key_words;

        twister->state[i] = mixed(twister, i, UINT32_C(1664525)) + key[k] + k;
        i = step(twister, i);
    }
    for (uint32_t n = 1; n < TWISTER_WORDS; n++) {
        twister->state[i] = mixed(twister, i, UINT32_C(1566083941)) - i;
        i = step(twister, i);
    }
    twister->state[0] = UINT32_C(0x80000000);
}

static void make_words(struct twister *t)
{
    for (uint32_t i = 0; i < TWISTER_WORDS; i++) {
        uint32_t behind = t->state[(i + 1) % TWISTER_WORDS];
        uint32_t y = (t->state[i] & UINT32_C(0x80000000)) | (behind & UINT32_C(0x7fffffff));

        t->state[i] =
            t->state[(i + MIDDLE) % TWISTER_WORDS] ^ y >> 1 ^ (y & 1 ? UINT32_C(0x9908b0df) : 0);
    }
    t->next = 0;
}

static uint32_t next_word(struct twister *t)
{
    uint32_t y;

    if (t->next == TWISTER_WORDS)
        make_words(t);
    y = t->state[t->next++];
    y ^= y >> 11;
    y ^= y << 7 & UINT32_C(0x9d2c5680);
    y ^= y << 15 & UINT32_C(0xefc60000);
    return y ^ y >> 18;
}

uint64_t twister_bits(struct twister *twister, unsigned bits)
{
    uint64_t low;

    if (bits <= 32)
        return next_word(twister) >> (32 - bits);
    low = next_word(twister);
    return low | (uint64_t)(next_word(twister) >> (64 - bits)) << 32;
}

int64_t twister_between(struct twister *twister, int64_t low, int64_t high)
{
    uint64_t count = (uint64_t)(high - low) + 1, drawn;
    unsigned bits = 0;

    while (bits < 64 && count >> bits)
        bits++;
    do
        drawn = twister_bits(twister, bits);
    while (drawn >= count);
    return low + (int64_t)drawn;
}
