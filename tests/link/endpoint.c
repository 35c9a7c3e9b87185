/* What a user may write as an endpoint, and what it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/endpoint.h"

static const struct {
    const char *text;
    enum endpoint_kind kind;
    const char *user;
    const char *host;
    int port;
    const char *path;
} good[] = {
    {"org.db", ENDPOINT_LOCAL, NULL, NULL, 0, "org.db"},
    {"/data/org.db", ENDPOINT_LOCAL, NULL, NULL, 0, "/data/org.db"},
    {"./host:org.db", ENDPOINT_LOCAL, NULL, NULL, 0, "./host:org.db"},
    {"a/b:c", ENDPOINT_LOCAL, NULL, NULL, 0, "a/b:c"},
    {"a\\b:c", ENDPOINT_LOCAL, NULL, NULL, 0, "a\\b:c"},
    {"with space.db", ENDPOINT_LOCAL, NULL, NULL, 0, "with space.db"},
    {"-.db", ENDPOINT_LOCAL, NULL, NULL, 0, "-.db"},
    {"user@x.db", ENDPOINT_LOCAL, NULL, NULL, 0, "user@x.db"},
    {"host:org.db", ENDPOINT_SSH, NULL, "host", 0, "org.db"},
    {"host:/data/o rg'\".db", ENDPOINT_SSH, NULL, "host", 0, "/data/o rg'\".db"},
    {"app@host:~/org.db", ENDPOINT_SSH, "app", "host", 0, "~/org.db"},
    {"a@b@host:x", ENDPOINT_SSH, "a@b", "host", 0, "x"},
    {"host:a:b@c", ENDPOINT_SSH, NULL, "host", 0, "a:b@c"},
    {"h\xc3\xb6st:x", ENDPOINT_SSH, NULL, "h\xc3\xb6st", 0, "x"},
    {"[2001:db8::1]:x", ENDPOINT_SSH, NULL, "2001:db8::1", 0, "x"},
    {"app@[fe80::1%eth0]:/x", ENDPOINT_SSH, "app", "fe80::1%eth0", 0, "/x"},
    {"ssh://host/data/org.db", ENDPOINT_SSH, NULL, "host", 0, "/data/org.db"},
    {"ssh://app@host:2222/data/org.db", ENDPOINT_SSH, "app", "host", 2222, "/data/org.db"},
    {"ssh://host/~/org.db", ENDPOINT_SSH, NULL, "host", 0, "~/org.db"},
    {"ssh://host/a%20b%25.db", ENDPOINT_SSH, NULL, "host", 0, "/a b%.db"},
    {"ssh://[::1]:65535/x", ENDPOINT_SSH, NULL, "::1", 65535, "/x"},
    {"ssh://[::1]/x", ENDPOINT_SSH, NULL, "::1", 0, "/x"},
    {"tls://origin.internal:7443/org", ENDPOINT_TLS, NULL, "origin.internal", 7443, "org"},
    {"tls://origin.internal/org/a.db", ENDPOINT_TLS, NULL, "origin.internal", 0, "org/a.db"},
};

static const char *const bad[] = {
    "",
    ":x",
    "@host:x",
    "host:",
    "-oProxyCommand=x:y",
    "-l@host:x",
    "app@-host:x",
    "a b:x",
    "$(id):x",
    "h\nost:x",
    "x\x1b.db",
    "[2001:db8::1:x",
    "[]:x",
    "http://host/x",
    "s3://bucket/key",
    "file:///x",
    "ssh://host",
    "ssh://host/",
    "ssh:///x",
    "ssh://host:0/x",
    "ssh://host:65536/x",
    "ssh://host:99999999999999999999/x",
    "ssh://host:/x",
    "ssh://host:ab/x",
    "ssh://host:-1/x",
    "ssh://2001:db8::1/x",
    "ssh://host/a%2",
    "ssh://host/a%zz",
    "ssh://host/a%00b",
    "ssh://host/a%0ab",
    "ssh://-host/x",
    "ssh://-u@host/x",
    "tls://host/",
    "tls://me@host/x",
};

static void check_string(const char *found, const char *expected)
{
    if (expected == NULL)
        assert_null(found);
    else
        assert_string_equal(found, expected);
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct endpoint endpoint;
        struct error error = {0};

        if (endpoint_parse(&endpoint, good[i].text, &error) != 0)
            fail_msg("%s was refused: %s", good[i].text, error.text);
        if (endpoint.kind != good[i].kind)
            fail_msg("%s has the kind %d", good[i].text, (int)endpoint.kind);
        check_string(endpoint.user, good[i].user);
        check_string(endpoint.host, good[i].host);
        check_string(endpoint.path, good[i].path);
        assert_int_equal(endpoint.port, good[i].port);
        endpoint_release(&endpoint);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct endpoint endpoint;
        struct error error = {0};

        if (endpoint_parse(&endpoint, bad[i], &error) != ERR_USAGE)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(error.code, ERR_USAGE);
        assert_true(error.text[0] != '\0');
        assert_null(endpoint.user);
        assert_null(endpoint.host);
        assert_null(endpoint.path);
    }
}

static void test_too_long(void **state)
{
    struct endpoint endpoint;
    char text[LIMIT_PATH + 2];

    (void)state;
    memset(text, 'x', sizeof(text));
    text[LIMIT_PATH + 1] = '\0';
    assert_int_equal(endpoint_parse(&endpoint, text, NULL), ERR_USAGE);
    text[LIMIT_PATH] = '\0';
    assert_int_equal(endpoint_parse(&endpoint, text, NULL), 0);
    endpoint_release(&endpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
