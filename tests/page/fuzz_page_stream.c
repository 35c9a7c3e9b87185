/* The reader of a page stream: the first byte chooses the page size and how the rest is fed. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/page_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fetch(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    (void)error;
    if (pgno < 1 || pgno > 5)
        abort();
    memset(page, (int)pgno, *(uint32_t *)arg);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct page_stream_reader *reader;
    uint32_t page_size, pgno, last = 0;
    const uint8_t *page;
    struct error error;
    size_t step;
    int rc = 0;

    if (size < 1)
        return 0;
    page_size = 512u << (data[0] % 8);
    step = (data[0] & 0x80) != 0 ? 1 : size;
    if (page_stream_reader_new(&reader, page_size, 5, fetch, &page_size, &error) != 0)
        abort();
    for (size_t at = 1; at < size && rc == 0; at += step) {
        page_stream_reader_feed(reader, data + at, step < size - at ? step : size - at);
        while ((rc = page_stream_reader_next(reader, &pgno, &page, &error)) == 0 && pgno != 0) {
            volatile uint8_t sum = 0;

            if (pgno <= last)
                abort();
            last = pgno;
            for (uint32_t i = 0; i < page_size; i += 64)
                sum ^= page[i];
        }
    }
    page_stream_reader_free(reader);
    return 0;
}
