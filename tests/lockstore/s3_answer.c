/* What each answer of a store means: the table at the head of s3_answer.c, row by row. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "lockstore/http.h"
#include "lockstore/s3_answer.h"
#include "lockstore/xml_text.h"
#include "protocol/base/error.h"

#define XML(code)                                                                                  \
    "<?xml version=\"1.0\"?><Error><Code>" code "</Code><Message>why</Message></Error>"

struct row {
    enum s3_operation operation;
    enum http_reach reach;
    int status;
    const char *etag;
    const char *request_id;
    const char *body;
    enum store_outcome outcome;
    enum s3_remedy remedy;
    const char *in_text; /* must stand in the error; NULL: no error */
};

static const struct row rows[] = {
    {S3_GET, HTTP_ANSWERED, 200, "\"e\"", "", "{}", STORE_OK, S3_REMEDY_NONE, NULL},
    {S3_PUT_IF_MATCH, HTTP_ANSWERED, 200, "e", "", "", STORE_OK, S3_REMEDY_NONE, NULL},
    {S3_GET, HTTP_ANSWERED, 200, "", "", "<html>log in", STORE_UNKNOWN, S3_REMEDY_NONE,
     "without a usable ETag"},
    {S3_PUT_IF_ABSENT, HTTP_ANSWERED, 200, "", "", "", STORE_UNKNOWN, S3_REMEDY_NONE,
     "without a usable ETag"},
    {S3_PUT_IF_ABSENT, HTTP_ANSWERED, 206, "\"e\"", "", "", STORE_UNKNOWN, S3_REMEDY_NONE, "206"},
    {S3_DELETE, HTTP_ANSWERED, 204, "", "", "", STORE_OK, S3_REMEDY_NONE, NULL},
    {S3_GET, HTTP_ANSWERED, 404, "", "", XML("NoSuchKey"), STORE_ABSENT, S3_REMEDY_NONE, NULL},
    {S3_GET, HTTP_ANSWERED, 404, "", "tx1", "", STORE_ABSENT, S3_REMEDY_NONE, NULL},
    {S3_PUT_IF_MATCH, HTTP_ANSWERED, 404, "", "", XML("NoSuchKey"), STORE_ABSENT, S3_REMEDY_NONE,
     NULL},
    {S3_PUT_IF_MATCH, HTTP_ANSWERED, 404, "", "", "<html>nginx", STORE_UNKNOWN, S3_REMEDY_NONE,
     "something else"},
    {S3_GET, HTTP_ANSWERED, 404, "", "", XML("NoSuchBucket"), STORE_REFUSED, S3_REMEDY_NONE,
     "no such bucket"},
    {S3_PUT_IF_MATCH, HTTP_ANSWERED, 412, "", "", XML("PreconditionFailed"), STORE_MISMATCH,
     S3_REMEDY_NONE, NULL},
    {S3_PUT_IF_ABSENT, HTTP_ANSWERED, 409, "", "", XML("ConditionalRequestConflict"),
     STORE_CONFLICT, S3_REMEDY_NONE, NULL},
    {S3_GET, HTTP_ANSWERED, 403, "", "", XML("RequestTimeTooSkewed"), STORE_REFUSED,
     S3_REMEDY_CLOCK, "clock"},
    {S3_GET, HTTP_ANSWERED, 400, "", "", XML("ExpiredToken"), STORE_REFUSED, S3_REMEDY_CREDENTIALS,
     "session"},
    {S3_GET, HTTP_ANSWERED, 403, "", "", XML("SignatureDoesNotMatch"), STORE_REFUSED,
     S3_REMEDY_NONE, "AWS_SECRET_ACCESS_KEY"},
    {S3_GET, HTTP_ANSWERED, 403, "", "", XML("InvalidAccessKeyId"), STORE_REFUSED, S3_REMEDY_NONE,
     "AWS_ACCESS_KEY_ID"},
    {S3_GET, HTTP_ANSWERED, 403, "", "", XML("AccessDenied"), STORE_REFUSED, S3_REMEDY_NONE,
     "s3:ListBucket"},
    {S3_PUT_IF_ABSENT, HTTP_ANSWERED, 403, "", "", XML("AccessDenied"), STORE_REFUSED,
     S3_REMEDY_NONE, "policy"},
    {S3_GET, HTTP_ANSWERED, 403, "", "", "", STORE_REFUSED, S3_REMEDY_NONE, "no code"},
    {S3_GET, HTTP_ANSWERED, 301, "", "", XML("PermanentRedirect"), STORE_REFUSED, S3_REMEDY_NONE,
     "AWS_REGION"},
    {S3_PUT_IF_ABSENT, HTTP_ANSWERED, 500, "", "", XML("InternalError"), STORE_UNKNOWN,
     S3_REMEDY_NONE, "InternalError"},
    {S3_PUT_IF_ABSENT, HTTP_ANSWERED, 503, "", "", XML("SlowDown"), STORE_UNKNOWN, S3_REMEDY_NONE,
     "SlowDown"},
    {S3_PUT_IF_ABSENT, HTTP_ANSWERED, 429, "", "", "", STORE_UNKNOWN, S3_REMEDY_NONE, "429"},
    {S3_PUT_IF_ABSENT, HTTP_ANSWERED, 400, "", "", XML("RequestTimeout"), STORE_UNKNOWN,
     S3_REMEDY_NONE, "RequestTimeout"},
    {S3_PUT_IF_ABSENT, HTTP_ANSWERED, 501, "", "", XML("NotImplemented"), STORE_REFUSED,
     S3_REMEDY_NONE, "conditional writes"},
    {S3_GET, HTTP_ANSWERED, 407, "", "", "", STORE_REFUSED, S3_REMEDY_NONE, "proxy"},
    {S3_GET, HTTP_ANSWERED, 302, "", "", "", STORE_REFUSED, S3_REMEDY_NONE, "302"},
    {S3_GET, HTTP_CUT, 200, "\"e\"", "", "", STORE_REFUSED, S3_REMEDY_NONE, "not a lock record"},
    {S3_PUT_IF_MATCH, HTTP_CUT, 200, "\"e\"", "", "", STORE_UNKNOWN, S3_REMEDY_NONE, "long page"},
    {S3_GET, HTTP_CUT, 503, "", "", "", STORE_UNKNOWN, S3_REMEDY_NONE, "503"},
    {S3_PUT_IF_MATCH, HTTP_BROKEN, 0, "", "", "", STORE_UNKNOWN, S3_REMEDY_NONE, "no answer"},
    {S3_PUT_IF_MATCH, HTTP_BROKEN, 200, "\"e\"", "", "", STORE_UNKNOWN, S3_REMEDY_NONE,
     "no answer"},
    {S3_PUT_IF_MATCH, HTTP_NOT_SENT, 0, "", "", "", STORE_UNKNOWN, S3_REMEDY_NONE, "no answer"},
    {S3_PUT_IF_MATCH, HTTP_UNTRUSTED, 0, "", "", "", STORE_REFUSED, S3_REMEDY_NONE,
     "AWS_CA_BUNDLE"},
    {S3_PUT_IF_MATCH, HTTP_INVALID, 0, "", "", "", STORE_REFUSED, S3_REMEDY_NONE, "cannot be"},
};

static void judge(const struct row *row, struct s3_verdict *verdict)
{
    struct http_answer answer = {.reach = row->reach,
                                 .status = row->status,
                                 .body = row->body,
                                 .body_len = strlen(row->body),
                                 .date = -1,
                                 .last_modified = -1};

    snprintf(answer.etag, sizeof(answer.etag), "%s", row->etag);
    snprintf(answer.request_id, sizeof(answer.request_id), "%s", row->request_id);
    if (row->reach != HTTP_ANSWERED)
        error_set(&answer.error, ERR_STORE_UNUSABLE, "transport");
    s3_answer_judge(&answer, row->operation, "s3.example", "locks", verdict);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct s3_verdict verdict;

        judge(&rows[i], &verdict);
        if (verdict.outcome != rows[i].outcome || verdict.remedy != rows[i].remedy)
            fail_msg("row %zu (status %d): outcome %d, remedy %d: %s", i, rows[i].status,
                     verdict.outcome, verdict.remedy, verdict.error.text);
        if (rows[i].in_text == NULL) {
            assert_int_equal(verdict.error.code, 0);
        } else {
            if (strstr(verdict.error.text, rows[i].in_text) == NULL)
                fail_msg("row %zu: \"%s\" is not in: %s", i, rows[i].in_text, verdict.error.text);
            assert_non_null(strstr(verdict.error.text, "s3.example"));
        }
    }
}

static void test_region(void **state)
{
    struct row row = {S3_GET,
                      HTTP_ANSWERED,
                      400,
                      "",
                      "",
                      "<Error><Code>AuthorizationHeaderMalformed</Code>"
                      "<Region>eu-west-1</Region></Error>",
                      STORE_REFUSED,
                      S3_REMEDY_REGION,
                      NULL};
    struct http_answer answer = {
        .reach = HTTP_ANSWERED, .status = 301, .body = "", .date = -1, .last_modified = -1};
    struct s3_verdict verdict;

    (void)state;
    judge(&row, &verdict);
    assert_int_equal(verdict.remedy, S3_REMEDY_REGION);
    assert_string_equal(verdict.region, "eu-west-1");

    /* A region becomes part of a host name: nothing else may. */
    row.body = "<Error><Code>AuthorizationHeaderMalformed</Code>"
               "<Region>evil.example/</Region></Error>";
    judge(&row, &verdict);
    assert_int_equal(verdict.remedy, S3_REMEDY_NONE);
    assert_string_equal(verdict.region, "");

    snprintf(answer.bucket_region, sizeof(answer.bucket_region), "ap-south-1");
    s3_answer_judge(&answer, S3_GET, "h", "b", &verdict);
    assert_int_equal(verdict.remedy, S3_REMEDY_REGION);
    assert_string_equal(verdict.region, "ap-south-1");
}

static void test_xml(void **state)
{
    static const struct {
        const char *document;
        const char *expected; /* NULL: not found */
    } xml_rows[] = {
        {"<Code>A</Code>", "A"},
        {"<Error><Code>A&amp;B&lt;&gt;&quot;&apos;&x;</Code></Error>", "A&B<>\"'&x;"},
        {"<Code>A\033[31mred</Code>", "Ared"},
        {"<Code></Code>", NULL},
        {"<Code>A", NULL},
        {"<Code>A<", NULL},
        {"<Code>A</Cod", NULL},
        {"<Code>A</Cody>", NULL},
        {"<Code><X>A</X></Code>", NULL},
        {"<Code>0123456789abcdef</Code>", NULL},
        {"Code", NULL},
        {"", NULL},
    };
    char out[16];

    (void)state;
    for (size_t i = 0; i < sizeof(xml_rows) / sizeof(xml_rows[0]); i++) {
        const char *document = xml_rows[i].document;
        int found = xml_text(document, strlen(document), "Code", out, sizeof(out));

        assert_int_equal(found, xml_rows[i].expected != NULL);
        assert_string_equal(out, found ? xml_rows[i].expected : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_region),
        cmocka_unit_test(test_xml),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
