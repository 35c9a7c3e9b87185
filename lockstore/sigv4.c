/*
 * The algorithm, in the words of its documentation:
 *
 *   CanonicalRequest = method \n path \n query \n (name:value \n)... \n SignedHeaders \n
 * PayloadHash StringToSign     = "AWS4-HMAC-SHA256" \n time \n scope \n
 * hex(SHA256(CanonicalRequest)) scope            = date / region / service / "aws4_request"
 *   SigningKey       = HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service),
 * "aws4_request") Signature        = hex(HMAC(SigningKey, StringToSign))
 */
#include "lockstore/sigv4.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/limits.h"

static int signing_key(const struct sigv4_request *request, const char *time,
                       const char *secret_key, uint8_t key[SHA256_DIGEST_LENGTH],
                       struct error *error);
static int canonical_request(const struct sigv4_request *request, struct buffer *out,
                             struct error *error);
static int append_signed_names(const struct sigv4_request *request, struct buffer *out,
                               struct error *error);

int sigv4_authorize(const struct sigv4_request *request, const char *access_key,
                    const char *secret_key, char out[SIGV4_AUTHORIZATION_SIZE], struct error *error)
{
    uint8_t key[SHA256_DIGEST_LENGTH];
    uint8_t mac[SHA256_DIGEST_LENGTH];
    char digest[SIGV4_SHA256_SIZE];
    char time[SIGV4_TIME_SIZE];
    char scope[256];
    char text[512];
    struct buffer canonical;
    struct buffer names;
    int rc;
    int len;

    buffer_init(&canonical, LIMIT_HTTP_REQUEST);
    buffer_init(&names, LIMIT_HTTP_REQUEST);
    sigv4_format_time(request->time, time);
    rc = canonical_request(request, &canonical, error);
    if (rc == 0)
        rc = append_signed_names(request, &names, error);
    if (rc == 0)
        rc = signing_key(request, time, secret_key, key, error);
    if (rc != 0)
        goto out;
    sigv4_sha256(canonical.data, canonical.len, digest);
    snprintf(scope, sizeof(scope), "%.8s/%s/%s/aws4_request", time, request->region,
             request->service);
    len = snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", time, scope, digest);
    HMAC(EVP_sha256(), key, sizeof(key), (const uint8_t *)text, (size_t)len, mac, NULL);
    hex_encode(mac, sizeof(mac), digest);
    len = snprintf(out, SIGV4_AUTHORIZATION_SIZE,
                   "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%.*s,Signature=%s", access_key,
                   scope, (int)names.len, (const char *)names.data, digest);
    if (len < 0 || len >= SIGV4_AUTHORIZATION_SIZE)
        rc = error_set(error, ERR_INTERNAL, "signing a request: the access key is too long");
out:
    explicit_bzero(key, sizeof(key));
    buffer_wipe(&canonical); /* a session token is among the headers */
    buffer_release(&names);
    return rc;
}

static int signing_key(const struct sigv4_request *request, const char *time,
                       const char *secret_key, uint8_t key[SHA256_DIGEST_LENGTH],
                       struct error *error)
{
    const char *steps[] = {request->region, request->service, "aws4_request"};
    uint8_t next[SHA256_DIGEST_LENGTH];
    struct buffer seed;
    int rc;

    buffer_init(&seed, LIMIT_CREDENTIAL + 4);
    rc = buffer_append(&seed, "AWS4", 4, error);
    if (rc == 0)
        rc = buffer_append(&seed, secret_key, strlen(secret_key), error);
    if (rc == 0) {
        HMAC(EVP_sha256(), seed.data, (int)seed.len, (const uint8_t *)time, 8, key, NULL);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
            HMAC(EVP_sha256(), key, SHA256_DIGEST_LENGTH, (const uint8_t *)steps[i],
                 strlen(steps[i]), next, NULL);
            memcpy(key, next, sizeof(next));
        }
        explicit_bzero(next, sizeof(next));
    }
    buffer_wipe(&seed);
    return rc;
}

static int append_text(struct buffer *out, const char *text, struct error *error)
{
    return buffer_append(out, text, strlen(text), error);
}

/* A header's value without spaces around it, and with each run of spaces as one. */
static int append_trimmed(struct buffer *out, const char *value, struct error *error)
{
    size_t len = strlen(value);
    int rc = 0;

    while (len > 0 && value[len - 1] == ' ')
        len--;
    for (size_t i = 0; i < len && rc == 0; i++) {
        if (value[i] == ' ' && (i == 0 || value[i - 1] == ' '))
            continue;
        rc = buffer_append(out, value + i, 1, error);
    }
    return rc;
}

static int canonical_request(const struct sigv4_request *request, struct buffer *out,
                             struct error *error)
{
    const char *lines[] = {request->method, "\n", request->path, "\n", request->query, "\n"};
    int rc = 0;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]) && rc == 0; i++)
        rc = append_text(out, lines[i], error);
    for (size_t i = 0; i < request->header_count && rc == 0; i++) {
        rc = append_text(out, request->headers[i].name, error);
        if (rc == 0)
            rc = append_text(out, ":", error);
        if (rc == 0)
            rc = append_trimmed(out, request->headers[i].value, error);
        if (rc == 0)
            rc = append_text(out, "\n", error);
    }
    if (rc == 0)
        rc = append_text(out, "\n", error);
    if (rc == 0)
        rc = append_signed_names(request, out, error);
    if (rc == 0)
        rc = append_text(out, "\n", error);
    return rc != 0 ? rc : append_text(out, request->payload_sha256, error);
}

static int append_signed_names(const struct sigv4_request *request, struct buffer *out,
                               struct error *error)
{
    int rc = 0;

    for (size_t i = 0; i < request->header_count && rc == 0; i++) {
        if (i > 0)
            rc = append_text(out, ";", error);
        if (rc == 0)
            rc = append_text(out, request->headers[i].name, error);
    }
    return rc;
}

void sigv4_format_time(int64_t seconds, char out[SIGV4_TIME_SIZE])
{
    time_t moment = (time_t)seconds;
    struct tm parts;

    gmtime_r(&moment, &parts);
    if (strftime(out, SIGV4_TIME_SIZE, "%Y%m%dT%H%M%SZ", &parts) == 0)
        memcpy(out, "19700101T000000Z", SIGV4_TIME_SIZE);
}

void sigv4_sha256(const void *data, size_t len, char out[SIGV4_SHA256_SIZE])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256(data, len, digest);
    hex_encode(digest, sizeof(digest), out);
}

int sigv4_encode(const char *text, size_t len, int keep_slash, struct buffer *out,
                 struct error *error)
{
    static const char digits[] = "0123456789ABCDEF";
    int rc = 0;

    for (size_t i = 0; i < len && rc == 0; i++) {
        uint8_t c = (uint8_t)text[i];
        char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};
        int is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keep_slash);

        rc = is_plain ? buffer_append(out, text + i, 1, error)
                      : buffer_append(out, escaped, sizeof(escaped), error);
    }
    return rc;
}
