/*
 * Fuzz target: a finder that is told whatever the input says, and a describer that is asked for it.
 *
 * Input: 2 bytes page count, 1 byte choosing how the flights are made, 16 bytes seed, then bytes
 * for the flights; where they end, zeros follow. With bit 0 of the choice the bytes are XORed over
 * an honest description, which gets the finder deeper.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/page/difference.h"
#include "protocol/page/page_hash.h"

#define FLIGHTS_MAX 100 /* more than any conversation may take */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Check that the set is one: page numbers in range, ascending. */
static void check_pages(const struct difference_finder *finder, uint32_t pages)
{
    size_t count;
    const struct difference_page *found = difference_finder_pages(finder, &count);

    for (size_t i = 0; i < count; i++)
        if (found[i].pgno < 1 || found[i].pgno > pages ||
            (i > 0 && found[i].pgno <= found[i - 1].pgno))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct difference_describer *describer;
    struct difference_finder *finder;
    struct difference_want want;
    struct page_hash *hashes;
    uint32_t pages;
    int is_honest, flights = 0, code = 0;
    uint8_t seed[DIFFERENCE_SEED_SIZE];

    if (size < 3 + sizeof(seed))
        return 0;
    pages = (uint32_t)(data[0] | data[1] << 8) % 8192;
    is_honest = data[2] & 1;
    if (!(data[2] & 2) && pages > 1200 && pages <= DIFFERENCE_SUMS_PAGES)
        pages = 1061 + pages % 140;
    memcpy(seed, data + 3, sizeof(seed));
    data += 3 + sizeof(seed);
    size -= 3 + sizeof(seed);
    if ((hashes = calloc(pages + 1, sizeof(*hashes))) == NULL)
        abort();
    for (uint32_t i = 0; i < pages; i++)
        hashes[i].low = (i + 1) * 0x9e3779b97f4a7c15u;
    if (difference_describer_new(&describer, hashes, pages, seed, NULL) != 0 ||
        difference_finder_new(&finder, hashes, pages, seed, NULL) != 0)
        abort();
    while (code == 0 && (want = difference_finder_want(finder)).kind != DIFFERENCE_FOUND) {
        struct buffer flight;

        if (++flights > FLIGHTS_MAX)
            abort();
        buffer_init(&flight, 1u << 20);
        if (difference_describe(describer, &want, &flight, NULL) != 0)
            abort();
        for (size_t i = 0; i < flight.len; i++) {
            flight.data[i] = (uint8_t)((is_honest ? flight.data[i] : 0) ^ (size > 0 ? *data : 0));
            data += size > 0;
            size -= size > 0;
        }
        code = difference_finder_add(finder, want.kind, want.first, flight.data, flight.len, NULL);
        buffer_release(&flight);
    }
    if (code == 0)
        check_pages(finder, pages);
    difference_finder_free(finder);
    difference_describer_free(describer);
    free(hashes);
    return 0;
}
