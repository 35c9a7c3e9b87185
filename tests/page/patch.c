/* Pages that are sent as what they have in common with old ones: each comes out as it went in, and
 * is short. */
#include "protocol/page/page_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/page/fake_pages.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/page/page_hash.h"

/* A database as the two sides see it. */
struct pages {
    uint32_t page_size;
    uint32_t count; /* pages that there are */
    uint32_t room;  /* pages that there is room for */
    uint8_t *bytes;
};

/* What the sender knows of the old pages. */
enum knowledge { NOTHING, HASHES, CONTENTS, EVERYTHING, EVERY_THIRD };

struct scene {
    struct pages old, new;
    enum knowledge knows;
    uint32_t fail_at; /* fetching this old page fails; 0 for none */
};

static void scene_init(struct scene *scene, uint32_t page_size, uint32_t room)
{
    *scene = (struct scene){.old = {page_size, 0, room, calloc(room, page_size)},
                            .new = {page_size, 0, room, calloc(room, page_size)}};
}

static void scene_release(struct scene *scene)
{
    free(scene->old.bytes);
    free(scene->new.bytes);
}

static uint8_t *page_of(const struct pages *pages, uint32_t pgno)
{
    assert_in_range(pgno, 1, pages->room);
    return pages->bytes + (size_t)(pgno - 1) * pages->page_size;
}

static uint64_t hash_of(const struct pages *pages, uint32_t pgno)
{
    static const struct page_hasher hasher = {{1, 2, 3}};

    return page_hash(&hasher, pgno, page_of(pages, pgno), pages->page_size).low;
}

static uint64_t old_hash(void *arg, uint32_t pgno)
{
    const struct scene *scene = arg;

    return hash_of(&scene->old, pgno);
}

static int is_known(const struct scene *scene, uint32_t pgno)
{
    return scene->knows != EVERY_THIRD || pgno % 3 == 0;
}

static int sender_fetch(void *arg, uint32_t pgno, uint8_t *page, int *known, struct error *error)
{
    const struct scene *scene = arg;

    assert_in_range(pgno, 1, scene->old.count);
    if (pgno == scene->fail_at)
        return error_set(error, ERR_IO, "page %u cannot be read", pgno);
    *known = is_known(scene, pgno);
    memset(page, 0xee, scene->old.page_size); /* what is said to be unknown must not be used */
    if (*known)
        memcpy(page, page_of(&scene->old, pgno), scene->old.page_size);
    if (*known && pgno == 1)
        memset(page + 24, 0x55, 4); /* the change counter, of which the sender knows nothing */
    return 0;
}

static int receiver_fetch(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    const struct scene *scene = arg;

    assert_in_range(pgno, 1, scene->old.count);
    assert_true(is_known(scene, pgno) || scene->knows == HASHES);
    if (pgno == scene->fail_at)
        return error_set(error, ERR_IO, "page %u cannot be read", pgno);
    memcpy(page, page_of(&scene->old, pgno), scene->old.page_size);
    if (pgno == 1)
        memset(page + 24, 0x77, 4); /* the same at the receiver */
    return 0;
}

static int write_scene(struct scene *scene, int level, struct buffer *out)
{
    struct page_stream_base base = {.page_count = scene->old.count, .arg = scene};
    struct page_stream_writer *writer;
    struct error error;
    int rc;

    if (scene->knows == HASHES || scene->knows == EVERYTHING)
        base.hash = old_hash;
    if (scene->knows >= CONTENTS)
        base.fetch = sender_fetch;
    buffer_init(out, (size_t)scene->new.room * 2 * scene->new.page_size + 65536);
    assert_int_equal(page_stream_writer_new(&writer, scene->new.page_size, level,
                                            scene->knows == NOTHING ? NULL : &base, &error),
                     0);
    rc = 0;
    for (uint32_t pgno = 1; pgno <= scene->new.count &&rc == 0; pgno++) {
        const uint8_t *page = page_of(&scene->new, pgno);

        if (pgno <= scene->old.count &&
            memcmp(page, page_of(&scene->old, pgno), scene->new.page_size) == 0)
            continue;
        rc = page_stream_writer_add(writer, pgno, page, hash_of(&scene->new, pgno), out, &error);
    }
    if (rc == 0)
        rc = page_stream_writer_finish(writer, out, &error);
    page_stream_writer_free(writer);
    return rc;
}

static int read_scene(struct scene *scene, const struct buffer *stream)
{
    uint8_t *result = malloc((size_t)scene->new.room * scene->new.page_size);
    struct page_stream_reader *reader;
    const uint8_t *page;
    struct error error;
    uint32_t pgno;
    int rc;

    memcpy(result, scene->old.bytes, (size_t)scene->new.room * scene->new.page_size);
    assert_int_equal(page_stream_reader_new(&reader, scene->new.page_size, scene->old.count,
                                            receiver_fetch, scene, &error),
                     0);
    page_stream_reader_feed(reader, stream->data, stream->len);
    while ((rc = page_stream_reader_next(reader, &pgno, &page, &error)) == 0 && pgno != 0) {
        assert_in_range(pgno, 1, scene->new.count);
        memcpy(result + (size_t)(pgno - 1) * scene->new.page_size, page, scene->new.page_size);
    }
    if (rc == 0) {
        assert_true(page_stream_reader_ended(reader));
        assert_memory_equal(result, scene->new.bytes,
                            (size_t)scene->new.count * scene->new.page_size);
    }
    page_stream_reader_free(reader);
    free(result);
    return rc;
}

/* Send the new pages; what came out is compared. Returns the length of the stream. */
static size_t carry(struct scene *scene, enum knowledge knows, int level)
{
    struct buffer stream;
    size_t len;

    scene->knows = knows;
    assert_int_equal(write_scene(scene, level, &stream), 0);
    assert_int_equal(read_scene(scene, &stream), 0);
    len = stream.len;
    buffer_release(&stream);
    return len;
}

/* As many leaf pages as the keys need, from page pgno on. Returns the page number behind them. */
static uint32_t lay_out(struct pages *pages, uint32_t pgno, uint8_t type, const uint32_t *keys,
                        uint32_t key_count, int disorder)
{
    struct fake_page *fake = fake_page_new(pages->page_size, type);

    for (uint32_t put = 0; put < key_count; pgno++) {
        uint32_t salt = 7 + (disorder ? pgno * 1000 : 0);

        put += fake_page_fill_keys(fake, salt, keys + put, key_count - put, disorder);
        memcpy(page_of(pages, pgno), fake->bytes, pages->page_size);
        if (pages->count < pgno)
            pages->count = pgno;
    }
    fake_page_free(fake);
    return pgno;
}

static const uint32_t page_sizes[] = {512, 4096, 65536};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Every page loses a cell: cells stay where they were, or are packed anew. */
static void a_cell_less_on_each_page(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(page_sizes); s++) {
        struct fake_page *fake = fake_page_new(page_sizes[s], FAKE_TABLE_LEAF);
        struct scene scene;
        size_t whole, patched;

        scene_init(&scene, page_sizes[s], 100);
        scene.old.count = scene.new.count = 100;
        for (uint32_t pgno = 2; pgno <= 100; pgno++) {
            uint8_t *new = page_of(&scene.new, pgno);
            uint32_t first = pgno * 2000, next, cell = fake_random(pgno);

            next = fake_page_fill(fake, 7, first, 4000, 1);
            memcpy(page_of(&scene.old, pgno), fake->bytes, page_sizes[s]);
            memcpy(new, fake->bytes, page_sizes[s]);
            cell %= next - first;
            new[3] = (uint8_t)((next - first - 1) >> 8);
            new[4] = (uint8_t)(next - first - 1);
            memmove(new + 8 + 2 * cell, new + 10 + 2 * cell, 2 * (next - first - 1 - cell));
        }
        whole = carry(&scene, NOTHING, 3);
        patched = carry(&scene, CONTENTS, 3);
        if (patched > 100 * 24 || patched * 8 > whole)
            fail_msg("%zu instead of %zu", patched, whole);
        carry(&scene, EVERYTHING, 1);
        carry(&scene, EVERY_THIRD, 0);
        scene_release(&scene);
        fake_page_free(fake);
    }
}

/* One key in ten goes, the others are packed to new pages, as VACUUM does, from pages in disorder.
 */
static void repacked_with_some_cells_gone(void **state)
{
    static const uint8_t types[] = {FAKE_TABLE_LEAF, FAKE_INDEX_LEAF, FAKE_INDEX_INTERIOR};

    (void)state;
    for (size_t t = 0; t < COUNT(types); t++) {
        uint32_t keys[60000], kept = 0;
        size_t whole, patched;
        struct scene scene;

        scene_init(&scene, 4096, 1500);
        for (uint32_t i = 0; i < COUNT(keys); i++)
            keys[i] = i + 1;
        lay_out(&scene.old, 2, types[t], keys, COUNT(keys), 1);
        for (uint32_t i = 0; i < COUNT(keys); i++) {
            if (fake_random(i * 2654435761u + 5) % 10 != 0)
                keys[kept++] = keys[i];
        }
        lay_out(&scene.new, 2, types[t], keys, kept, 0);
        whole = carry(&scene, HASHES, 3);
        patched = carry(&scene, EVERYTHING, 3);
        if (patched * 8 > whole)
            fail_msg("type %u: %zu instead of %zu", types[t], patched, whole);
        carry(&scene, EVERY_THIRD, 3);
        scene_release(&scene);
    }
}

/* After such pages, ones that stayed in place and took in half of another old page's cells. */
static void own_cells_and_those_of_kin(void **state)
{
    uint32_t keys[30000], kept = 0, last;
    struct scene scene;
    size_t patched;

    (void)state;
    scene_init(&scene, 4096, 1500);
    for (uint32_t i = 0; i < COUNT(keys); i++)
        keys[i] = i + 1;
    last = lay_out(&scene.old, 2, FAKE_INDEX_LEAF, keys, COUNT(keys), 1);
    for (uint32_t i = 0; i < COUNT(keys); i++) {
        if (i % 10 != 0)
            keys[kept++] = keys[i];
    }
    lay_out(&scene.new, 2, FAKE_INDEX_LEAF, keys, kept, 0);
    for (uint32_t n = 0; n < 20; n++) {
        uint32_t mixed[200];

        for (uint32_t i = 0; i < COUNT(mixed); i++)
            mixed[i] = 100000 + n * 2000 + (i < 30 ? i : 1000 + i);
        lay_out(&scene.old, last + 2 * n, FAKE_INDEX_LEAF, mixed, 30, 0);
        lay_out(&scene.old, last + 2 * n + 1, FAKE_INDEX_LEAF, mixed + 30, 60, 0);
        memcpy(page_of(&scene.new, last + 2 * n), page_of(&scene.old, last + 2 * n), 4096);
        lay_out(&scene.new, last + 2 * n, FAKE_INDEX_LEAF, mixed, 70, 0);
        memcpy(page_of(&scene.new, last + 2 * n + 1), page_of(&scene.old, last + 2 * n + 1), 4096);
    }
    scene.new.count = scene.old.count;
    patched = carry(&scene, EVERYTHING, 3);
    assert_true(patched * 8 < carry(&scene, HASHES, 3));
    scene_release(&scene);
}

/* Pages that stand elsewhere now: known by their hashes alone. */
static void moved_pages(void **state)
{
    uint32_t keys[30000];
    struct scene scene;
    size_t moved;

    (void)state;
    scene_init(&scene, 4096, 1500);
    for (uint32_t i = 0; i < COUNT(keys); i++)
        keys[i] = i + 1;
    lay_out(&scene.old, 1, FAKE_TABLE_LEAF, keys, COUNT(keys), 0);
    scene.new.count = scene.old.count - 10;
    for (uint32_t pgno = 2; pgno <= scene.new.count; pgno++)
        memcpy(page_of(&scene.new, pgno), page_of(&scene.old, pgno + (pgno > 20 ? 10 : 5)), 4096);
    memcpy(page_of(&scene.new, 1), page_of(&scene.old, 2), 4096);
    moved = carry(&scene, HASHES, 3);
    assert_in_range(moved, 1, 3000); /* page 1, and not two bytes for each other */
    assert_in_range(carry(&scene, EVERYTHING, 3), 1, 3000);
    assert_true(carry(&scene, CONTENTS, 3) < 60 * scene.new.count);
    scene_release(&scene);
}

/* Overflow pages of large values: no cells, the first four bytes changed, the rest moved. */
static void moved_overflow_pages(void **state)
{
    struct scene scene;
    uint32_t x = 99;

    (void)state;
    scene_init(&scene, 4096, 1500);
    scene.old.count = scene.new.count = 1000;
    for (uint32_t pgno = 1; pgno <= 1000; pgno++) {
        for (uint32_t i = 0; i < 4096; i++) {
            x = fake_random(x);
            page_of(&scene.old, pgno)[i] = (uint8_t)(x >> 7);
        }
        page_of(&scene.old, pgno)[0] = 0;
    }
    for (uint32_t pgno = 2; pgno <= 900; pgno++) {
        memcpy(page_of(&scene.new, pgno), page_of(&scene.old, pgno + 100), 4096);
        page_of(&scene.new, pgno)[3] ^= 0x40;
    }
    assert_true(carry(&scene, CONTENTS, 3) < 100 * 4096 + 16 * 900);
    scene_release(&scene);
}

/* Bytes changed here and there, cut out and put in, in pages of any bytes at all, page 1 among
 * them. */
static void random_edits(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 60; seed++) {
        uint32_t size = page_sizes[seed % 3], x = seed * 2654435761u + 1;
        struct fake_page *fake =
            fake_page_new(size, seed % 2 == 0 ? FAKE_INDEX_LEAF : FAKE_TABLE_LEAF);
        struct scene scene;

        scene_init(&scene, size, 40);
        scene.old.count = 30;
        scene.new.count = 28 + seed % 5;
        for (uint32_t pgno = 1; pgno <= 40; pgno++) {
            x = fake_random(x);
            fake_page_fill(fake, pgno, x % 100000, 5000, x % 3 == 0);
            memcpy(page_of(&scene.old, pgno), fake->bytes, size);
            memcpy(page_of(&scene.new, pgno), fake->bytes, size);
        }
        for (uint32_t edit = 0; edit < 80; edit++) {
            uint8_t *page = page_of(&scene.new, (x = fake_random(x)) % scene.new.count + 1);
            uint32_t at = (x = fake_random(x)) % (size - 200), len = (x = fake_random(x)) % 150;
            uint32_t by = (x = fake_random(x)) % 50;

            if (edit % 4 == 0)
                memmove(page + at + by, page + at, len);
            else if (edit % 4 == 1)
                memmove(page + at, page + at + by, len);
            else if (edit % 4 == 2)
                memcpy(page + at, page_of(&scene.old, x % 30 + 1) + at, len);
            else
                memset(page + at, (int)(x >> 8), by);
        }
        memset(page_of(&scene.old, 1) + 16, 0, 16);
        memset(page_of(&scene.new, 1) + 16, 0, 16);
        for (int knows = NOTHING; knows <= EVERY_THIRD; knows++)
            carry(&scene, (enum knowledge)knows, (int)(seed % 4));
        scene_release(&scene);
        fake_page_free(fake);
    }
}

/* What fetching says goes through both halves unchanged. */
static void fetching_fails(void **state)
{
    struct scene scene;
    struct buffer stream;

    (void)state;
    scene_init(&scene, 512, 10);
    scene.old.count = scene.new.count = 10;
    for (uint32_t i = 0; i < 10 * 512; i++)
        scene.old.bytes[i] = scene.new.bytes[i] = (uint8_t)(i / 3 + 1);
    scene.new.bytes[6 * 512 + 40] ^= 1;
    scene.knows = CONTENTS;
    scene.fail_at = 7;
    assert_int_equal(write_scene(&scene, 3, &stream), ERR_IO);
    buffer_release(&stream);
    scene.fail_at = 0;
    assert_int_equal(write_scene(&scene, 3, &stream), 0);
    scene.fail_at = 7;
    assert_int_equal(read_scene(&scene, &stream), ERR_IO);
    buffer_release(&stream);
    scene_release(&scene);
}

/* The same pages make the same bytes, every time. */
static void output_is_deterministic(void **state)
{
    static uint32_t keys[60000];
    struct buffer one, other;
    struct scene scene;

    (void)state;
    scene_init(&scene, 4096, 1500);
    for (uint32_t i = 0; i < COUNT(keys); i++)
        keys[i] = i + 1;
    lay_out(&scene.new, 2, FAKE_TABLE_LEAF, keys, COUNT(keys), 1);
    assert_int_equal(write_scene(&scene, 3, &one), 0);
    assert_int_equal(write_scene(&scene, 3, &other), 0);
    assert_true(one.len > 500000);
    assert_int_equal(one.len, other.len);
    assert_memory_equal(one.data, other.data, one.len);
    buffer_release(&one);
    buffer_release(&other);
    scene_release(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cell_less_on_each_page),
        cmocka_unit_test(repacked_with_some_cells_gone),
        cmocka_unit_test(own_cells_and_those_of_kin),
        cmocka_unit_test(moved_pages),
        cmocka_unit_test(moved_overflow_pages),
        cmocka_unit_test(random_edits),
        cmocka_unit_test(fetching_fails),
        cmocka_unit_test(output_is_deterministic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
