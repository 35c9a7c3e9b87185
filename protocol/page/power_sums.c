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

/* What solving works in. */
struct workspace {
    size_t count;        /* words */
    uint64_t *backwards; /* owned, and with it all that follow; the words, the last first */
    uint64_t *locator;   /* count + 1, at first 0 */
    uint64_t *points;    /* count + 1 */
    uint64_t *scratch;   /* 2 * (count + 1) */
};

/* On failure there is nothing to release. */
static int workspace_init(struct workspace *space, const uint64_t *words, size_t count,
                          struct error *error)
{
    size_t room = count + 1;

    space->count = count;
    space->backwards = calloc(5 * room, sizeof(*space->backwards));
    if (space->backwards == NULL)
        return no_memory(error);
    space->locator = space->backwards + room;
    space->points = space->locator + room;
    space->scratch = space->points + room;
    for (size_t i = 0; i < count; i++)
        space->backwards[i] = words[count - 1 - i];
    return 0;
}

static void workspace_release(struct workspace *space)
{
    free(space->backwards);
}

/* The words from 0 to j, the last first. */
static const uint64_t *words_up_to(const struct workspace *space, size_t j)
{
    return space->backwards + (space->count - 1 - j);
}

/* Massey's algorithm: the shortest locator that the words allow, and its degree. */
static size_t find_locator(struct workspace *space)
{
    uint64_t *locator = space->locator;
    uint64_t *before = space->scratch; /* the locator before the last change of degree */
    uint64_t *kept = space->scratch + space->count + 1;
    uint64_t inverse = 1;                            /* of the discrepancy then */
    size_t degree = 0, before_degree = 0, since = 1; /* words since then */

    locator[0] = before[0] = 1;
    for (size_t n = 0; n < space->count; n++, since++) {
        uint64_t discrepancy = gf64_dot(locator, words_up_to(space, n), degree + 1);
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

/* The locator whose roots are the inverses of the numbers 1 to count, and these as points. */
static void make_locator(struct workspace *space)
{
    space->locator[0] = 1;
    for (size_t i = 0; i < space->count; i++) {
        space->points[i] = i + 1;
        memcpy(space->scratch, space->locator, (i + 1) * sizeof(*space->scratch));
        gf64_add_multiple(space->locator + 1, space->scratch, space->points[i], i + 1);
    }
}

/* Forney's: the hashes that belong to the points, of which there are `degree`, the inverses of the
 * locator's roots. */
static void find_values(struct workspace *space, size_t degree, uint64_t *hashes)
{
    const uint64_t *locator = space->locator, *points = space->points;
    uint64_t *polynomial = space->scratch, *derived = space->scratch + degree;

    for (size_t k = 0; k < degree; k++)
        polynomial[k] = k % 2 == 0 ? locator[k + 1] : 0;
    evaluate(polynomial, degree, points, degree, derived);
    for (size_t k = 0; k < degree; k++)
        polynomial[k] = gf64_dot(locator, words_up_to(space, k), k + 1);
    evaluate(polynomial, degree, points, degree, hashes);
    gf64_multiply_each(hashes, points, degree);
    gf64_inverse_many(derived, degree, polynomial);
    gf64_multiply_each(hashes, derived, degree);
}

/* The page numbers up to `pages` that the locator names, into points; how many there are. */
static size_t find_roots(struct workspace *space, size_t degree, uint32_t pages)
{
    enum { TOGETHER = 256 };
    uint64_t tried[TOGETHER], results[TOGETHER];
    size_t found = 0;

    for (uint64_t first = 1; first <= pages; first += TOGETHER) {
        size_t count = pages - first + 1 < TOGETHER ? (size_t)(pages - first + 1) : TOGETHER;

        for (size_t i = 0; i < count; i++)
            tried[i] = first + i;
        evaluate(space->locator, degree + 1, tried, count, results);
        for (size_t i = 0; i < count && found < degree; i++)
            if (results[i] == 0)
                space->points[found++] = tried[i];
    }
    return found;
}

int power_sums_solve(const uint64_t *words, size_t count, uint32_t pages, uint32_t *pgnos,
                     uint64_t *hashes, size_t *found, struct error *error)
{
    struct workspace space;
    size_t degree;
    int code = workspace_init(&space, words, count, error);

    *found = SIZE_MAX;
    if (code != 0)
        return code;
    degree = find_locator(&space);
    if (2 * degree <= count && find_roots(&space, degree, pages) == degree) {
        find_values(&space, degree, hashes);
        for (size_t i = 0; i < degree; i++)
            pgnos[i] = (uint32_t)space.points[i];
        *found = degree;
    }
    workspace_release(&space);
    return 0;
}

int power_sums_fill_in(const uint64_t *words, size_t count, uint64_t *hashes, struct error *error)
{
    struct workspace space;
    int code = workspace_init(&space, words, count, error);

    if (code != 0)
        return code;
    make_locator(&space);
    find_values(&space, count, hashes);
    workspace_release(&space);
    return 0;
}
