/*
 * patch_encoder: finds the copies that make a page short to tell (patch.h has the form).
 *
 * How: the new page's cells are looked for one by one, first right before the cell that was found last (cells stand in
 * falling order), then by hash among the cells of all pages in the window, then by hash among the features of all old
 * pages (page_kin.h), which brings an old page into the window. Then one pass over the bytes of the page takes, at each
 * place, the longest of: what stands in the same place of the old page, the cell that was found, zeros, or the same
 * few bytes up to 96 to either side; what is none of these is literal.
 *
 * Tried on the work of bench/README.md (456 MB, pages of 4096 bytes), bytes of the page stream at zstd's level 3:
 *
 *                                             upd100    upd1pct  batchjob      vacuum  vacuum-head
 *   changed pages whole                      184,437 21,293,004 6,098,168        93 M  (21.6 M without moved pages)
 *   the same, cell pointers coded            174,740 20,229,454 5,925,859           -            -
 *   xor with the old page                     12,091  1,445,444 5,004,530           -            -
 *   zstd with the old pages as its prefix      8,200    1.70 M    2.73 M      14.3 M        4.3 M  (all in memory)
 *   steps; old pages join as they are          5,421    562,378 1,865,509     11.25 M       4.83 M
 *   the same, joined pages packed              5,410    561,810 1,868,276     10.74 M       4.13 M
 *   kin by first, second and middle cell
 *   (before: the two lowest hashes)            5,309    555,291 1,605,168      4.20 M       1.59 M
 *   shifts at fewer places, less eager kin     5,293    557,459 1,826,958      3.41 M       1.34 M  (this)
 *
 * Without their index of kin (page_kin.h) the vacuums weigh what their pages weigh whole. It was also made for batchjob, before
 * page_stream_writer.c asked for every third page to be a stranger: 10 % fewer bytes for twice the time. Processor time
 * of the sender, zstd's threads counted in: upd1pct 0.15 to 0.2 s, batchjob 0.2 s, vacuum 0.8 to 0.9 s, vacuum-head
 * 0.5 s; the reader takes 0.05 s, 0.04 s, 0.2 s and 0.2 s.
 */
#ifndef LOCKSTEP_PAGE_PATCH_ENCODER_H
#define LOCKSTEP_PAGE_PATCH_ENCODER_H

#include <stdint.h>

#include "protocol/page/patch.h"

struct btree_page;
struct error;
struct page_block;
struct page_kin;
struct patch_encoder;

int patch_encoder_new(struct patch_encoder **encoder, uint32_t page_size, struct error *error);
void patch_encoder_free(struct patch_encoder *encoder);

/* Copy old page pgno into the window, as patch_window_join does. The receiver must be told to do the same. */
void patch_encoder_join(struct patch_encoder *encoder, uint32_t pgno, const uint8_t *page, int pack);

/* Fetches old page pgno. *known is 0 where it cannot be had. 0 or a code. */
typedef int patch_encoder_fetch(void *arg, uint32_t pgno, uint8_t *page, int *known, struct error *error);

/* The old pages that joined the window for one new page. */
struct patch_joins {
    uint32_t count;
    uint32_t pgno[PATCH_JOINS_MAX];
};

/*
 * Look for the cells of the new page in the window; own is whether the newest page in it is the old content of the same
 * page. Where kin is not NULL, pages that it tells and fetch gives join the window (packed) and are listed in
 * *joins. *found becomes the number of bytes of the page in cells that were found.
 */
int patch_encoder_find(struct patch_encoder *encoder, const uint8_t *page, const struct btree_page *btree, int own,
                       const struct page_kin *kin, patch_encoder_fetch *fetch, void *fetch_arg,
                       struct patch_joins *joins, uint32_t *found, struct error *error);

/* Of the cells of the new page, how many stand where the page that joined last has one (if its cells were not packed). */
uint32_t patch_encoder_cells_in_place(struct patch_encoder *encoder, const struct btree_page *btree);

/*
 * Write the steps of the page to the block. It must be the one that patch_encoder_find was called for; coded: its
 * cell pointers are coded in `page`. start_age as in patch_apply.
 */
int patch_encoder_write(struct patch_encoder *encoder, const uint8_t *page, const struct btree_page *btree, int coded,
                        uint32_t start_age, struct page_block *block, struct error *error);

#endif
