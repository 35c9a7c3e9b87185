/* access: who may do what, as rules and tokens say it. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "origin/access.h"
#include "protocol/base/error.h"
#include "protocol/link/tls_certificate.h"

/* printf %s secret-1 | sha256sum */
#define TOKEN_HASH "f7e7c36e458e80e6b6a2c67d0a9ec09bd718dadd7bfa8d6bf6e7ad526e46c2f7"

static char path[] = "/tmp/lockstep-access-XXXXXX";

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct tls_peer named(const char *name)
{
    struct tls_peer peer = {0};

    if (name != NULL)
        snprintf(peer.names[peer.count++], TLS_PEER_NAME_MAX, "%s", name);
    return peer;
}

static void test_rules(void **state)
{
    const struct access_options options = {
        .rules = {"a=pull:one.db", "a=push:two.db", "b=pull,push:*", "spiffe://x/w=1=pull:dir/*", "*=pull:open.db", "c=push:one.db"}};
    static const struct {
        const char *who;
        const char *database;
        int may_pull;
        int may_push;
    } rows[] = {{"a", "one.db", 1, 0},
                {"a", "two.db", 0, 1},
                {"a", "three.db", 0, 0},
                {"a", "one.dbx", 0, 0},
                {"b", "one.db", 1, 1},
                {"b", "dir/deep/x.db", 1, 1},
                {"spiffe://x/w=1", "dir/x.db", 1, 0},
                {"spiffe://x/w=1", "dir", 0, 0},
                {"spiffe://x/w=1", "dirx/x.db", 0, 0},
                {"nobody", "open.db", 1, 0},
                {"nobody", "one.db", 0, 0},
                {"A", "one.db", 0, 0},
                {"c", "one.db", 0, 1}};
    struct access *access;
    struct error error = {0};

    (void)state;
    assert_int_equal(access_new(&access, &options, &error), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls_peer peer = named(rows[i].who);
        int may_pull;
        int may_push;

        access_rights(access, &peer, rows[i].database, &may_pull, &may_push);
        if (may_pull != rows[i].may_pull || may_push != rows[i].may_push)
            fail_msg("%s at %s: pull %d, push %d", rows[i].who, rows[i].database, may_pull, may_push);
    }
    access_free(access);
}

static void test_bad_rules(void **state)
{
    static const char *const rows[] = {"", "a", "a=pull", "a=:x", "a=read:x", "=pull:x", "a=pull:", "a=pull,:x", "a=pullpush:x", "a=pull;push:x"};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct access_options options = {.rules = {rows[i]}};
        struct error error = {0};
        struct access *access;

        if (access_new(&access, &options, &error) != ERR_USAGE)
            fail_msg("\"%s\" was taken", rows[i]);
        assert_null(access);
    }
}

static void test_nobody_may_anything(void **state)
{
    const struct access_options options = {.rules = {NULL}};
    struct tls_peer peer = named("a");
    struct access *access;
    int may_pull = 1;
    int may_push = 1;

    (void)state;
    assert_int_equal(access_new(&access, &options, NULL), 0);
    access_rights(access, &peer, "one.db", &may_pull, &may_push);
    assert_int_equal(may_pull + may_push, 0);
    access_free(access);
}

static void test_tokens(void **state)
{
    const struct access_options options = {.rules_file = path, .rules = {NULL}};
    const struct access_options tokens = {.tokens_file = path, .rules = {NULL}};
    struct access *access;
    struct error error = {0};
    struct tls_peer peer;

    (void)state;
    write_file("# comment\n\nworker two " TOKEN_HASH "\r\nother 0000000000000000000000000000000000000000000000000000000000000000\n");
    assert_int_equal(access_new(&access, &tokens, &error), 0);
    peer = named(NULL);
    assert_int_equal(access_identify(access, "secret-1", &peer, &error), 0);
    assert_int_equal(peer.count, 1);
    assert_string_equal(peer.names[0], "worker two");
    peer = named("cn");
    assert_int_equal(access_identify(access, "secret-1", &peer, &error), 0);
    assert_int_equal(peer.count, 2);
    assert_int_equal(access_identify(access, "secret-1", &peer, &error), 0);
    assert_int_equal(peer.count, 2);
    peer = named("cn");
    assert_int_equal(access_identify(access, "", &peer, &error), 0);
    /* A wrong token is not made good by a certificate. */
    assert_int_equal(access_identify(access, "secret-2", &peer, &error), ERR_AUTH);
    peer = named(NULL);
    assert_int_equal(access_identify(access, "", &peer, &error), ERR_AUTH);
    for (unsigned i = 0; i < TLS_PEER_NAMES; i++)
        snprintf(peer.names[peer.count++], TLS_PEER_NAME_MAX, "name %u", i);
    assert_int_equal(access_identify(access, "secret-1", &peer, &error), 0);
    assert_string_equal(peer.names[TLS_PEER_NAMES - 1], "worker two");
    access_free(access);
    assert_int_equal(access_new(&access, &options, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "line 3"));
    write_file("worker abc\n");
    assert_int_equal(access_new(&access, &tokens, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "line 1"));
}

static void test_files(void **state)
{
    const struct access_options options = {.rules_file = path, .rules = {"b=pull:x"}};
    struct access *access;
    struct error error = {0};
    struct tls_peer peer = named("a");
    int may_pull;
    int may_push;

    (void)state;
    write_file("a=pull:x");
    assert_int_equal(access_new(&access, &options, &error), 0);
    access_rights(access, &peer, "x", &may_pull, &may_push);
    assert_int_equal(may_pull, 1);
    access_free(access);
    unlink(path);
    assert_int_equal(access_new(&access, &options, &error), ERR_IO);
    assert_non_null(strstr(error.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_bad_rules),
                                       cmocka_unit_test(test_nobody_may_anything), cmocka_unit_test(test_tokens),
                                       cmocka_unit_test(test_files)};
    int fd = mkstemp(path);

    close(fd);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
