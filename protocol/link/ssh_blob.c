#include "protocol/link/ssh_blob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

int ssh_read_u32(struct ssh_reader *reader, uint32_t *value)
{
    if (reader->len < 4)
        return -1;
    *value = (uint32_t)reader->data[0] << 24 | (uint32_t)reader->data[1] << 16 |
             (uint32_t)reader->data[2] << 8 | reader->data[3];
    reader->data += 4;
    reader->len -= 4;
    return 0;
}

int ssh_read_string(struct ssh_reader *reader, const uint8_t **data, size_t *len)
{
    struct ssh_reader at = *reader;
    uint32_t size;

    if (ssh_read_u32(&at, &size) != 0 || size > at.len)
        return -1;
    *data = at.data;
    *len = size;
    reader->data = at.data + size;
    reader->len = at.len - size;
    return 0;
}

uint8_t *ssh_put_u32(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
    return out + 4;
}

void ssh_key_type(const uint8_t *blob, size_t blob_len, char *type, size_t type_size)
{
    struct ssh_reader reader = {blob, blob_len};
    const uint8_t *name;
    size_t len;

    type[0] = '\0';
    if (ssh_read_string(&reader, &name, &len) != 0 || len >= type_size)
        return;
    for (size_t i = 0; i < len; i++) {
        if (name[i] <= 0x20 || name[i] >= 0x7f)
            return;
    }
    memcpy(type, name, len);
    type[len] = '\0';
}

void ssh_fingerprint(const uint8_t *blob, size_t blob_len, char out[SSH_FINGERPRINT_SIZE])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    unsigned char text[4 * ((sizeof(digest) + 2) / 3) + 1];

    SHA256(blob, blob_len, digest);
    EVP_EncodeBlock(text, digest, sizeof(digest));
    snprintf(out, SSH_FINGERPRINT_SIZE, "SHA256:%.*s", (int)strcspn((char *)text, "="),
             (char *)text);
}

char *ssh_base64_encode(const uint8_t *data, size_t len)
{
    char *text = malloc(4 * ((len + 2) / 3) + 1);

    if (text != NULL)
        EVP_EncodeBlock((unsigned char *)text, data, (int)len);
    return text;
}

uint8_t *ssh_base64_decode(const char *text, size_t text_len, size_t *len)
{
    EVP_ENCODE_CTX *context = EVP_ENCODE_CTX_new();
    uint8_t *data = malloc(text_len + 4);
    int used = 0;
    int tail = 0;
    int rc = -1;

    if (context != NULL && data != NULL && text_len <= INT32_MAX) {
        EVP_DecodeInit(context);
        rc = EVP_DecodeUpdate(context, data, &used, (const unsigned char *)text, (int)text_len);
        if (rc >= 0)
            rc = EVP_DecodeFinal(context, data + used, &tail);
    }
    EVP_ENCODE_CTX_free(context);
    if (rc < 0) {
        if (data != NULL)
            explicit_bzero(data, (size_t)used);
        free(data);
        return NULL;
    }
    *len = (size_t)used + (size_t)tail;
    return data;
}
