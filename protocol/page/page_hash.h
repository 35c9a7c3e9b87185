/*
 * page_hash: keyed hashes of pages, and the root, one hash of a whole database.
 *
 * A page's hash is XXH3-128 with a 192-byte secret: the six SHA-256 digests of (hash key, one byte i), i from
 * 0 to 5, one behind the other. So nobody who can only write rows can aim at a collision. It is kept as its two
 * 64-bit halves; the low half is the h_i of the sketch.
 *
 * Page 1 is hashed with the bytes set to zero that differ between databases of equal content: 18-19 (journal
 * mode), 24-27 (change counter), 92-99 (version-valid-for and the writing library's version), as
 * https://www.sqlite.org/fileformat2.html section 1.3 has them. The page that holds the lock bytes (at offset
 * 1 GiB) is never read or written by SQLite: its hash is two zero words.
 *
 * Root = SHA-256 over "lockstep root 1", page size and page count (4 bytes each, big-endian), and the 16 bytes of each
 * page's hash in page order (low half first, each little-endian). A database of no pages has a root of zeros.
 */
#ifndef LOCKSTEP_PAGE_PAGE_HASH_H
#define LOCKSTEP_PAGE_PAGE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct error;

#define PAGE_HASH_KEY_SIZE 32
#define PAGE_ROOT_SIZE     32

struct page_hash {
    uint64_t low;  /* the half that the sketch works with */
    uint64_t high;
};

/* The secret that a hash key gives. Wipe it with explicit_bzero when done. */
struct page_hasher {
    uint8_t secret[192];
};

void page_hasher_init(struct page_hasher *hasher, const uint8_t key[PAGE_HASH_KEY_SIZE]);

/* The hash of page number pgno (from 1) with these page_size bytes, which are not changed. */
struct page_hash page_hash(const struct page_hasher *hasher, uint32_t pgno, const uint8_t *page, uint32_t page_size);

/* The number of the page that holds the lock bytes, for a page size. It exists only in databases that large. */
uint32_t page_lock_byte_page(uint32_t page_size);

/*
 * Zero the bytes of page 1 that are no content; other pages are left alone. What page_hash does on a copy, and
 * what the content digest is taken over.
 */
void page_clear_volatile(uint32_t pgno, uint8_t *page);

/* Keep own's volatile bytes in page 1: copy them over those in page. */
void page_keep_volatile(uint8_t *page, const uint8_t *own);

/* The hashes of a whole database and what they add up to. */
struct page_index {
    uint32_t page_size;       /* 0 where there is no database */
    uint32_t page_count;
    struct page_hash *hashes; /* owned; [pgno - 1]; NULL while page_count is 0 */
};

/* All zero, {0}, is a valid empty index. Frees what it holds and makes it empty. */
void page_index_release(struct page_index *index);

/* Make room for page_count hashes: new ones are zero, those beyond are dropped. ERR_INTERNAL: memory ran out, index unchanged. */
int page_index_resize(struct page_index *index, uint32_t page_count, struct error *error);

void page_index_root(const struct page_index *index, uint8_t root[PAGE_ROOT_SIZE]);

#endif
