/*
 * patch: a page as copies out of pages that the receiver holds, and literal bytes between them.
 *
 * Both sides keep the same window: the last PATCH_SLOTS old pages that records named, in a ring. A record names
 * those that join it (page_stream.h), then the page follows as steps until it is full:
 *   how many literal bytes             COLUMN_LITERAL_LENS, the bytes in COLUMN_LITERALS
 *   how many bytes to copy (not 0)     COLUMN_COPY_LENS; not there when the literals filled the page
 *   from where                         COLUMN_SOURCES:
 *      0          from right where the last copy ended, plus the literals since: bytes changed in their places
 *      1          zeros
 *      2s         that place moved by s, zigzag-coded, within the same page: something grew or shrank
 *      2a + 3     offset COLUMN_OFFSETS in the page that joined the window a pages ago
 *
 * Old pages join as they are (the same page number's, for changes in place) or with their cells packed in key order
 * (btree_page_pack), as VACUUM writes them, so that what was kept makes long runs. The new page may have its cell pointers
 * coded (btree_page_code_pointers). patch_encoder.h says how the sender finds the copies, and what else was tried.
 */
#ifndef LOCKSTEP_PAGE_PATCH_H
#define LOCKSTEP_PAGE_PATCH_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/page/btree_page.h"

struct error;
struct page_block_reader;

#define PATCH_SLOTS     32u
#define PATCH_JOINS_MAX 8u /* old pages that join the window for one new page, at most */

#define PATCH_SOURCE_HERE  0u /* values in COLUMN_SOURCES */
#define PATCH_SOURCE_ZEROS 1u
#define PATCH_SOURCE_SLOT  3u

struct patch_window {
    uint32_t page_size;
    uint32_t newest;    /* slot that was filled last */
    uint8_t *slots;     /* owned; PATCH_SLOTS pages */
    uint8_t *scratch;   /* owned; a page */
    struct btree_page btree; /* the cells of the page that joined last */
};

int patch_window_init(struct patch_window *window, uint32_t page_size, struct error *error);
void patch_window_release(struct patch_window *window);

/* The next slot's page_size bytes, to be filled with an old page and then given to patch_window_join. */
uint8_t *patch_window_spot(struct patch_window *window);

/* The page at patch_window_spot joins the window. pack: with its cells packed, where it is a b-tree page. */
void patch_window_join(struct patch_window *window, uint32_t pgno, int pack);

/* The same for a page that joins as it is, without looking at its cells: what a receiver needs. */
void patch_window_join_unseen(struct patch_window *window);

/* The page in the slot that was filled `age` pages ago (below PATCH_SLOTS). */
uint8_t *patch_window_page(const struct patch_window *window, uint32_t age);

/* Zigzag: small numbers of either sign as small numbers. */
uint32_t patch_zigzag(int32_t value);
int32_t patch_unzigzag(uint32_t value);

/*
 * Read the steps of one page from the block into page. The first copy is expected from the start of the page that joined
 * start_age pages ago. ERR_PROTOCOL where a step goes out of any bound.
 */
int patch_apply(const struct patch_window *window, struct page_block_reader *block, uint32_t start_age, uint8_t *page,
                struct error *error);

#endif
