#include "protocol/page/page_hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#ifdef LOCKSTEP_XXHASH_DISPATCHES
#include <xxh_x86dispatch.h> /* the functions of xxhash.h, each in the fastest form for this processor */
#else
#include <xxhash.h>
#endif

#include "protocol/base/error.h"
#include "protocol/base/le64.h"
#include "protocol/base/limits.h"

#define DIGEST_SIZE 32

/* The volatile bytes of page 1: first and behind last, see the header. */
static const struct {
    unsigned from, to;
} volatile_bytes[] = {{18, 20}, {24, 28}, {92, 100}};

/* SHA-256 cannot fail but for want of memory; a wrong hash must never go on, so that aborts. */
static void require(int ok)
{
    if (!ok)
        abort();
}

static void put_u32_be(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

void page_hasher_init(struct page_hasher *hasher, const uint8_t key[PAGE_HASH_KEY_SIZE])
{
    uint8_t input[PAGE_HASH_KEY_SIZE + 1];

    memcpy(input, key, PAGE_HASH_KEY_SIZE);
    for (uint8_t i = 0; i < sizeof(hasher->secret) / DIGEST_SIZE; i++) {
        input[PAGE_HASH_KEY_SIZE] = i;
        require(EVP_Digest(input, sizeof(input), hasher->secret + i * DIGEST_SIZE, NULL,
                           EVP_sha256(), NULL));
    }
    explicit_bzero(input, sizeof(input));
}

uint32_t page_lock_byte_page(uint32_t page_size)
{
    assert(page_size >= LIMIT_PAGE_SIZE_MIN);
    return 0x40000000u / page_size + 1;
}

void page_clear_volatile(uint32_t pgno, uint8_t *page)
{
    if (pgno != 1)
        return;
    for (size_t i = 0; i < sizeof(volatile_bytes) / sizeof(volatile_bytes[0]); i++)
        memset(page + volatile_bytes[i].from, 0, volatile_bytes[i].to - volatile_bytes[i].from);
}

void page_keep_volatile(uint8_t *page, const uint8_t *own)
{
    for (size_t i = 0; i < sizeof(volatile_bytes) / sizeof(volatile_bytes[0]); i++)
        memcpy(page + volatile_bytes[i].from, own + volatile_bytes[i].from,
               volatile_bytes[i].to - volatile_bytes[i].from);
}

/* Page 1 is hashed as a copy with its volatile bytes cleared. */
static XXH128_hash_t hash_first_page(const struct page_hasher *hasher, const uint8_t *page,
                                     uint32_t page_size)
{
    uint8_t copy[LIMIT_PAGE_SIZE_MAX];

    memcpy(copy, page, page_size);
    page_clear_volatile(1, copy);
    return XXH3_128bits_withSecret(copy, page_size, hasher->secret, sizeof(hasher->secret));
}

struct page_hash page_hash(const struct page_hasher *hasher, uint32_t pgno, const uint8_t *page,
                           uint32_t page_size)
{
    XXH128_hash_t hash;

    assert(pgno > 0 && page_size >= LIMIT_PAGE_SIZE_MIN && page_size <= LIMIT_PAGE_SIZE_MAX);
    if (pgno == page_lock_byte_page(page_size))
        return (struct page_hash){0, 0};
    if (pgno == 1)
        hash = hash_first_page(hasher, page, page_size);
    else
        hash = XXH3_128bits_withSecret(page, page_size, hasher->secret, sizeof(hasher->secret));
    return (struct page_hash){.low = hash.low64, .high = hash.high64};
}

void page_index_release(struct page_index *index)
{
    free(index->hashes);
    *index = (struct page_index){0};
}

int page_index_resize(struct page_index *index, uint32_t page_count, struct error *error)
{
    struct page_hash *hashes;

    if (page_count == 0) {
        free(index->hashes);
        index->hashes = NULL;
        index->page_count = 0;
        return 0;
    }
    hashes = reallocarray(index->hashes, page_count, sizeof(*hashes));
    if (hashes == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for the hashes of %u pages",
                         page_count);
    if (page_count > index->page_count)
        memset(hashes + index->page_count, 0,
               (size_t)(page_count - index->page_count) * sizeof(*hashes));
    index->hashes = hashes;
    index->page_count = page_count;
    return 0;
}

void page_index_root(const struct page_index *index, uint8_t root[PAGE_ROOT_SIZE])
{
    static const char label[] = "lockstep root 1";
    uint8_t chunk[256 * 16];
    EVP_MD_CTX *context;
    size_t used = 0;

    memset(root, 0, PAGE_ROOT_SIZE);
    if (index->page_count == 0)
        return;
    context = EVP_MD_CTX_new();
    require(context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL));
    put_u32_be(chunk, index->page_size);
    put_u32_be(chunk + 4, index->page_count);
    require(EVP_DigestUpdate(context, label, sizeof(label) - 1));
    require(EVP_DigestUpdate(context, chunk, 8));
    for (uint32_t i = 0; i < index->page_count; i++) {
        le64_store(chunk + used, index->hashes[i].low);
        le64_store(chunk + used + 8, index->hashes[i].high);
        used += 16;
        if (used == sizeof(chunk) || i + 1 == index->page_count) {
            require(EVP_DigestUpdate(context, chunk, used));
            used = 0;
        }
    }
    require(EVP_DigestFinal_ex(context, root, NULL));
    EVP_MD_CTX_free(context);
}
