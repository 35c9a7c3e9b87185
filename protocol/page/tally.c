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
    *first = begin + begin * ((bucket - 1) % PARTS) / PARTS;
    *end = begin + begin * ((bucket - 1) % PARTS + 1) / PARTS;
}

void tally_add(struct tally *tally, uint64_t cell, enum tally_content content)
{
    unsigned bucket = 0;

    if (cell >= SKETCH_FIRST_CELLS) {
        uint64_t begin = sketch_tier_end(cell) / 2;
        unsigned tier = 64 - (unsigned)__builtin_clzll(begin / SKETCH_FIRST_CELLS);

        bucket = 1 + PARTS * (tier - 1) + (unsigned)((cell - begin) * PARTS / begin);
    }
    tally->cells[bucket][content]++;
}

void tally_add_gauge(struct tally *tally, struct sketch_cell *gauge)
{
    for (unsigned stratum = 0; stratum < SKETCH_STRATA; stratum++) {
        unsigned first, count;

        sketch_stratum(stratum, &first, &count);
        for (unsigned word = first; word < first + count; word++)
            tally->words[stratum][__builtin_popcountll(*sketch_word(gauge, word))]++;
    }
}

/* Of cells that hold `mean` differing pages on the average. */
static double cells_likelihood(const uint32_t cells[3], double mean)
{
    double sum = -mean * (cells[TALLY_NONE] + cells[TALLY_ONE]) + log(mean) * cells[TALLY_ONE];

    if (cells[TALLY_SEVERAL] > 0)
        sum += log1p(-exp(-mean) * (1 + mean)) * cells[TALLY_SEVERAL];
    return sum;
}

/*
 * Of the words of a stratum of which the bits are flipped `flips` times each. A share of the words
 * has anchors that differ: all their bits are by chance.
 */
static double words_likelihood(const uint32_t words[65], double flips, double share)
{
    double set = -expm1(-2 * flips) / 2, sum = 0;
    double log_set = log(set), log_unset = log1p(-set);
    double log_chance = log(share) - 64 * log(2), log_sound = log1p(-share);

    for (unsigned bits = 0; bits <= 64; bits++) {
        double sound, larger;

        if (words[bits] == 0)
            continue;
        sound = log_sound + bits * log_set + (64 - bits) * log_unset;
        larger = fmax(sound, log_chance);
        sum += (larger + log(exp(sound - larger) + exp(log_chance - larger))) * words[bits];
    }
    return sum;
}

/* The logarithm of the likelihood of the cells where `count` pages differ, up to a constant: of the
 * first tier, or of all others. */
static double of_cells(const struct tally *tally, double count, int of_first)
{
    double sum = 0;

    for (unsigned bucket = of_first ? 0 : 1; bucket < (of_first ? 1 : TALLY_BUCKETS); bucket++) {
        const uint32_t *cells = tally->cells[bucket];
        uint64_t first, end;
        double mean;

        if (cells[TALLY_NONE] + cells[TALLY_ONE] + cells[TALLY_SEVERAL] == 0)
            continue;
        bucket_range(bucket, &first, &end);
        mean = count * sketch_density(first, end);
        if (of_first)
            mean *=
                1 - 2 * SKETCH_GAUGE_CELLS / tally->pages; /* the gauge's anchors are not there */
        sum += cells_likelihood(cells, mean);
    }
    return sum;
}

/* Of all that was counted. */
static double likelihood(const struct tally *tally, double count)
{
    double share = fmin(count / tally->pages, 1 - 1e-9);
    double sum = tally->sampled_differing * log(share) +
                 (tally->sampled - tally->sampled_differing) * log1p(-share);

    for (unsigned stratum = 0; stratum < SKETCH_STRATA; stratum++) {
        unsigned first, words;
        double rate = sketch_stratum(stratum, &first, &words);

        /* A page that differs flips bits for its old hash and for its new. */
        sum += words_likelihood(tally->words[stratum], 2 * count * rate / (64 * words), share);
    }
    return sum + of_cells(tally, count, 1) + of_cells(tally, count, 0);
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

/* How sharply the likelihood of the cells of later tiers is bent at its best, as a share of that of
 * all. */
static double share_of_cells(const struct tally *tally, double best)
{
    double step = 0.01 * best, cells, all;

    cells = 2 * of_cells(tally, best, 0) - of_cells(tally, best - step, 0) -
            of_cells(tally, best + step, 0);
    all = 2 * likelihood(tally, best) - likelihood(tally, best - step) -
          likelihood(tally, best + step);
    return all > 0 && cells > 0 ? fmin(cells / all, 1) : 1;
}

/*
 * The likelihood of a normal distribution falls by z^2/2 within z standard deviations. But cells
 * are not quite independent: a few pages fall into many of them, so how many of those differ, by
 * chance, moves all cells of the later tiers at once.
 */
struct tally_estimate tally_estimate(const struct tally *tally, double least)
{
    double log_best = most_likely(tally, log(least), log(tally->pages)), best = exp(log_best);
    double low = exp(fallen(tally, log_best, log(least), 15.1));
    double high = exp(fallen(tally, log_best, log(tally->pages), 2.0));
    double highest = exp(fallen(tally, log_best, log(tally->pages), 15.1));
    double common = sqrt(sketch_places_variance() * best) * share_of_cells(tally, best);

    low = best - hypot(best - low, 5.5 * common);
    high = best + hypot(high - best, 2 * common);
    highest = best + hypot(highest - best, 5.5 * common);
    return (struct tally_estimate){
        .low = fmax(low, least),
        .likely = best,
        .high = fmin(high, tally->pages),
        .highest = fmin(highest, tally->pages),
    };
}
