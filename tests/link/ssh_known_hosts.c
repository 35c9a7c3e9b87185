/* Which lines of a known_hosts file name a host, and what they say of its key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/link/ssh_blob.h"
#include "protocol/link/ssh_host_key.h"
#include "protocol/link/ssh_known_hosts.h"

/* Three public keys, made with ssh-keygen for this test, and the first one's fingerprint by
 * ssh-keygen -l. */
#define A_BASE64      "AAAAC3NzaC1lZDI1NTE5AAAAIF3xTc8cLL0bWvwFo2RrmSw3a8X3X3YvUy1g3KpXkrtw"
#define A             "ssh-ed25519 " A_BASE64
#define A_FINGERPRINT "SHA256:o5R4+BfDc4JiW9XauzUG4j7Segv7BcwqT+qbWmVvKxQ"
#define B             "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGGbt5CdIxAWhhW9/z+PvwgiuYGW1XKVn1NApCIlkW3v"
#define C                                                                                          \
    "ecdsa-sha2-nistp256 "                                                                         \
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBL7kaA/H2m6PGqi7Rd"                       \
    "5W/oFN4Jn/Kdj1zZB0Osy7PFcMOJaYdG3EXAcPWR1XT3Gc3ZEbRmVqPL1XamnkPNCBqa8="

/* The two names of the host, hashed by ssh-keygen -H. */
#define HASHED_22   "|1|yOhz9Pl5F3l76+f74gbOQOHErwA=|JazWk0F6qdjTqYqnvvLyy+Mjlt8="
#define HASHED_2222 "|1|rc7Evt3Kf17b282P1HyTVetXcXk=|uTDNe4qjw1lFAr3rlvrRALvuEjY="

/* The host is "origin.example" at port 22, or at 2222 where the row says so; it shows the key A. */
static const struct {
    const char *text;
    int port;
    enum ssh_host_verdict verdict;
    const char *where;
} rows[] = {
    {"", 22, SSH_HOST_UNKNOWN, NULL},
    {"origin.example " A "\n", 22, SSH_HOST_KNOWN, "f:1"},
    {"ORIGIN.Example " A " a comment\r\n", 22, SSH_HOST_KNOWN, "f:1"},
    {"\n# origin.example " B "\n  other,origin.example,10.0.0.1\t" A "\n", 22, SSH_HOST_KNOWN,
     "f:3"},
    {"origin.example " A "\n", 2222, SSH_HOST_UNKNOWN, NULL},
    {"[origin.example]:2222 " A "\n", 2222, SSH_HOST_KNOWN, "f:1"},
    {"[origin.example]:2222 " A "\n", 22, SSH_HOST_UNKNOWN, NULL},
    {"*.example " A "\n", 22, SSH_HOST_KNOWN, "f:1"},
    {"*.example,!origin.* " A "\n", 22, SSH_HOST_UNKNOWN, NULL},
    {"!origin.example,* " A "\n", 22, SSH_HOST_UNKNOWN, NULL},
    {HASHED_22 " " A "\n", 22, SSH_HOST_KNOWN, "f:1"},
    {HASHED_22 " " A "\n", 2222, SSH_HOST_UNKNOWN, NULL},
    {HASHED_2222 " " A "\n", 2222, SSH_HOST_KNOWN, "f:1"},
    {"|1|AAAA|AAAA " A "\n|1|x " A "\n|1| " A "\n", 22, SSH_HOST_UNKNOWN, NULL},
    {"origin.example " B "\n", 22, SSH_HOST_CHANGED, "f:1"},
    {"origin.example " C "\norigin.example " B "\n", 22, SSH_HOST_CHANGED, "f:2"},
    {"origin.example " B "\norigin.example " C "\n", 22, SSH_HOST_CHANGED, "f:1"},
    {"origin.example " C "\n", 22, SSH_HOST_CHANGED, "f:1"},
    {"origin.example " B "\norigin.example " A "\n", 22, SSH_HOST_KNOWN, "f:2"},
    {"origin.example " A "\n@revoked * " A "\n", 22, SSH_HOST_REVOKED, "f:2"},
    {"@revoked other " A "\norigin.example " A "\n", 22, SSH_HOST_KNOWN, "f:2"},
    {"@revoked * " B "\n", 22, SSH_HOST_UNKNOWN, NULL},
    {"@cert-authority *.example " A "\n", 22, SSH_HOST_AUTHORITY, "f:1"},
    {"@cert-authority * " B "\norigin.example " A "\n", 22, SSH_HOST_KNOWN, "f:2"},
    {"@unknown-mark origin.example " A "\n", 22, SSH_HOST_UNKNOWN, NULL},
    {"origin.example\norigin.example ssh-ed25519\n", 22, SSH_HOST_UNKNOWN, NULL},
    {"origin.example ssh-ed25519 !!!!\norigin.example ssh-ed25519 AAAA\n", 22, SSH_HOST_UNKNOWN,
     NULL},
    /* The type in front must be the key's own. */
    {"origin.example ssh-rsa " A_BASE64 "\n", 22, SSH_HOST_UNKNOWN, NULL},
};

static void test_rows(void **state)
{
    size_t len;
    uint8_t *blob = ssh_base64_decode(A_BASE64, strlen(A_BASE64), &len);

    (void)state;
    assert_non_null(blob);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ssh_known_hosts known;
        const struct ssh_known_key *key = NULL;
        enum ssh_host_verdict verdict;

        assert_int_equal(ssh_known_hosts_init(&known, "Origin.Example", rows[i].port, NULL), 0);
        assert_int_equal(ssh_known_hosts_read_text(&known, rows[i].text, "f", NULL), 0);
        verdict = ssh_known_hosts_check(&known, blob, len, &key);
        if (verdict != rows[i].verdict)
            fail_msg("row %zu: the verdict is %d", i, (int)verdict);
        if (rows[i].where == NULL)
            assert_null(key);
        else
            assert_string_equal(key->where, rows[i].where);
        ssh_known_hosts_release(&known);
    }
    free(blob);
}

static void test_fingerprint(void **state)
{
    char found[SSH_FINGERPRINT_SIZE];
    size_t len;
    uint8_t *blob = ssh_base64_decode(A_BASE64, strlen(A_BASE64), &len);

    (void)state;
    ssh_fingerprint(blob, len, found);
    assert_string_equal(found, A_FINGERPRINT);
    free(blob);
}

static void check_preference(const char *text, const char *expected)
{
    static const char *const supported[] = {"ecdsa-sha2-nistp256", "ssh-ed25519", "ssh-rsa",
                                            "ssh-dss"};
    struct ssh_known_hosts known;
    char found[200];

    assert_int_equal(ssh_known_hosts_init(&known, "origin.example", 22, NULL), 0);
    assert_int_equal(ssh_known_hosts_read_text(&known, text, "f", NULL), 0);
    ssh_host_key_preference(&known, supported, 4, found, sizeof(found));
    assert_string_equal(found, expected);
    ssh_known_hosts_release(&known);
}

static void test_preference(void **state)
{
    (void)state;
    check_preference("", "ssh-ed25519,ecdsa-sha2-nistp256,ssh-rsa");
    check_preference("origin.example " C "\n", "ecdsa-sha2-nistp256,ssh-ed25519,ssh-rsa");
    check_preference("@revoked origin.example " C "\n", "ssh-ed25519,ecdsa-sha2-nistp256,ssh-rsa");
}

/* Strings of RFC 4251 that are cut, or claim more than there is. */
static void test_blob(void **state)
{
    static const uint8_t bytes[] = {0, 0, 0, 3, 'a', 'b', 'c', 0xff, 0xff, 0xff, 0xff};
    struct ssh_reader reader = {bytes, sizeof(bytes)};
    const uint8_t *data;
    size_t len;
    char type[4];

    (void)state;
    assert_int_equal(ssh_read_string(&reader, &data, &len), 0);
    assert_int_equal(len, 3);
    assert_int_equal(ssh_read_string(&reader, &data, &len), -1);
    assert_int_equal(reader.len, 4);
    for (size_t cut = 0; cut < 7; cut++) {
        reader = (struct ssh_reader){bytes, cut};
        assert_int_equal(ssh_read_string(&reader, &data, &len), -1);
    }
    ssh_key_type(bytes, 7, type, sizeof(type));
    assert_string_equal(type, "abc");
    ssh_key_type(bytes, 7, type, 3);
    assert_string_equal(type, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_preference),
        cmocka_unit_test(test_blob),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
