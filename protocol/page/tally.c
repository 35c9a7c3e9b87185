/*
 * tally: see tally.h.
 */
#include "protocol/page/tally.h"

#include <math.h>

#define PARTS 8 /* of a tier */

/* The cells of a bucket are first to end - 1. */
static void bucket_range(unsigned bucket, uint64_t *first, uint64_t *end)
{
    uint64_t begin;

    if (bucket == 0) {
        *first = SKETCH_GAUGE_CELLS;
        *end = SKETCH_FIRST_CELLS;
        return;
    }
    begin = (uint64_t)SKETCH_FIRST_CELLS << ((bucket - 1) / PARTS);
    *first = begin + begin / PARTS * ((bucket - 1) % PARTS);
    *end = *first + begin / PARTS;
}

void tally_add(struct tally *tally, uint64_t cell, enum tally_content content)
{
    unsigned bucket = 0;

    if (cell >= SKETCH_FIRST_CELLS) {
        unsigned log = 63 - (unsigned)__builtin_clzll(cell);

        bucket = 1 + PARTS * (log - 9) + (unsigned)(cell >> (log - 3) & (PARTS - 1));
    }
    tally->cells[bucket][content]++;
}

void tally_add_gauge(struct tally *tally, const struct sketch_cell *gauge)
{
    for (unsigned i = 0; i < SKETCH_GAUGE_CELLS; i++)
        tally->bits_set[i * SKETCH_STRATA / SKETCH_GAUGE_CELLS] +=
            (uint32_t)(__builtin_popcountll(gauge[i].sum) +
                       __builtin_popcountll(gauge[i].weighted));
    tally->has_gauge = 1;
}

/* The logarithm of the likelihood of the tally where `count` pages differ, up to a constant. */
static double likelihood(const struct tally *tally, double count)
{
    double sum = 0;

    for (unsigned bucket = 0; bucket < TALLY_BUCKETS; bucket++) {
        const uint32_t *cells = tally->cells[bucket];
        uint64_t first, end;
        double mean;

        if (cells[TALLY_NONE] + cells[TALLY_ONE] + cells[TALLY_SEVERAL] == 0)
            continue;
        bucket_range(bucket, &first, &end);
        mean = count * sketch_density(first, end);
        sum -= mean * (cells[TALLY_NONE] + cells[TALLY_ONE]);
        sum += log(mean) * cells[TALLY_ONE];
        if (cells[TALLY_SEVERAL] > 0)
            sum += log1p(-exp(-mean) * (1 + mean)) * cells[TALLY_SEVERAL];
    }
    for (unsigned stratum = 1; tally->has_gauge && stratum <= SKETCH_STRATA; stratum++) {
        uint32_t set = tally->bits_set[stratum - 1];
        /* A page that differs flips a bit for its old hash and one for its new. */
        double flips = 2 * count * 0.75 * pow(0.25, stratum) / SKETCH_STRATUM_BITS;

        sum += log(-expm1(-2 * flips)) * set + log1p(exp(-2 * flips)) * (SKETCH_STRATUM_BITS - set);
    }
    return sum;
}

/* Where between two logarithms of counts the likelihood is greatest: it has one maximum. */
static double most_likely(const struct tally *tally, double low, double high)
{
    while (high - low > 1e-3) {
        double left = low + (high - low) / 3, right = high - (high - low) / 3;

        if (likelihood(tally, exp(left)) < likelihood(tally, exp(right)))
            low = left;
        else
            high = right;
    }
    return (low + high) / 2;
}

/* Where, from the best on towards the limit (logarithms of counts), the likelihood has fallen by as
 * much as `fall`. */
static double fallen(const struct tally *tally, double best, double limit, double fall)
{
    double bound = likelihood(tally, exp(best)) - fall;

    while (fabs(limit - best) > 1e-3) {
        double middle = (best + limit) / 2;

        if (likelihood(tally, exp(middle)) < bound)
            limit = middle;
        else
            best = middle;
    }
    return limit;
}

/*
 * The likelihood of a normal distribution falls by z^2/2 within z standard deviations. But cells
 * are not quite independent: a few pages fall into many of them, so how many of those differ, by
 * chance, moves all cells at once.
 */
struct tally_estimate tally_estimate(const struct tally *tally, double least, double most)
{
    double log_best = most_likely(tally, log(least), log(most)), best = exp(log_best);
    double low = exp(fallen(tally, log_best, log(least), 6.125));
    double high = exp(fallen(tally, log_best, log(most), 2.0));
    double common = sqrt(sketch_places_variance() * best);

    low = best - hypot(best - low, 3.5 * common);
    high = best + hypot(high - best, 2 * common);
    return (struct tally_estimate){
        .low = low < least ? least : low,
        .likely = best,
        .high = high > most ? most : high,
    };
}
