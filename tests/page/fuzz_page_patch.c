/*
 * A page stream written and read again. The first byte chooses what the sender knows and the page
 * size, then come up to 6 old pages and up to 6 new ones, cut from the input; the last is filled up
 * with zeros.
 */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/page/page_stream.h"

#define SIZE  512u
#define COUNT 6u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t old[COUNT][SIZE];
    uint8_t new[COUNT][SIZE];
    uint8_t knows;
};

/* As good as a hash here: equal pages, and almost only those, have equal ones. */
static uint64_t hash(const uint8_t *page)
{
    uint64_t sum = 14695981039346656037u;

    for (uint32_t i = 0; i < SIZE; i++)
        sum = (sum ^ page[i]) * 1099511628211u;
    return sum;
}

static uint64_t old_hash(void *arg, uint32_t pgno)
{
    const struct input *input = arg;

    return hash(input->old[pgno - 1]);
}

static int sender_fetch(void *arg, uint32_t pgno, uint8_t *page, int *known, struct error *error)
{
    const struct input *input = arg;

    (void)error;
    *known = (input->knows >> pgno % 4 & 1) == 0;
    memcpy(page, input->old[pgno - 1], SIZE);
    return 0;
}

static int receiver_fetch(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    const struct input *input = arg;

    (void)error;
    if (pgno < 1 || pgno > COUNT)
        abort();
    memcpy(page, input->old[pgno - 1], SIZE);
    return 0;
}

static void read_back(struct input *input, const struct buffer *stream)
{
    struct page_stream_reader *reader;
    uint32_t pgno, expected = 1;
    const uint8_t *page;
    struct error error;

    if (page_stream_reader_new(&reader, SIZE, COUNT, receiver_fetch, input, &error) != 0)
        abort();
    page_stream_reader_feed(reader, stream->data, stream->len);
    for (; page_stream_reader_next(reader, &pgno, &page, &error) == 0 && pgno != 0; expected++) {
        if (pgno != expected || memcmp(page, input->new[pgno - 1], SIZE) != 0)
            abort();
    }
    if (!page_stream_reader_ended(reader) || expected != COUNT + 1)
        abort();
    page_stream_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct input input;
    struct page_stream_base base = {.page_count = COUNT, .arg = &input, .fetch = sender_fetch};
    struct page_stream_writer *writer;
    struct buffer stream;
    struct error error;

    if (size < 1)
        return 0;
    memset(&input, 0, sizeof(input));
    input.knows = data[0];
    if (size - 1 > 2 * COUNT * SIZE)
        size = 2 * COUNT * SIZE + 1;
    for (size_t i = 1; i < size; i++) {
        size_t at = i - 1;

        if (at < COUNT * SIZE)
            input.old[at / SIZE][at % SIZE] = data[i];
        else
            input.new[at / SIZE - COUNT][at % SIZE] = data[i];
    }
    if (input.knows & 0x80)
        base.hash = old_hash;
    buffer_init(&stream, 1 << 20);
    if (page_stream_writer_new(&writer, SIZE, input.knows >> 4 & 1, &base, &error) != 0)
        abort();
    for (uint32_t i = 0; i < COUNT; i++) {
        if (page_stream_writer_add(writer, i + 1, input.new[i], hash(input.new[i]), &stream,
                                   &error) != 0)
            abort();
    }
    if (page_stream_writer_finish(writer, &stream, &error) != 0)
        abort();
    page_stream_writer_free(writer);
    read_back(&input, &stream);
    buffer_release(&stream);
    return 0;
}
