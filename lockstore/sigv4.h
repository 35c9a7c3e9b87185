/*
 * sigv4: AWS Signature Version 4 for requests with signed headers.
 *
 * Source: "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)" in
 * the Amazon S3 API reference. S3's rules are used where S3 and the other services differ: the path
 * is percent-encoded once and never normalised, so that "a//b" and "./c" are keys like any other.
 */
#ifndef LOCKSTEP_LOCKSTORE_SIGV4_H
#define LOCKSTEP_LOCKSTORE_SIGV4_H

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct error;

#define SIGV4_TIME_SIZE          17 /* "20130524T000000Z" and a NUL */
#define SIGV4_SHA256_SIZE        65 /* 64 lower-case hexadecimal digits and a NUL */
#define SIGV4_AUTHORIZATION_SIZE 1024

struct sigv4_header {
    const char *name;  /* lower case */
    const char *value; /* as sent; runs of spaces count as one */
};

struct sigv4_request {
    const char *method;
    const char *path;  /* exactly as it is sent: percent-encoded by sigv4_encode, with its '/' */
    const char *query; /* exactly as it is sent: encoded, sorted by name; "" for none */
    const struct sigv4_header *headers; /* every header to be signed, sorted by name; host is one */
    size_t header_count;
    const char *payload_sha256; /* sigv4_sha256 of the body */
    const char *region;
    const char *service; /* "s3" */
    int64_t time;        /* seconds since 1970; x-amz-date must say the same */
};

/* "20130524T000000Z" for x-amz-date. */
void sigv4_format_time(int64_t seconds, char out[SIGV4_TIME_SIZE]);

/* SHA-256 of data as digits, for x-amz-content-sha256. */
void sigv4_sha256(const void *data, size_t len, char out[SIGV4_SHA256_SIZE]);

/*
 * Append text percent-encoded to out: all but A-Z a-z 0-9 '-' '.' '_' '~', and '/' where keep_slash
 * is set, turn into %XX. Fails as buffer_append does.
 */
int sigv4_encode(const char *text, size_t len, int keep_slash, struct buffer *out,
                 struct error *error);

/*
 * Make the value of the Authorization header. Neither the secret key nor anything that it could be
 * found from is in it. ERR_INTERNAL when memory ran out or it would not fit.
 */
int sigv4_authorize(const struct sigv4_request *request, const char *access_key,
                    const char *secret_key, char out[SIGV4_AUTHORIZATION_SIZE],
                    struct error *error);

#endif
