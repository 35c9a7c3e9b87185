#include "protocol/page/patch_encoder.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/btree_page.h"
#include "protocol/page/page_block.h"
#include "protocol/page/page_kin.h"
#include "protocol/page/patch.h"

#define MATCH_IN_PLACE 2u  /* bytes that a copy from the expected place has at least */
#define MATCH_SHIFTED  6u  /* from a place nearby */
#define MATCH_ZEROS    6u  /* zeros */
#define MATCH_ENOUGH   32u /* a match this long ends the search */
#define SHIFT_MAX      96u /* how far "nearby" goes, in bytes */
#define SHIFT_POINTERS 16u /* the same within the cell pointers */

/* A cell of a page in the window. */
struct known_cell {
    uint32_t tag;   /* the upper half of its hash */
    uint32_t place; /* slot * page_size + offset, plus 1; 0 for none */
};

struct patch_encoder {
    struct patch_window window;
    uint32_t page_size;
    uint32_t slot_pgno[PATCH_SLOTS]; /* whose old content a slot has */
    uint32_t known_mask;             /* entries of known - 1 */
    uint8_t *incoming;               /* owned; an old page that was just fetched */
    struct known_cell *known;        /* owned; by hash, later cells push out earlier ones */
    uint32_t *
        cell_at; /* owned; for each offset of the new page: place of the old cell to copy, plus 1 */
    uint8_t *cell_start; /* owned; bit set of the offsets of the newest page's cells */
};

/* Where a copy could come from. */
struct match {
    uint32_t len;    /* 0 for none */
    uint32_t source; /* as in COLUMN_SOURCES */
    uint32_t slot;
    uint32_t offset;
};

/* The pass over one page. */
struct pass {
    const uint8_t *page;
    uint32_t at;            /* bytes that were looked at */
    uint32_t literals;      /* of them, those at the end that no step has yet */
    uint32_t slot, offset;  /* where the last copy ended */
    uint32_t pointers_from; /* the array of cell pointers */
    uint32_t pointers_to;
    int coded; /* they are coded */
};

int patch_encoder_new(struct patch_encoder **encoder, uint32_t page_size, struct error *error)
{
    struct patch_encoder *e = calloc(1, sizeof(*e));
    int rc;

    *encoder = NULL;
    if (e == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for patches");
    e->page_size = page_size;
    e->known_mask = page_size * 4 - 1;
    e->known = calloc((size_t)page_size * 4, sizeof(*e->known));
    e->cell_at = calloc(page_size, sizeof(*e->cell_at));
    e->cell_start = calloc(page_size / 8, 1);
    e->incoming = malloc(page_size);
    rc = patch_window_init(&e->window, page_size, error);
    if (rc == 0 &&
        (e->incoming == NULL || e->known == NULL || e->cell_at == NULL || e->cell_start == NULL))
        rc = error_set(error, ERR_INTERNAL, "out of memory for patches");
    if (rc != 0)
        patch_encoder_free(e);
    else
        *encoder = e;
    return rc;
}

void patch_encoder_free(struct patch_encoder *encoder)
{
    if (encoder == NULL)
        return;
    patch_window_release(&encoder->window);
    free(encoder->incoming);
    free(encoder->known);
    free(encoder->cell_at);
    free(encoder->cell_start);
    free(encoder);
}

void patch_encoder_join(struct patch_encoder *encoder, uint32_t pgno, const uint8_t *page, int pack)
{
    struct patch_window *window = &encoder->window;
    const struct btree_page *btree = &window->btree;

    memcpy(patch_window_spot(window), page, encoder->page_size);
    patch_window_join(window, pgno, pack);
    encoder->slot_pgno[window->newest] = pgno;
    page = patch_window_page(window, 0);
    memset(encoder->cell_start, 0, encoder->page_size / 8);
    for (uint32_t i = 0; i < btree->cell_count; i++) {
        uint32_t offset = btree->cells[i].offset, len;
        const uint8_t *cell = page_kin_cell(btree, i, page, &len);
        struct known_cell *known;
        uint64_t hash;

        encoder->cell_start[offset / 8] |= (uint8_t)(1u << offset % 8);
        if (len == 0)
            continue;
        hash = page_kin_hash(cell, len);
        known = &encoder->known[hash & encoder->known_mask];
        known->tag = (uint32_t)(hash >> 32);
        known->place = window->newest * encoder->page_size + (uint32_t)(cell - page) + 1;
    }
}

uint32_t patch_encoder_cells_in_place(struct patch_encoder *encoder, const struct btree_page *btree)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < btree->cell_count; i++) {
        uint32_t offset = btree->cells[i].offset;

        count += encoder->cell_start[offset / 8] >> offset % 8 & 1;
    }
    return count;
}

static int in_window(const struct patch_encoder *e, uint32_t pgno)
{
    for (uint32_t i = 0; i < PATCH_SLOTS; i++) {
        if (e->slot_pgno[i] == pgno)
            return 1;
    }
    return 0;
}

/* Whether the len bytes of a cell stand at that place of the window. */
static int stands_at(const struct patch_encoder *e, uint64_t place, const uint8_t *cell,
                     uint32_t len)
{
    uint64_t slot = place / e->page_size;

    return slot < PATCH_SLOTS && place % e->page_size + len <= e->page_size &&
           memcmp(e->window.slots + place, cell, len) == 0;
}

/* The place of a cell in the window plus 1; 0 for none. */
static uint32_t find_known(const struct patch_encoder *e, uint64_t hash, const uint8_t *cell,
                           uint32_t len)
{
    const struct known_cell *known = &e->known[hash & e->known_mask];

    if (known->place == 0 || known->tag != (uint32_t)(hash >> 32) ||
        !stands_at(e, known->place - 1, cell, len))
        return 0;
    return known->place;
}

/* An old page that has what hashes to `hash` joins the window, if there is one. */
static int join_kin(struct patch_encoder *e, uint64_t hash, const struct page_kin *kin,
                    patch_encoder_fetch *fetch, void *fetch_arg, struct patch_joins *joins,
                    struct error *error)
{
    uint32_t pgno = page_kin_find(kin, hash);
    int known, rc;

    if (pgno == 0 || joins->count == PATCH_JOINS_MAX || in_window(e, pgno))
        return 0;
    rc = fetch(fetch_arg, pgno, e->incoming, &known, error);
    if (rc != 0 || !known)
        return rc;
    patch_encoder_join(e, pgno, e->incoming, 1);
    joins->pgno[joins->count++] = pgno;
    return 0;
}

int patch_encoder_find(struct patch_encoder *encoder, const uint8_t *page,
                       const struct btree_page *btree, int own, const struct page_kin *kin,
                       patch_encoder_fetch *fetch, void *fetch_arg, struct patch_joins *joins,
                       uint32_t *found, struct error *error)
{
    struct patch_encoder *e = encoder;
    uint64_t own_slot = (uint64_t)e->window.newest * e->page_size;
    uint32_t before = 0; /* place of the cell that was found before, plus 1 */
    int rc = 0;

    joins->count = 0;
    *found = 0;
    memset(e->cell_at, 0, e->page_size * sizeof(*e->cell_at));
    if (btree->type == 0 && kin != NULL)
        return join_kin(e, page_kin_start_hash(page), kin, fetch, fetch_arg, joins, error);
    for (uint32_t i = 0; i < btree->cell_count && rc == 0; i++) {
        uint32_t size = btree->cells[i].size, place = 0, len;
        const uint8_t *cell = page_kin_cell(btree, i, page, &len);
        uint32_t offset = (uint32_t)(cell - page);

        if (len == 0) {
            before = 0;
            continue;
        }
        if (before > size && (before - 1) / e->page_size == (before - 1 - size) / e->page_size &&
            stands_at(e, before - 1 - size, cell, len)) {
            place = before - size;
        } else if (own && stands_at(e, own_slot + offset, cell, len)) {
            place = (uint32_t)own_slot + offset + 1;
        } else {
            uint64_t hash = page_kin_hash(cell, len);

            place = find_known(e, hash, cell, len);
            if (place == 0 && kin != NULL) {
                rc = join_kin(e, hash, kin, fetch, fetch_arg, joins, error);
                place = find_known(e, hash, cell, len);
            }
        }
        before = place;
        e->cell_at[offset] = place;
        *found += place != 0 ? len : 0;
    }
    return rc;
}

/* Where in its page the next copy is expected to come from: literals took the place of as many old
 * bytes. */
static uint32_t expected_offset(const struct patch_encoder *e, const struct pass *pass)
{
    uint32_t offset = pass->offset + pass->literals;

    return offset < e->page_size ? offset : e->page_size;
}

/* How many bytes are the same at a and b, at most max. */
static uint32_t same_bytes(const uint8_t *a, const uint8_t *b, uint32_t max)
{
    uint32_t len = 0;

    while (len + 8 <= max && memcmp(a + len, b + len, 8) == 0)
        len += 8;
    while (len < max && a[len] == b[len])
        len++;
    return len;
}

/* Take the bytes at slot and offset as the match, if that makes it longer by more than `margin`. */
static void try_place(const struct patch_encoder *e, const struct pass *pass, uint32_t slot,
                      uint32_t offset, uint32_t margin, struct match *best)
{
    uint32_t room = e->page_size - (offset > pass->at ? offset : pass->at);
    const uint8_t *old = e->window.slots + (size_t)slot * e->page_size + offset;
    uint32_t len = same_bytes(pass->page + pass->at, old, room);

    if (len > best->len + margin)
        *best = (struct match){len, PATCH_SOURCE_SLOT, slot, offset};
}

static void try_zeros(const struct patch_encoder *e, const struct pass *pass, struct match *best)
{
    uint32_t len = 0;

    while (pass->at + len < e->page_size && pass->page[pass->at + len] == 0)
        len++;
    if (len >= MATCH_ZEROS && len > best->len + 2)
        *best = (struct match){.len = len, .source = PATCH_SOURCE_ZEROS};
}

/* Look to both sides of the expected place. Costs most, so only at some of the places of a run of
 * literals. */
static void try_shifts(const struct patch_encoder *e, const struct pass *pass, struct match *best)
{
    int in_pointers = pass->at >= pass->pointers_from && pass->at < pass->pointers_to;
    uint32_t reach = in_pointers ? SHIFT_POINTERS : SHIFT_MAX, step = in_pointers ? 2 : 1;
    uint32_t expected = expected_offset(e, pass);
    uint32_t low = expected > reach ? expected - reach : expected % step;
    uint32_t high = expected + reach < e->page_size - 4 ? expected + reach : e->page_size - 4;
    const uint8_t *old = e->window.slots + (size_t)pass->slot * e->page_size;
    const uint8_t *wanted = pass->page + pass->at;

    if ((in_pointers && pass->coded) || pass->at + 4 > e->page_size ||
        (pass->literals >= 2 && (pass->literals >= 16 || pass->literals % 4 != 0)))
        return;
    for (uint32_t offset = low; offset <= high; offset += step) {
        if (memcmp(old + offset, wanted, 4) == 0)
            try_place(e, pass, pass->slot, offset, 3, best);
    }
}

/* The best that there is to copy at the pass's place. */
static struct match find_match(const struct patch_encoder *e, const struct pass *pass)
{
    uint32_t cell = e->cell_at[pass->at], expected = expected_offset(e, pass);
    struct match best = {0};

    if (expected < e->page_size) {
        try_place(e, pass, pass->slot, expected, 0, &best);
        if (best.len < MATCH_IN_PLACE && pass->at + best.len < e->page_size)
            best.len = 0;
    }
    if (best.len >= MATCH_ENOUGH)
        return best;
    if (cell != 0)
        try_place(e, pass, (cell - 1) / e->page_size, (cell - 1) % e->page_size, 2, &best);
    if (best.len < MATCH_ENOUGH && pass->page[pass->at] == 0)
        try_zeros(e, pass, &best);
    if (best.len < 4)
        try_shifts(e, pass, &best);
    return best;
}

/* Make a match longer by the literals before it that are the same. */
static void extend_back(const struct patch_encoder *e, struct pass *pass, struct match *match)
{
    const uint8_t *old = e->window.slots + (size_t)match->slot * e->page_size;

    if (match->source == PATCH_SOURCE_ZEROS)
        return;
    while (pass->literals > 0 && match->offset > 0 &&
           pass->page[pass->at - 1] == old[match->offset - 1]) {
        pass->at--;
        pass->literals--;
        match->offset--;
        match->len++;
    }
}

static int write_literals(const struct pass *pass, struct page_block *block, struct error *error)
{
    int rc = page_block_put(block, COLUMN_LITERAL_LENS, pass->literals, error);

    if (rc == 0)
        rc = page_block_put_bytes(block, COLUMN_LITERALS, pass->page + pass->at - pass->literals,
                                  pass->literals, error);
    return rc;
}

/* Write the step that ends with the match, and move behind it. */
static int write_step(const struct patch_encoder *e, struct pass *pass, struct match *match,
                      struct page_block *block, struct error *error)
{
    uint32_t age = (e->window.newest + PATCH_SLOTS - match->slot) % PATCH_SLOTS;
    uint32_t offset = match->offset, expected = expected_offset(e, pass);
    int rc = write_literals(pass, block, error);

    if (match->source == PATCH_SOURCE_ZEROS) {
        match->slot = pass->slot;
        offset = expected;
    } else if (match->slot != pass->slot) {
        match->source = PATCH_SOURCE_SLOT + 2 * age;
    } else {
        match->source = 2 * patch_zigzag((int32_t)offset - (int32_t)expected);
    }
    if (rc == 0)
        rc = page_block_put(block, COLUMN_COPY_LENS, match->len, error);
    if (rc == 0)
        rc = page_block_put(block, COLUMN_SOURCES, match->source, error);
    if (rc == 0 && match->slot != pass->slot)
        rc = page_block_put(block, COLUMN_OFFSETS, offset, error);
    pass->at += match->len;
    pass->literals = 0;
    pass->slot = match->slot;
    pass->offset = offset + match->len < e->page_size ? offset + match->len : e->page_size;
    return rc;
}

int patch_encoder_write(struct patch_encoder *encoder, const uint8_t *page,
                        const struct btree_page *btree, int coded, uint32_t start_age,
                        struct page_block *block, struct error *error)
{
    const struct patch_encoder *e = encoder;
    struct pass pass = {.page = page,
                        .slot = (e->window.newest + PATCH_SLOTS - start_age) % PATCH_SLOTS,
                        .pointers_from = btree->header_size,
                        .pointers_to = btree->header_size + 2u * btree->cell_count,
                        .coded = coded};
    int rc = 0;

    if (btree->type == 0)
        pass.pointers_from = pass.pointers_to = 0;
    while (pass.at < e->page_size && rc == 0) {
        struct match match = find_match(e, &pass);

        if (match.len > 0) {
            extend_back(e, &pass, &match);
            rc = write_step(e, &pass, &match, block, error);
        } else {
            pass.at++;
            pass.literals++;
        }
    }
    if (rc == 0 && pass.literals > 0)
        rc = write_literals(&pass, block, error);
    return rc;
}
