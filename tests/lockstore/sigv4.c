/*
 * The published vectors: "Signature calculations: examples" in the S3 API reference, and the GET
 * and POST cases of AWS's Signature Version 4 test suite whose path is "/" (its other paths are
 * encoded twice and normalised, which S3 does not do). Cases of our own are in s3_request.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "lockstore/sigv4.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_KEY       "AKIAIOSFODNN7EXAMPLE"
#define S3_SECRET    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SUITE_KEY    "AKIDEXAMPLE"
#define SUITE_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3_TIME      1369353600 /* 20130524T000000Z */
#define SUITE_TIME   1440938160 /* 20150830T123600Z */

struct vector {
    const char *name;
    const char *method;
    const char *path;
    const char *query;
    struct sigv4_header headers[8];
    const char *body;
    const char *service;
    int64_t time;
    const char *signature;
};

static const struct vector vectors[] = {
    {"S3: GET object with a range",
     "GET",
     "/test.txt",
     "",
     {{"host", "examplebucket.s3.amazonaws.com"},
      {"range", "bytes=0-9"},
      {"x-amz-content-sha256", EMPTY_SHA256},
      {"x-amz-date", "20130524T000000Z"}},
     "",
     "s3",
     S3_TIME,
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"S3: PUT object",
     "PUT",
     "/test%24file.text",
     "",
     {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
      {"host", "examplebucket.s3.amazonaws.com"},
      {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
      {"x-amz-date", "20130524T000000Z"},
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
     "Welcome to Amazon S3.",
     "s3",
     S3_TIME,
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"S3: GET bucket lifecycle",
     "GET",
     "/",
     "lifecycle=",
     {{"host", "examplebucket.s3.amazonaws.com"},
      {"x-amz-content-sha256", EMPTY_SHA256},
      {"x-amz-date", "20130524T000000Z"}},
     "",
     "s3",
     S3_TIME,
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"S3: list objects",
     "GET",
     "/",
     "max-keys=2&prefix=J",
     {{"host", "examplebucket.s3.amazonaws.com"},
      {"x-amz-content-sha256", EMPTY_SHA256},
      {"x-amz-date", "20130524T000000Z"}},
     "",
     "s3",
     S3_TIME,
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    {"suite: get-vanilla",
     "GET",
     "/",
     "",
     {{"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"}},
     "",
     "service",
     SUITE_TIME,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"suite: get-vanilla-query-order-key-case",
     "GET",
     "/",
     "Param1=value1&Param2=value2",
     {{"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"}},
     "",
     "service",
     SUITE_TIME,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"suite: get-header-value-trim",
     "GET",
     "/",
     "",
     {{"host", "example.amazonaws.com"},
      {"my-header1", " value1"},
      {"my-header2", " \"a   b   c\""},
      {"x-amz-date", "20150830T123600Z"}},
     "",
     "service",
     SUITE_TIME,
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"suite: post-vanilla",
     "POST",
     "/",
     "",
     {{"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"}},
     "",
     "service",
     SUITE_TIME,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
};

static void check_vector(const struct vector *vector)
{
    int is_suite = vector->service[1] == 'e';
    char authorization[SIGV4_AUTHORIZATION_SIZE];
    char digest[SIGV4_SHA256_SIZE];
    const char *signature;
    struct sigv4_request request = {.method = vector->method,
                                    .path = vector->path,
                                    .query = vector->query,
                                    .headers = vector->headers,
                                    .payload_sha256 = digest,
                                    .region = "us-east-1",
                                    .service = vector->service,
                                    .time = vector->time};
    struct error error = {0};

    while (vector->headers[request.header_count].name != NULL)
        request.header_count++;
    sigv4_sha256(vector->body, strlen(vector->body), digest);
    assert_int_equal(sigv4_authorize(&request, is_suite ? SUITE_KEY : S3_KEY,
                                     is_suite ? SUITE_SECRET : S3_SECRET, authorization, &error),
                     0);
    signature = strstr(authorization, "Signature=");
    assert_non_null(signature);
    if (strcmp(signature + 10, vector->signature) != 0)
        fail_msg("%s: %s", vector->name, authorization);
}

static void test_published_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        check_vector(&vectors[i]);
}

static void test_whole_header(void **state)
{
    struct sigv4_request request = {.method = "GET",
                                    .path = "/test.txt",
                                    .query = "",
                                    .headers = vectors[0].headers,
                                    .header_count = 4,
                                    .payload_sha256 = EMPTY_SHA256,
                                    .region = "us-east-1",
                                    .service = "s3",
                                    .time = S3_TIME};
    char out[SIGV4_AUTHORIZATION_SIZE];
    char long_key[SIGV4_AUTHORIZATION_SIZE];
    struct error error = {0};

    (void)state;
    assert_int_equal(sigv4_authorize(&request, S3_KEY, S3_SECRET, out, &error), 0);
    assert_string_equal(
        out, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
             "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
             "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");

    memset(long_key, 'A', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = '\0';
    assert_int_equal(sigv4_authorize(&request, long_key, S3_SECRET, out, &error), ERR_INTERNAL);
}

static void test_encoding(void **state)
{
    static const struct {
        const char *text;
        int keep_slash;
        const char *encoded;
    } rows[] = {
        {"a b+c", 1, "a%20b%2Bc"},
        {"//x/./../y", 1, "//x/./../y"},
        {"a/b", 0, "a%2Fb"},
        {"gr\xc3\xbc\xc3\x9f.db", 1, "gr%C3%BC%C3%9F.db"},
        {"A-Za-z0-9-._~", 1, "A-Za-z0-9-._~"},
        {"%41*'()!@:&=,;$?#\"<>\\^`{|}\x7f", 1,
         "%2541%2A%27%28%29%21%40%3A%26%3D%2C%3B%24%3F%23%22%3C%3E%5C%5E%60%7B%7C%7D%7F"},
        {"", 1, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer out;

        buffer_init(&out, 1000);
        assert_int_equal(
            sigv4_encode(rows[i].text, strlen(rows[i].text), rows[i].keep_slash, &out, NULL), 0);
        assert_int_equal(out.len, strlen(rows[i].encoded));
        if (out.len > 0)
            assert_memory_equal(out.data, rows[i].encoded, out.len);
        buffer_release(&out);
    }
}

static void test_time(void **state)
{
    char out[SIGV4_TIME_SIZE];

    (void)state;
    sigv4_format_time(S3_TIME, out);
    assert_string_equal(out, "20130524T000000Z");
    sigv4_format_time(SUITE_TIME, out);
    assert_string_equal(out, "20150830T123600Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_whole_header),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
