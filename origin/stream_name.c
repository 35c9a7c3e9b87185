#include "origin/stream_name.h"

#include <string.h>

#include <openssl/evp.h>

#include "origin/stream_maker.h"
#include "protocol/base/error.h"
#include "protocol/page/difference.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/sender.h"

static void hash_u32(EVP_MD_CTX *context, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                              (uint8_t)value};

    EVP_DigestUpdate(context, bytes, sizeof(bytes));
}

int stream_name(uint8_t name[STREAM_NAME_SIZE], const struct sender *sender,
                const struct local_copy *copy, const struct stream_options *options,
                struct error *error)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    struct sender_difference difference;
    int done;

    if (context == NULL || !EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
        EVP_MD_CTX_free(context);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    sender_found(sender, &difference);
    EVP_DigestUpdate(context, copy->hash_key, HASH_KEY_SIZE);
    EVP_DigestUpdate(context, copy->geometry.root, ROOT_SIZE);
    EVP_DigestUpdate(context, options->path, strlen(options->path) + 1);
    hash_u32(context, (uint32_t)options->level);
    hash_u32(context, options->build_on_nothing != 0);
    hash_u32(context, difference.common);
    hash_u32(context, (uint32_t)difference.count);
    for (size_t i = 0; i < difference.count; i++) {
        hash_u32(context, difference.pages[i].pgno);
        EVP_DigestUpdate(context, &difference.pages[i].their_hash,
                         sizeof(difference.pages[i].their_hash));
    }
    hash_u32(context, difference.beyond_count);
    if (difference.beyond_count > 0)
        EVP_DigestUpdate(context, difference.beyond,
                         difference.beyond_count * sizeof(*difference.beyond));
    done = EVP_DigestFinal_ex(context, name, NULL);
    EVP_MD_CTX_free(context);
    return done ? 0 : error_set(error, ERR_INTERNAL, "SHA-256 failed");
}
