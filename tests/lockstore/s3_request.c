/*
 * Where requests go and what is signed. The signatures were computed with botocore 1.43.11
 * (S3SigV4Auth, payload signed) for the same method, URL, headers, body and time.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "lockstore/credentials.h"
#include "lockstore/credentials_parse.h"
#include "lockstore/s3_address.h"
#include "lockstore/s3_request.h"
#include "protocol/base/error.h"

#define KEY    "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TIME   1795291446 /* 20261121T200406Z */
#define BODY   "{\"v\":1}"

static void test_signatures(void **state)
{
    static const struct {
        const char *endpoint;
        const char *region;
        const char *url;
        enum s3_operation operation;
        const char *etag;
        const char *token;
        const char *signed_url;
        const char *signature;
    } rows[] = {
        {"http://127.0.0.1:7480", "auto", "s3://locks/org.db.lock", S3_GET, NULL, NULL,
         "http://127.0.0.1:7480/locks/org.db.lock",
         "2462623661011b1addfa8dcb13ab60de8c4791f49aad99eb8e276d09741bca0e"},
        {"https://fly.storage.example:8443", "auto", "s3://locks/a b+c", S3_PUT_IF_ABSENT, NULL,
         NULL, "https://fly.storage.example:8443/locks/a%20b%2Bc",
         "f8761ec909421e9419db0d52275fd91d378e80c0971ff282b27abfa7aef395e1"},
        {"https://s3.example", "eu-central-1", "s3://locks/gr\xc3\xbc\xc3\x9f ~.db",
         S3_PUT_IF_MATCH, "\"abc\"", "TOKEN//+=", "https://s3.example/locks/gr%C3%BC%C3%9F%20~.db",
         "4ab1d590885981393338d6898aeb0d433e5cd522aeaca423790cc645a3c0a47f"},
        {"https://s3.example:443", "eu-central-1", "s3://locks//x/./../y", S3_GET, NULL, NULL,
         "https://s3.example/locks//x/./../y",
         "6ca3d44ed66d1fbeb0e9fd27543713fb59492a0f44c00484c6c628026cc997b9"},
        {"https://fly.storage.tigris.dev", "auto", "s3://locks/org.db.lock", S3_PUT_IF_MATCH, "abc",
         "T", "https://locks.fly.storage.tigris.dev/org.db.lock",
         "9d8d6e56c83a34ed319a2aecede832677eed6d30d792daa1bf393e9583e47e6b"},
        {"http://[::1]:7480", "auto", "s3://locks/*'()!@", S3_DELETE, NULL, NULL,
         "http://[::1]:7480/locks/%2A%27%28%29%21%40",
         "eccc6ea149d6b00f6cf4e6fdf6cfc015a94f242747a705b8b71352776a083249"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int is_put = rows[i].operation == S3_PUT_IF_ABSENT || rows[i].operation == S3_PUT_IF_MATCH;
        struct s3_settings settings = {0};
        struct s3_address address;
        struct credentials credentials;
        struct s3_headers headers;
        struct s3_name name;
        const char *authorization = NULL;
        struct s3_request request = {.address = &address,
                                     .operation = rows[i].operation,
                                     .etag = rows[i].etag,
                                     .body = is_put ? BODY : NULL,
                                     .body_len = is_put ? strlen(BODY) : 0,
                                     .time = TIME};

        snprintf(settings.endpoint, sizeof(settings.endpoint), "%s", rows[i].endpoint);
        snprintf(settings.region, sizeof(settings.region), "%s", rows[i].region);
        assert_int_equal(s3_name_parse(rows[i].url, &name, NULL), 0);
        assert_int_equal(s3_address_make(&settings, NULL, &name, &address, NULL), 0);
        assert_string_equal(address.url, rows[i].signed_url);
        assert_int_equal(credentials_fill(&credentials, KEY, SECRET, rows[i].token, NULL, NULL), 0);
        assert_int_equal(s3_request_sign(&request, &credentials, &headers, NULL), 0);
        for (size_t k = 0; k < headers.count; k++) {
            if (strncmp(headers.lines[k], "authorization: ", 15) == 0)
                authorization = headers.lines[k];
            assert_null(strstr(headers.lines[k], SECRET));
        }
        assert_non_null(authorization);
        assert_string_equal(strstr(authorization, "Signature=") + 10, rows[i].signature);
        s3_headers_release(&headers);
        credentials_release(&credentials);
    }
}

static void test_addresses(void **state)
{
    static const struct {
        const char *endpoint;
        const char *region;
        enum s3_addressing addressing;
        const char *url;
        const char *expected;
        const char *signed_region;
    } rows[] = {
        {"", "auto", S3_ADDRESSING_AUTO, "s3://b-1/k", "https://b-1.s3.us-east-1.amazonaws.com/k",
         "us-east-1"},
        {"", "eu-west-1", S3_ADDRESSING_AUTO, "s3://b-1/k",
         "https://b-1.s3.eu-west-1.amazonaws.com/k", "eu-west-1"},
        {"", "cn-north-1", S3_ADDRESSING_AUTO, "s3://b-1/k",
         "https://b-1.s3.cn-north-1.amazonaws.com.cn/k", "cn-north-1"},
        {"", "eu-west-1", S3_ADDRESSING_PATH, "s3://b-1/k",
         "https://s3.eu-west-1.amazonaws.com/b-1/k", "eu-west-1"},
        /* A dot would fail in TLS; capitals cannot be in a host name. */
        {"", "eu-west-1", S3_ADDRESSING_AUTO, "s3://b.c/k",
         "https://s3.eu-west-1.amazonaws.com/b.c/k", "eu-west-1"},
        {"", "eu-west-1", S3_ADDRESSING_VIRTUAL, "s3://Old_Bucket/k",
         "https://s3.eu-west-1.amazonaws.com/Old_Bucket/k", "eu-west-1"},
        {"https://t3.storage.dev", "auto", S3_ADDRESSING_AUTO, "s3://b-1/k",
         "https://b-1.t3.storage.dev/k", "auto"},
        {"https://fly.storage.tigris.dev", "auto", S3_ADDRESSING_PATH, "s3://b-1/k",
         "https://fly.storage.tigris.dev/b-1/k", "auto"},
        {"https://abc.r2.cloudflarestorage.com", "auto", S3_ADDRESSING_AUTO, "s3://b-1/k",
         "https://abc.r2.cloudflarestorage.com/b-1/k", "auto"},
        {"https://minio.example:9000/s3", "auto", S3_ADDRESSING_AUTO, "s3://b-1/a/b",
         "https://minio.example:9000/s3/b-1/a/b", "auto"},
        {"https://MinIO.example:443", "auto", S3_ADDRESSING_VIRTUAL, "s3://b-1/k",
         "https://b-1.minio.example/k", "auto"},
        {"http://127.0.0.1:9000", "auto", S3_ADDRESSING_VIRTUAL, "s3://b-1/k",
         "http://127.0.0.1:9000/b-1/k", "auto"},
        {"http://h:80", "auto", S3_ADDRESSING_AUTO, "s3://b-1/k", "http://h/b-1/k", "auto"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct s3_settings settings = {.addressing = rows[i].addressing};
        struct s3_address address;
        struct s3_name name;

        snprintf(settings.endpoint, sizeof(settings.endpoint), "%s", rows[i].endpoint);
        snprintf(settings.region, sizeof(settings.region), "%s", rows[i].region);
        assert_int_equal(s3_name_parse(rows[i].url, &name, NULL), 0);
        assert_int_equal(s3_address_make(&settings, NULL, &name, &address, NULL), 0);
        assert_string_equal(address.url, rows[i].expected);
        assert_string_equal(address.region, rows[i].signed_region);
    }
}

static void test_names(void **state)
{
    static const char *const refused[] = {"s3://",
                                          "s3://bucket",
                                          "s3://bucket/",
                                          "s3:///key",
                                          "s3://a b/key",
                                          "s3://.b/key",
                                          "s3://arn:aws:s3:::b/key",
                                          "file:///x"};
    struct s3_name name;
    char url[2000] = "s3://b/";

    (void)state;
    unsetenv("BUCKET_NAME");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(s3_name_parse(refused[i], &name, NULL), ERR_USAGE);
    assert_int_equal(s3_name_parse("s3://b//a?b#c%20", &name, NULL), 0);
    assert_string_equal(name.key, "/a?b#c%20");

    setenv("BUCKET_NAME", "from-environment", 1);
    assert_int_equal(s3_name_parse("s3:///dir/key", &name, NULL), 0);
    assert_string_equal(name.bucket, "from-environment");
    assert_string_equal(name.key, "dir/key");
    unsetenv("BUCKET_NAME");

    memset(url + 7, 'k', LIMIT_S3_KEY);
    assert_int_equal(s3_name_parse(url, &name, NULL), 0);
    url[7 + LIMIT_S3_KEY] = 'k';
    assert_int_equal(s3_name_parse(url, &name, NULL), ERR_USAGE);
}

static void test_etags(void **state)
{
    static const struct {
        const char *given;
        const char *quoted;
        const char *bare;
    } rows[] = {
        {"\"abc\"", "\"abc\"", "abc"}, {"abc", "\"abc\"", "abc"}, {"W/\"abc\"", "\"abc\"", "abc"},
        {"\"", "\"\"\"", "\""},        {"", "\"\"", ""},
    };
    char out[STORE_ETAG_MAX + 3];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        s3_etag_form(rows[i].given, 0, out);
        assert_string_equal(out, rows[i].quoted);
        s3_etag_form(rows[i].given, 1, out);
        assert_string_equal(out, rows[i].bare);
    }
    assert_true(s3_etag_equal("\"abc\"", "abc"));
    assert_true(s3_etag_equal("W/\"abc\"", "\"abc\""));
    assert_false(s3_etag_equal("\"abc\"", "\"abd\""));
    assert_false(s3_etag_equal("\"abc\"", "\"ab\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_etags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
