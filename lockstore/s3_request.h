/*
 * s3_request: the headers of one request to an S3 store, signed.
 *
 * The conditions are among what is signed, so that nothing on the way can drop one unnoticed.
 */
#ifndef LOCKSTEP_LOCKSTORE_S3_REQUEST_H
#define LOCKSTEP_LOCKSTORE_S3_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "lockstore/s3_address.h"
#include "lockstore/s3_answer.h"

struct credentials;
struct error;

struct s3_request {
    const struct s3_address *address;
    enum s3_operation operation;
    const char *etag; /* S3_PUT_IF_MATCH: as it goes into the header */
    const void *body; /* of a put; NULL otherwise */
    size_t body_len;
    int64_t time; /* the store's, in seconds since 1970 */
};

#define S3_HEADER_COUNT 10

struct s3_headers {
    char *lines[S3_HEADER_COUNT]; /* "name: value", owned; a session token may be among them */
    size_t count;
};

/* Fill headers. ERR_INTERNAL when memory ran out or something is too long; headers is then empty.
 */
int s3_request_sign(const struct s3_request *request, const struct credentials *credentials,
                    struct s3_headers *headers, struct error *error);

/* Wipe and free the lines. */
void s3_headers_release(struct s3_headers *headers);

/*
 * The ETag that a store gave, in the form that its If-Match wants: bare or in quotes, without the
 * mark of a weak one, which a compressing proxy puts there.
 */
void s3_etag_form(const char *etag, int bare, char out[STORE_ETAG_MAX + 3]);

/* Whether two ETags name the same content, whatever their form. */
int s3_etag_equal(const char *a, const char *b);

#endif
