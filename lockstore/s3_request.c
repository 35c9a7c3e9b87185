#include "lockstore/s3_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lockstore/credentials.h"
#include "lockstore/secret.h"
#include "lockstore/sigv4.h"
#include "protocol/base/error.h"

static int add_line(struct s3_headers *headers, const char *name, const char *value,
                    struct error *error);

int s3_request_sign(const struct s3_request *request, const struct credentials *credentials,
                    struct s3_headers *headers, struct error *error)
{
    char authorization[SIGV4_AUTHORIZATION_SIZE];
    char digest[SIGV4_SHA256_SIZE];
    char time[SIGV4_TIME_SIZE];
    struct sigv4_header signed_headers[S3_HEADER_COUNT];
    struct sigv4_request sigv4 = {.method = "GET",
                                  .path = request->address->path,
                                  .query = "",
                                  .headers = signed_headers,
                                  .payload_sha256 = digest,
                                  .region = request->address->region,
                                  .service = "s3",
                                  .time = request->time};
    int is_put = request->operation == S3_PUT_IF_ABSENT || request->operation == S3_PUT_IF_MATCH;
    size_t count = 0;
    int rc = 0;

    *headers = (struct s3_headers){0};
    if (is_put)
        sigv4.method = "PUT";
    else if (request->operation == S3_DELETE)
        sigv4.method = "DELETE";
    sigv4_sha256(request->body, request->body_len, digest);
    sigv4_format_time(request->time, time);
    /* Sorted by name. */
    signed_headers[count++] = (struct sigv4_header){"host", request->address->host};
    if (request->operation == S3_PUT_IF_MATCH)
        signed_headers[count++] = (struct sigv4_header){"if-match", request->etag};
    if (request->operation == S3_PUT_IF_ABSENT)
        signed_headers[count++] = (struct sigv4_header){"if-none-match", "*"};
    signed_headers[count++] = (struct sigv4_header){"x-amz-content-sha256", digest};
    signed_headers[count++] = (struct sigv4_header){"x-amz-date", time};
    if (credentials->session_token != NULL)
        signed_headers[count++] =
            (struct sigv4_header){"x-amz-security-token", credentials->session_token};
    if (request->address->vendor == S3_VENDOR_TIGRIS)
        signed_headers[count++] = (struct sigv4_header){"x-tigris-consistent", "true"};
    sigv4.header_count = count;
    rc = sigv4_authorize(&sigv4, credentials->access_key, credentials->secret_key, authorization,
                         error);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_line(headers, signed_headers[i].name, signed_headers[i].value, error);
    if (rc == 0)
        rc = add_line(headers, "authorization", authorization, error);
    if (rc == 0 && is_put)
        rc = add_line(headers, "content-type", "application/json", error);
    if (rc != 0)
        s3_headers_release(headers);
    return rc;
}

static int add_line(struct s3_headers *headers, const char *name, const char *value,
                    struct error *error)
{
    size_t size = strlen(name) + 2 + strlen(value) + 1;
    char *line = malloc(size);

    if (line == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for a request");
    snprintf(line, size, "%s: %s", name, value);
    headers->lines[headers->count++] = line;
    return 0;
}

void s3_headers_release(struct s3_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        secret_free(headers->lines[i]);
    *headers = (struct s3_headers){0};
}

/* The ETag without "W/" and quotes. */
static const char *etag_core(const char *etag, size_t *len)
{
    if (strncmp(etag, "W/", 2) == 0)
        etag += 2;
    *len = strlen(etag);
    if (*len >= 2 && etag[0] == '"' && etag[*len - 1] == '"') {
        etag++;
        *len -= 2;
    }
    return etag;
}

void s3_etag_form(const char *etag, int bare, char out[STORE_ETAG_MAX + 3])
{
    const char *quote = bare ? "" : "\"";
    size_t len;
    const char *core = etag_core(etag, &len);

    snprintf(out, STORE_ETAG_MAX + 3, "%s%.*s%s", quote, (int)len, core, quote);
}

int s3_etag_equal(const char *a, const char *b)
{
    size_t a_len;
    size_t b_len;

    a = etag_core(a, &a_len);
    b = etag_core(b, &b_len);
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}
