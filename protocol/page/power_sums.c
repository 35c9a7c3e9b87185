/*
 * power_sums: see power_sums.h.
 *
 * With X the numbers of the pages and h their hashes, the words are the coefficients of the power
 * series of sum(h / (1 - X z)) = values(z) / locator(z), with locator(z) = product(1 - X z).
 * Massey's algorithm finds the locator, by trying all page numbers its roots are found, and a
 * page's h is X * values(1 / X) / locator'(1 / X). All polynomials are kept with the coefficient of
 * z^0 first. A polynomial is taken at 1 / X by reading the same coefficients the other way round,
 * which is the value times a power of X.
 */
#include "protocol/page/power_sums.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"

static int no_memory(struct error *error)
{
    return error_set(error, ERR_INTERNAL, "no memory to compare pages by power sums");
}

int power_sums_init(struct power_sums *sums, const struct page_hash *hashes, uint32_t pages,
                    struct error *error)
{
    *sums = (struct power_sums){
        .pages = pages,
        .points = malloc((pages + (size_t)1) * sizeof(*sums->points)),
        .terms = malloc((pages + (size_t)1) * sizeof(*sums->terms)),
    };
    if (sums->points == NULL || sums->terms == NULL) {
        power_sums_release(sums);
        return no_memory(error);
    }
    for (uint32_t i = 0; i < pages; i++) {
        sums->points[i] = i + (uint64_t)1;
        sums->terms[i] = hashes[i].low;
    }
    return 0;
}

void power_sums_release(struct power_sums *sums)
{
    free(sums->points);
    free(sums->terms);
    *sums = (struct power_sums){0};
}

void power_sums_next(struct power_sums *sums, uint64_t *words, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        words[j] = 0;
        for (uint32_t i = 0; i < sums->pages; i++)
            words[j] ^= sums->terms[i];
        gf64_multiply_each(sums->terms, sums->points, sums->pages);
    }
}

void power_sums_take_out(uint64_t *words, size_t count, uint32_t pgno, uint64_t hash)
{
    for (size_t j = 0; j < count; j++) {
        words[j] ^= hash;
        hash = gf64_multiply(hash, pgno);
    }
}

/* results[i] = the polynomial, with the highest power's coefficient first, at points[i]. */
static void evaluate(const uint64_t *polynomial, size_t terms, const uint64_t *points, size_t count,
                     uint64_t *results)
{
    memset(results, 0, count * sizeof(*results));
    for (size_t k = 0; k < terms; k++) {
        gf64_multiply_each(results, points, count);
        for (size_t i = 0; i < count; i++)
            results[i] ^= polynomial[k];
    }
}

/*
 * Massey's algorithm: the shortest locator that the words allow, into locator (room for count + 1),
 * and its degree. backwards: the words, the last first. scratch: room for 2 * (count + 1).
 */
static size_t find_locator(const uint64_t *backwards, size_t count, uint64_t *locator,
                           uint64_t *scratch)
{
    uint64_t *before = scratch,
             *kept = scratch + count + 1; /* the locator before the last change of degree */
    uint64_t inverse = 1;                 /* of the discrepancy then */
    size_t degree = 0, before_degree = 0, since = 1; /* words since then */

    memset(locator, 0, (count + 1) * sizeof(*locator));
    memset(before, 0, (count + 1) * sizeof(*before));
    locator[0] = before[0] = 1;
    for (size_t n = 0; n < count; n++, since++) {
        uint64_t discrepancy = gf64_dot(locator, backwards + (count - 1 - n), degree + 1);
        uint64_t factor = gf64_multiply(discrepancy, inverse);

        if (discrepancy == 0)
            continue;
        memcpy(kept, locator, (degree + 1) * sizeof(*kept));
        gf64_add_multiple(locator + since, before, factor, before_degree + 1);
        if (2 * degree > n)
            continue;
        memcpy(before, kept, (degree + 1) * sizeof(*before));
        before_degree = degree;
        degree = n + 1 - degree;
        inverse = gf64_inverse(discrepancy);
        since = 0;
    }
    return degree;
}

/* Forney's: the hashes that belong to the points, of which there are `degree`, the roots of the
 * locator's reverse. scratch: room for 2 * degree. */
static void find_values(const uint64_t *backwards, size_t count, const uint64_t *locator,
                        size_t degree, const uint64_t *points, uint64_t *hashes, uint64_t *scratch)
{
    uint64_t *polynomial = scratch, *derived = scratch + degree;

    for (size_t k = 0; k < degree; k++)
        polynomial[k] = k % 2 == 0 ? locator[k + 1] : 0;
    evaluate(polynomial, degree, points, degree, derived);
    for (size_t k = 0; k < degree; k++)
        polynomial[k] = gf64_dot(locator, backwards + (count - 1 - k), k + 1);
    evaluate(polynomial, degree, points, degree, hashes);
    gf64_multiply_each(hashes, points, degree);
    gf64_inverse_many(derived, degree, polynomial);
    gf64_multiply_each(hashes, derived, degree);
}

static uint64_t *turn_round(const uint64_t *words, size_t count)
{
    uint64_t *backwards = malloc((count + 1) * sizeof(*backwards));

    for (size_t i = 0; backwards != NULL && i < count; i++)
        backwards[i] = words[count - 1 - i];
    return backwards;
}

/* Where the page numbers up to `pages` are that the locator names, into points; their number, up to
 * `most`. */
static size_t find_roots(const uint64_t *locator, size_t degree, uint32_t pages, uint64_t *points,
                         size_t most)
{
    enum { TOGETHER = 256 };
    uint64_t tried[TOGETHER], results[TOGETHER];
    size_t found = 0;

    for (uint64_t first = 1; first <= pages; first += TOGETHER) {
        size_t count = pages - first + 1 < TOGETHER ? (size_t)(pages - first + 1) : TOGETHER;

        for (size_t i = 0; i < count; i++)
            tried[i] = first + i;
        evaluate(locator, degree + 1, tried, count, results);
        for (size_t i = 0; i < count && found < most; i++)
            if (results[i] == 0)
                points[found++] = tried[i];
    }
    return found;
}

int power_sums_solve(const uint64_t *words, size_t count, uint32_t pages, uint32_t *pgnos,
                     uint64_t *hashes, size_t *found, struct error *error)
{
    uint64_t *backwards = turn_round(words, count);
    uint64_t *locator = malloc(4 * (count + 1) * sizeof(*locator));
    uint64_t *points, *scratch;
    size_t degree;
    int code = 0;

    *found = SIZE_MAX;
    if (backwards == NULL || locator == NULL) {
        code = no_memory(error);
        goto out;
    }
    points = locator + count + 1;
    scratch = points + count + 1;
    degree = find_locator(backwards, count, locator, scratch);
    if (2 * degree > count || find_roots(locator, degree, pages, points, degree) < degree)
        goto out;
    find_values(backwards, count, locator, degree, points, hashes, scratch);
    for (size_t i = 0; i < degree; i++)
        pgnos[i] = (uint32_t)points[i];
    *found = degree;
out:
    free(backwards);
    free(locator);
    return code;
}

int power_sums_fill_in(const uint64_t *words, size_t count, uint64_t *hashes, struct error *error)
{
    uint64_t *backwards = turn_round(words, count);
    uint64_t *locator = calloc(4 * (count + 1), sizeof(*locator));
    uint64_t *points, *scratch;
    int code = 0;

    if (backwards == NULL || locator == NULL) {
        code = no_memory(error);
        goto out;
    }
    points = locator + count + 1;
    scratch = points + count + 1;
    locator[0] = 1;
    for (size_t i = 0; i < count; i++) {
        points[i] = i + 1;
        memcpy(scratch, locator, (i + 1) * sizeof(*scratch));
        gf64_add_multiple(locator + 1, scratch, points[i], i + 1);
    }
    find_values(backwards, count, locator, count, points, hashes, scratch);
out:
    free(backwards);
    free(locator);
    return code;
}
