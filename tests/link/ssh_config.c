/* What the text of an ssh_config says about a host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/link/ssh_config.h"
#include "protocol/link/ssh_config_reader.h"
#include "protocol/link/ssh_pattern.h"

/* The host is always "origin", the home directory "/home/me", the user on the command line is none.
 */
static const struct {
    const char *text;
    const char *expected; /* as render() writes it */
} rows[] = {
    {"", "origin me 22"},
    {"Host origin\nHostName 10.0.0.1\nPort 2222\nUser app\n", "10.0.0.1 app 2222"},
    {"host ORIGIN\nhostname=h\nport = 23\nuser=\"a b\"\n", "h a b 23"},
    {"Host other\nPort 1\nHost or*\nPort 2\nHost *\nPort 3\n", "origin me 2"},
    {"Host * !origin\nPort 1\nHost o?igin\nPort 2\n", "origin me 2"},
    {"Host a b origin c # comment\n\tPort 7 # more\n", "origin me 7"},
    {"# comment\n\n   \nPort 7\r\n", "origin me 7"},
    {"Host \"origin\"\nPort 7\n", "origin me 7"},
    {"HostName %h.example.org\n", "origin.example.org me 22"},
    {"HostName %%x\n", "%x me 22"},
    {"User first\nUser second\nPort 1\nPort 2\n", "origin first 1"},
    {"IdentityFile ~/a\nIdentityFile /b/%r@%h:%p\nIdentityFile %d/c\n",
     "origin me 22 id=/home/me/a id=/b/me@origin:22 id=/home/me/c"},
    {"IdentityFile ${LOCKSTEP_TEST_VALUE}/k\n", "origin me 22 id=/value/k"},
    {"IdentityFile none\n", "origin me 22"},
    {"UserKnownHostsFile ~/one /two\nUserKnownHostsFile /three\n",
     "origin me 22 known=/home/me/one known=/two"},
    {"IdentitiesOnly yes\nHashKnownHosts Yes\n", "origin me 22 only hash"},
    {"StrictHostKeyChecking accept-new\nStrictHostKeyChecking yes\n", "origin me 22 strict=2"},
    {"StrictHostKeyChecking no\n", "origin me 22 strict=3"},
    {"ConnectTimeout 7\nServerAliveInterval 1m30s\nServerAliveCountMax 2\n",
     "origin me 22 timeout=7 alive=90x2"},
    {"ConnectTimeout none\n", "origin me 22"},
    {"ServerAliveInterval 0\n", "origin me 22 alive=0x3"},
    {"AddressFamily inet6\n", "origin me 22 family=10"},
    {"HostKeyAlias bridge\n", "origin me 22 alias=bridge"},
    {"IdentityAgent ~/agent.sock\n", "origin me 22 agent=/home/me/agent.sock"},
    {"IdentityAgent none\n", "origin me 22 agent=none"},
    {"Match all\nPort 5\n", "origin me 5"},
    {"Match host or*,x\nPort 5\n", "origin me 5"},
    {"Match host x,y\nPort 5\n", "origin me 22"},
    {"Match !host x\nPort 5\n", "origin me 5"},
    {"HostName h\nMatch host h originalhost origin\nPort 5\n", "h me 5"},
    {"HostName h\nMatch host origin\nPort 5\n", "h me 22"},
    {"User u\nMatch user u\nPort 5\n", "origin u 5"},
    {"Match host other exec \"false\"\nPort 5\n", "origin me 22"},
    {"Match final all\nPort 5\n", "origin me 22"},
    {"Match canonical\nPort 5\nMatch all\nPort 6\n", "origin me 6"},
    {"ProxyJump none\nProxyCommand nc %h %p\n", "origin me 22"},
    {"Host other\nProxyJump bastion\n", "origin me 22"},
    {"ForwardAgent yes\nSendEnv LANG LC_*\nCiphers +x\n", "origin me 22"},
    {"Host other\nPort nonsense\n", "origin me 22"},
    {"User last", "origin last 22"},
};

/* What is refused, and what the text must name. */
static const struct {
    const char *text;
    const char *named;
} refused[] = {
    {"Port 0\n", "config:1"},
    {"\nPort 65536\n", "config:2"},
    {"Port 22x\n", "22x"},
    {"Port 99999999999999999999\n", "config:1"},
    {"Port\n", "Port"},
    {"User # comment\n", "User"},
    {"IdentitiesOnly maybe\n", "maybe"},
    {"StrictHostKeyChecking perhaps\n", "perhaps"},
    {"ConnectTimeout 5y\n", "5y"},
    {"ServerAliveInterval 9999999w\n", "config:1"},
    {"AddressFamily inet7\n", "inet7"},
    {"ProxyJump bastion\n", "--ssh ssh"},
    {"ProxyCommand nc %h %p\n", "--ssh ssh"},
    {"Match exec true\nPort 1\n", "--ssh ssh"},
    {"Match host\n", "host"},
    {"IdentityFile %q\n", "%q"},
    {"IdentityFile ${LOCKSTEP_TEST_UNSET}\n", "LOCKSTEP_TEST_UNSET"},
    {"IdentityFile ${LOCKSTEP\n", "${LOCKSTEP"},
};

static int read_config(struct ssh_config *config, const char *text, const char *folder,
                       struct error *error)
{
    int rc = ssh_config_init(config, "origin", "/home/me", error);

    assert_int_equal(rc, 0);
    rc = ssh_config_read_text(config, text, "config", folder, error);
    /* The user that runs the test has any name. */
    if (rc == 0 && config->user == NULL)
        config->user = strdup("me");
    return rc == 0 ? ssh_config_finish(config, error) : rc;
}

/* Everything that is not as by default, in one line. */
static void render(const struct ssh_config *config, char *out, size_t size)
{
    size_t used =
        (size_t)snprintf(out, size, "%s %s %d", config->host_name, config->user, config->port);

#define ADD(...) used += (size_t)snprintf(out + used, size - used, __VA_ARGS__)
    for (size_t i = 0; config->identity_files.is_set && i < config->identity_files.count; i++)
        ADD(" id=%s", config->identity_files.paths[i]);
    for (size_t i = 0; config->user_known_hosts.is_set && i < config->user_known_hosts.count; i++)
        ADD(" known=%s", config->user_known_hosts.paths[i]);
    if (config->identities_only)
        ADD(" only");
    if (config->hash_known_hosts)
        ADD(" hash");
    if (config->strict != SSH_STRICT_YES)
        ADD(" strict=%d", (int)config->strict);
    if (config->connect_timeout_s != 15)
        ADD(" timeout=%d", config->connect_timeout_s);
    if (config->alive_interval_s != 15 || config->alive_count_max != 3)
        ADD(" alive=%dx%d", config->alive_interval_s, config->alive_count_max);
    if (config->address_family != 0)
        ADD(" family=%d", config->address_family);
    if (config->host_key_alias != NULL)
        ADD(" alias=%s", config->host_key_alias);
    if (config->identity_agent != NULL)
        ADD(" agent=%s", config->identity_agent);
#undef ADD
}

static void test_rows(void **state)
{
    (void)state;
    setenv("LOCKSTEP_TEST_VALUE", "/value", 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ssh_config config;
        struct error error = {0};
        char found[1000];

        if (read_config(&config, rows[i].text, "/nonexistent", &error) != 0)
            fail_msg("row %zu was refused: %s", i, error.text);
        render(&config, found, sizeof(found));
        if (strcmp(found, rows[i].expected) != 0)
            fail_msg("row %zu: \"%s\" and not \"%s\"", i, found, rows[i].expected);
        ssh_config_release(&config);
    }
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct ssh_config config;
        struct error error = {0};

        if (read_config(&config, refused[i].text, "/nonexistent", &error) != ERR_USAGE)
            fail_msg("row %zu was taken", i);
        if (strstr(error.text, refused[i].named) == NULL)
            fail_msg("row %zu does not name %s: %s", i, refused[i].named, error.text);
        ssh_config_release(&config);
    }
}

static void test_default_files(void **state)
{
    struct ssh_config config;

    (void)state;
    assert_int_equal(read_config(&config, "", "/nonexistent", NULL), 0);
    assert_int_equal(config.identity_files.count, 3);
    assert_string_equal(config.identity_files.paths[0], "/home/me/.ssh/id_ed25519");
    assert_string_equal(config.user_known_hosts.paths[0], "/home/me/.ssh/known_hosts");
    assert_string_equal(config.global_known_hosts.paths[0], "/etc/ssh/ssh_known_hosts");
    ssh_config_release(&config);
}

/* The command line is first, and so wins; the second file adds what the first left open. */
static void test_order(void **state)
{
    struct ssh_config config;

    (void)state;
    assert_int_equal(ssh_config_init(&config, "origin", "/home/me", NULL), 0);
    config.user = strdup("given");
    assert_int_equal(ssh_config_read_text(&config, "User u\nPort 1\n", "user", "/x", NULL), 0);
    assert_int_equal(
        ssh_config_read_text(&config, "User s\nPort 2\nHostName s\n", "system", "/x", NULL), 0);
    assert_int_equal(ssh_config_finish(&config, NULL), 0);
    assert_string_equal(config.user, "given");
    assert_int_equal(config.port, 1);
    assert_string_equal(config.host_name, "s");
    ssh_config_release(&config);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[300];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_include(void **state)
{
    char folder[] = "/tmp/lockstep-config-XXXXXX";
    struct ssh_config config;
    struct error error = {0};
    char path[300];

    (void)state;
    assert_non_null(mkdtemp(folder));
    write_file(folder, "a.conf", "Port 5\nHost other\n");
    write_file(folder, "b.conf", "User b\n");
    write_file(folder, "loop", "Include loop\n");
    write_file(folder, "bad", "\n\nPort x\n");
    /* A Host line inside an included file ends with it. */
    assert_int_equal(read_config(&config, "Include *.conf absent\nHostName h\n", folder, &error),
                     0);
    assert_int_equal(config.port, 5);
    assert_string_equal(config.user, "b");
    assert_string_equal(config.host_name, "h");
    ssh_config_release(&config);
    assert_int_equal(read_config(&config, "Host other\nInclude bad\n", folder, &error), 0);
    ssh_config_release(&config);
    assert_int_equal(read_config(&config, "Include loop\n", folder, &error), ERR_USAGE);
    ssh_config_release(&config);
    assert_int_equal(read_config(&config, "Include bad\n", folder, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "/bad:3"));
    ssh_config_release(&config);
    for (size_t i = 0; i < 4; i++) {
        static const char *const names[] = {"a.conf", "b.conf", "loop", "bad"};

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void test_missing_file(void **state)
{
    struct ssh_config config;

    (void)state;
    assert_int_equal(ssh_config_init(&config, "origin", "/home/me", NULL), 0);
    assert_int_equal(ssh_config_read_file(&config, "/nonexistent/c", "/x", 0, NULL), 0);
    assert_int_equal(ssh_config_read_file(&config, "/nonexistent/c", "/x", 1, NULL), ERR_USAGE);
    ssh_config_release(&config);
}

static void test_patterns(void **state)
{
    static const struct {
        const char *text;
        const char *list;
        int is_match;
    } patterns[] = {
        {"a.b", "a.b", 1},    {"A.b", "a.B", 1},     {"a.b", "*", 1},        {"", "*", 1},
        {"", "", 0},          {"a.b", "?.?", 1},     {"a.b", "?", 0},        {"a.b.c", "*.c", 1},
        {"a.b.c", "a*b*", 1}, {"a.b.c", "*.b", 0},   {"aaab", "*aab", 1},    {"a", "x,a", 1},
        {"a", "!a,*", 0},     {"a", "*,!a", 0},      {"b", "*,!a", 1},       {"b", "!a", 0},
        {"a", ",,a,", 1},     {"a", "a*******b", 0}, {"ab", "a*******b", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        if (ssh_pattern_match_list(patterns[i].text, patterns[i].list, strlen(patterns[i].list),
                                   ",") != patterns[i].is_match)
            fail_msg("\"%s\" against \"%s\"", patterns[i].text, patterns[i].list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_default_files), cmocka_unit_test(test_order),
        cmocka_unit_test(test_include),       cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_patterns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
