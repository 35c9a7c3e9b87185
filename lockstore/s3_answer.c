/*
 * The rows, in the order in which they are looked at. "Losers" are clients that lost a race.
 *
 *   answer                                 GET       PUT
 *   200 with an ETag                       OK        OK
 *   200 without                            UNKNOWN   UNKNOWN    a portal or a proxy says so
 *   404 NoSuchBucket                       REFUSED   REFUSED
 *   404 of a store (a code or request id)  ABSENT    ABSENT     AWS, moto: If-Match on nothing
 *   404 of something else                  UNKNOWN   UNKNOWN    never read as a lost lock
 *   412                                    -         MISMATCH   Ceph also for If-Match on nothing
 *   409                                    -         CONFLICT   AWS's losers
 *   403 RequestTimeTooSkewed               REFUSED after the clock was corrected once
 *   301, 307, 400 with another region      REFUSED after that region was tried once
 *   400, 403 ExpiredToken and its like     REFUSED after they were fetched once
 *   403                                    REFUSED   REFUSED    the code says what to check
 *   400 RequestTimeout, 408, 429, 5xx      UNKNOWN   UNKNOWN    500: Ceph's losers; 503 SlowDown
 *   501                                    REFUSED   REFUSED    conditions are not there
 *   anything else                          REFUSED   REFUSED
 */
#include "lockstore/s3_answer.h"

#include <stdio.h>
#include <string.h>

#include "lockstore/http.h"
#include "lockstore/s3_settings.h"
#include "lockstore/xml_text.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"

static void judge_transport(const struct http_answer *answer, enum s3_operation operation,
                            const char *host, struct s3_verdict *verdict);
static void judge_success(const struct http_answer *answer, enum s3_operation operation,
                          const char *host, struct s3_verdict *verdict);
static void judge_error(const struct http_answer *answer, enum s3_operation operation,
                        const char *host, const char *bucket, struct s3_verdict *verdict);
static void find_remedy(const struct http_answer *answer, struct s3_verdict *verdict);
static void refuse(const struct http_answer *answer, enum s3_operation operation, const char *host,
                   const char *bucket, struct s3_verdict *verdict);

void s3_answer_judge(const struct http_answer *answer, enum s3_operation operation,
                     const char *host, const char *bucket, struct s3_verdict *verdict)
{
    *verdict = (struct s3_verdict){.outcome = STORE_UNKNOWN};
    if (answer->reach != HTTP_ANSWERED && !(answer->reach == HTTP_CUT && answer->status >= 300)) {
        judge_transport(answer, operation, host, verdict);
        return;
    }
    if (answer->status >= 200 && answer->status < 300) {
        judge_success(answer, operation, host, verdict);
        return;
    }
    xml_text(answer->body, answer->body_len, "Code", verdict->code, sizeof(verdict->code));
    find_remedy(answer, verdict);
    judge_error(answer, operation, host, bucket, verdict);
}

static void judge_transport(const struct http_answer *answer, enum s3_operation operation,
                            const char *host, struct s3_verdict *verdict)
{
    switch (answer->reach) {
    case HTTP_UNTRUSTED:
        verdict->outcome = STORE_REFUSED;
        error_set(&verdict->error, ERR_STORE_UNUSABLE,
                  "the store %s could not prove who it is: %s. If it has a certificate of your own "
                  "authority, name that in AWS_CA_BUNDLE",
                  host, answer->error.text);
        break;
    case HTTP_INVALID:
        verdict->outcome = STORE_REFUSED;
        error_set(&verdict->error, ERR_STORE_UNUSABLE, "the store %s cannot be asked: %s", host,
                  answer->error.text);
        break;
    case HTTP_CUT:
        if (operation != S3_GET) {
            error_set(&verdict->error, ERR_STORE_UNUSABLE,
                      "the store %s answered a write with a long page: is something else answering "
                      "in its place?",
                      host);
            break;
        }
        verdict->outcome = STORE_REFUSED;
        error_set(&verdict->error, ERR_STORE_UNUSABLE,
                  "the object at %s has more than %u bytes: it is not a lock record", host,
                  LIMIT_LOCK_RECORD);
        break;
    default:
        error_set(&verdict->error, answer->error.code, "the store %s gave no answer: %s", host,
                  answer->error.text);
    }
}

static void judge_success(const struct http_answer *answer, enum s3_operation operation,
                          const char *host, struct s3_verdict *verdict)
{
    if (operation == S3_DELETE) {
        verdict->outcome = STORE_OK;
    } else if (answer->status != 200 || answer->etag[0] == '\0' ||
               strlen(answer->etag) >= STORE_ETAG_MAX) {
        /* Not what S3 says, so it cannot be taken for done or not done. */
        error_set(&verdict->error, ERR_STORE_UNUSABLE,
                  "the store %s answered %d without a usable ETag: is something else answering in "
                  "its place?",
                  host, answer->status);
    } else if (operation == S3_GET && answer->body_len > LIMIT_LOCK_RECORD) {
        verdict->outcome = STORE_REFUSED;
        error_set(&verdict->error, ERR_STORE_UNUSABLE,
                  "the object at %s has more than %u bytes: it is not a lock record", host,
                  LIMIT_LOCK_RECORD);
    } else {
        verdict->outcome = STORE_OK;
    }
}

static int is_code(const struct s3_verdict *verdict, const char *code)
{
    return strcmp(verdict->code, code) == 0;
}

static void find_remedy(const struct http_answer *answer, struct s3_verdict *verdict)
{
    int status = answer->status;

    if (s3_region_is_valid(answer->bucket_region))
        snprintf(verdict->region, sizeof(verdict->region), "%.63s", answer->bucket_region);
    else if (!xml_text(answer->body, answer->body_len, "Region", verdict->region,
                       sizeof(verdict->region)) ||
             !s3_region_is_valid(verdict->region))
        verdict->region[0] = '\0';

    if (is_code(verdict, "RequestTimeTooSkewed") ||
        (is_code(verdict, "RequestExpired") && answer->date >= 0))
        verdict->remedy = S3_REMEDY_CLOCK;
    else if (is_code(verdict, "ExpiredToken") || is_code(verdict, "ExpiredTokenException") ||
             is_code(verdict, "TokenRefreshRequired") || is_code(verdict, "InvalidToken"))
        verdict->remedy = S3_REMEDY_CREDENTIALS;
    else if ((status == 301 || status == 307 || is_code(verdict, "AuthorizationHeaderMalformed") ||
              is_code(verdict, "IllegalLocationConstraintException")) &&
             verdict->region[0] != '\0')
        verdict->remedy = S3_REMEDY_REGION;
}

static void judge_error(const struct http_answer *answer, enum s3_operation operation,
                        const char *host, const char *bucket, struct s3_verdict *verdict)
{
    int status = answer->status;
    int is_store = verdict->code[0] != '\0' || answer->request_id[0] != '\0';
    const char *code = verdict->code;

    if (status == 404 && is_store && !is_code(verdict, "NoSuchBucket")) {
        verdict->outcome = STORE_ABSENT;
    } else if (status == 412 && operation != S3_GET) {
        verdict->outcome = STORE_MISMATCH;
    } else if (status == 409 && operation != S3_GET) {
        verdict->outcome = STORE_CONFLICT;
    } else if ((status == 404 && !is_store) || status == 408 || status == 429 ||
               (status >= 500 && status != 501) || is_code(verdict, "RequestTimeout") ||
               is_code(verdict, "SlowDown")) {
        verdict->outcome = STORE_UNKNOWN;
        error_set(&verdict->error, ERR_STORE_UNUSABLE, "the store %s answered %d%s%s%s", host,
                  status, code[0] != '\0' ? " " : "", code,
                  status == 404 ? ", not as S3 does: is something else answering in its place?"
                                : "");
    } else {
        refuse(answer, operation, host, bucket, verdict);
    }
}

/* What to look at, by the error's code. */
static const char *advice(const struct s3_verdict *verdict, enum s3_operation operation, int status)
{
    static const struct {
        const char *code;
        const char *text;
    } rows[] = {
        {"InvalidAccessKeyId", "the store does not know this access key: check AWS_ACCESS_KEY_ID "
                               "and that the key is of this store"},
        {"SignatureDoesNotMatch", "the secret key is wrong, or something between here and the "
                                  "store changes requests: check AWS_SECRET_ACCESS_KEY"},
        {"RequestTimeTooSkewed", "the clock here is wrong, and the store's Date did not help"},
        {"ExpiredToken", "the session is over, and its source gave no newer one"},
        {"NoSuchBucket", "there is no such bucket: check its name and the endpoint"},
        {"AccessDenied", "these credentials may not do this: check the key's policy"},
        {"PermanentRedirect", "the bucket is elsewhere: check AWS_REGION and AWS_ENDPOINT_URL_S3"},
        {"AuthorizationHeaderMalformed", "check AWS_REGION"},
    };

    /* Without the right to list, S3 says so of an object that is not there. */
    if (is_code(verdict, "AccessDenied") && operation == S3_GET)
        return "these credentials may not read it, or it does not exist and they lack "
               "s3:ListBucket, without which S3 does not tell: check the key's policy";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (is_code(verdict, rows[i].code))
            return rows[i].text;
    }
    if (status == 501)
        return operation == S3_PUT_IF_ABSENT || operation == S3_PUT_IF_MATCH
                   ? "it does not know conditional writes, without which there is no lock: "
                     "use another store"
                   : "use another store";
    if (status == 403)
        return "check the credentials and their policy";
    if (status == 407)
        return "the HTTP proxy wants a user name and password";
    return "run `lockstep lock doctor` on it";
}

static void refuse(const struct http_answer *answer, enum s3_operation operation, const char *host,
                   const char *bucket, struct s3_verdict *verdict)
{
    const char *code = verdict->code[0] != '\0' ? verdict->code : "no code";
    char message[256];

    verdict->outcome = STORE_REFUSED;
    xml_text(answer->body, answer->body_len, "Message", message, sizeof(message));
    /* A store may quote the string to sign here, never a secret; one line of it is enough. */
    message[strcspn(message, "\n\t")] = '\0';
    error_set(&verdict->error, ERR_STORE_UNUSABLE,
              "the store %s refused, bucket %s: %d %s%s%s%s: %s", host, bucket, answer->status,
              code, message[0] != '\0' ? " (" : "", message, message[0] != '\0' ? ")" : "",
              advice(verdict, operation, answer->status));
}
