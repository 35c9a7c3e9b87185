/* Options from the command line, the environment and the defaults: which one wins, and how each is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/base/option_text.h"
#include "protocol/base/options.h"

#define WORDS_MAX 10

static const struct option table[] = {
    {"wait-time", "TIME", "how long to wait", "30s", 0},
    {"i|file", "FILE", "a file", NULL, OPTION_REPEATS},
    {"force", NULL, "do it", NULL, 0},
    {"v|verbose", NULL, "say more", NULL, OPTION_REPEATS},
    {"token", "N", "a token", NULL, OPTION_NO_VARIABLE | OPTION_SECRET},
    {"pass", "WORD", "a password", NULL, OPTION_SECRET},
    {"show", "[=much|little]", "show it", NULL, 0},
    {"h|help", NULL, "print this", NULL, OPTION_ALONE},
    {NULL, NULL, NULL, NULL, 0},
};

static const char *const variables[] = {"TEST_IT_WAIT_TIME", "TEST_IT_FILE", "TEST_IT_FORCE", "TEST_IT_VERBOSE", "TEST_IT_TOKEN", "TEST_IT_PASS", "TEST_IT_SHOW",
                                        "TEST_IT_HELP",      "TEST_IT_I",    "TEST_IT_TYPO"};

/* Set the variables in "NAME=VALUE|NAME=VALUE", and no others. */
static void set_environment(const char *text)
{
    char copy[300];
    char *rest = copy;

    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *entry = strsep(&rest, "|"); entry != NULL && entry[0] != '\0'; entry = strsep(&rest, "|")) {
        char *value = strchr(entry, '=');
        *value++ = '\0';
        setenv(entry, value, 1);
    }
}

/* Split a command line at its spaces. Returns the number of words; copy holds them. */
static int split(const char *text, char *copy, size_t size, char *argv[WORDS_MAX])
{
    char *rest = copy;
    int argc = 0;

    snprintf(copy, size, "%s", text);
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        if (word[0] != '\0')
            argv[argc++] = word;
    }
    return argc;
}

/* Everything that is read, as "name=value/source " one after the other; ends with the error's text. */
static void read_all(const char *words, char *out, size_t size)
{
    char copy[300];
    char *argv[WORDS_MAX];
    int argc = split(words, copy, sizeof(copy), argv);
    struct option_reader reader;
    struct error error = {0};
    const char *value;
    size_t used = 0;
    int row;

    out[0] = '\0';
    option_reader_init(&reader, table, "test-it", argc, argv, 0);
    while (option_next(&reader, &row, &value, &error) == 0 && row != OPTION_END)
        used += (size_t)snprintf(out + used, size - used, "%s=%s/%c ", row == OPTION_ARGUMENT ? "" : table[row].name,
                                 value != NULL ? value : "", "dec"[option_source(&reader)]);
    snprintf(out + used, size - used, "%s", error.text);
}

static void test_where_each_comes_from(void **state)
{
    static const struct {
        const char *environment;
        const char *words;
        const char *expected;
    } rows[] = {
        {"", "", "wait-time=30s/d "},
        {"", "a --wait-time 5 b", "=a/c wait-time=5/c =b/c "},
        {"TEST_IT_WAIT_TIME=7s", "a", "wait-time=7s/e =a/c "},
        {"TEST_IT_WAIT_TIME=7s", "--wait-time=5", "wait-time=5/c "},
        /* Empty is as good as unset; a value that stands before others does not count as an option. */
        {"TEST_IT_WAIT_TIME=", "", "wait-time=30s/d "},
        {"TEST_IT_WAIT_TIME=7s", "-- --wait-time 5", "wait-time=7s/e =--wait-time/c =5/c "},
        {"TEST_IT_WAIT_TIME=7s", "--file --wait-time", "wait-time=7s/e i|file=--wait-time/c "},
        /* Several values in a variable; one on the command line replaces them all. */
        {"TEST_IT_FILE= a  b\nc ", "", "wait-time=30s/d i|file=a/e i|file=b/e i|file=c/e "},
        {"TEST_IT_FILE=  ", "", "wait-time=30s/d "},
        {"TEST_IT_FILE=a b", "-i x --file y", "wait-time=30s/d i|file=x/c i|file=y/c "},
        /* Yes and no; counts. */
        {"TEST_IT_FORCE=1", "", "wait-time=30s/d force=/e "},
        {"TEST_IT_FORCE=Yes", "", "wait-time=30s/d force=/e "},
        {"TEST_IT_FORCE=off", "", "wait-time=30s/d "},
        {"TEST_IT_FORCE=0", "--force", "wait-time=30s/d force=/c "},
        {"TEST_IT_FORCE=2", "", "wait-time=30s/d TEST_IT_FORCE: \"2\" is neither yes nor no; say 1 or 0, or leave it empty"},
        {"TEST_IT_VERBOSE=3", "a", "wait-time=30s/d v|verbose=/e v|verbose=/e v|verbose=/e =a/c "},
        {"TEST_IT_VERBOSE=3", "-vv", "wait-time=30s/d v|verbose=/c v|verbose=/c "},
        {"TEST_IT_VERBOSE=33", "a",
         "wait-time=30s/d TEST_IT_VERBOSE: \"33\" is neither yes, no nor a number up to 9; say 1 or 0, or leave it empty"},
        /* A value that may be left out. */
        {"TEST_IT_SHOW=much", "", "wait-time=30s/d show=much/e "},
        {"TEST_IT_SHOW=1", "", "wait-time=30s/d show=/e "},
        {"TEST_IT_SHOW=no", "a", "wait-time=30s/d =a/c "},
        {"TEST_IT_SHOW=much", "--show a", "wait-time=30s/d show=/c =a/c "},
        /* Without a variable; --help does without any. */
        {"TEST_IT_TOKEN=3|TEST_IT_HELP=1|TEST_IT_I=x", "", "wait-time=30s/d "},
        {"TEST_IT_FORCE=2", "a --help", "=a/c h|help=/c "},
        {"", "--nonsense", "wait-time=30s/d there is no option --nonsense; --help tells which there are"},
    };
    char read[500];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set_environment(rows[i].environment);
        read_all(rows[i].words, read, sizeof(read));
        assert_string_equal(read, rows[i].expected);
    }
    set_environment("");
}

static void test_an_error_names_the_variable(void **state)
{
    static char word[] = "--wait-time=x";
    char *argv[] = {word};
    struct option_reader reader;
    struct error error = {0};
    unsigned long long milliseconds;
    const char *value;
    int row;

    (void)state;
    set_environment("TEST_IT_WAIT_TIME=soon");
    for (int argc = 0; argc < 2; argc++) {
        option_reader_init(&reader, table, "test-it", argc, argv, 0);
        assert_int_equal(option_next(&reader, &row, &value, &error), 0);
        assert_int_equal(option_duration("wait-time", value, &milliseconds, &error), ERR_USAGE);
        assert_int_equal(option_blame(&reader, row, &error), ERR_USAGE);
        assert_string_equal(error.text, argc == 0
                                            ? "TEST_IT_WAIT_TIME: --wait-time: \"soon\" is not a duration: say 30, 30s, 250ms, 5m or 2h"
                                            : "--wait-time: \"x\" is not a duration: say 30, 30s, 250ms, 5m or 2h");
    }
    set_environment("");
}

static void test_names_of_variables(void **state)
{
    char name[OPTION_VARIABLE_MAX];

    (void)state;
    option_variable("test-it", &table[0], name);
    assert_string_equal(name, "TEST_IT_WAIT_TIME");
    option_variable("test", &table[1], name);
    assert_string_equal(name, "TEST_FILE");
    option_variable("test", &table[4], name);
    assert_string_equal(name, "");
    option_variable("test", &table[7], name);
    assert_string_equal(name, "");
}

/* What option_print_config prints, whole. */
static char *print_config(const char *environment, const char *words, int json)
{
    static const struct option *const tables[] = {table, NULL};
    static const char *const others[] = {NULL};
    static const struct option_fact facts[] = {{"pass", "none yet", NULL, 0}, {"STORE_KEY", "abc", "STORE_KEY", 1}};
    char copy[300];
    char *argv[WORDS_MAX];
    struct option_config config = {.table = table,
                                   .program = "test-it",
                                   .command = "do",
                                   .argc = split(words, copy, sizeof(copy), argv),
                                   .argv = argv,
                                   .json = json,
                                   .facts = facts,
                                   .fact_count = 2,
                                   .tables = tables,
                                   .others = others};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    set_environment(environment);
    option_print_config(&config, out);
    fclose(out);
    set_environment("");
    return text;
}

static void test_config(void **state)
{
    char *text = print_config("TEST_IT_FILE=a b|TEST_IT_TYPO=1", "--token 77 -vv --show", 0);

    (void)state;
    assert_string_equal(text, "SETTING                   VALUE                           FROM\n"
                              "wait-time                 30s                             default\n"
                              "file                      a b                             environment TEST_IT_FILE\n"
                              "force                     no                              default\n"
                              "verbose                   2 times                         command line\n"
                              "token                     ********                        command line\n"
                              "pass                      none yet                        default\n"
                              "show                      yes                             command line\n"
                              "STORE_KEY                 ********                        environment STORE_KEY\n"
                              "\n"
                              "TEST_IT_TYPO is ignored: no option has this variable\n");
    free(text);
    text = print_config("TEST_IT_FILE=a|TEST_IT_PASS=secret|TEST_IT_TYPO=1", "--wait-time \"\\\t\x01", 1);
    assert_string_equal(text, "{\"v\":1,\"kind\":\"config\",\"command\":\"do\",\"settings\":["
                              "{\"name\":\"wait-time\",\"value\":\"\\\"\\\\\\t\\u0001\",\"source\":\"command line\",\"variable\":null},"
                              "{\"name\":\"file\",\"value\":[\"a\"],\"source\":\"environment\",\"variable\":\"TEST_IT_FILE\"},"
                              "{\"name\":\"force\",\"value\":0,\"source\":\"default\",\"variable\":null},"
                              "{\"name\":\"verbose\",\"value\":0,\"source\":\"default\",\"variable\":null},"
                              "{\"name\":\"token\",\"value\":null,\"source\":\"default\",\"variable\":null},"
                              "{\"name\":\"pass\",\"value\":\"********\",\"source\":\"environment\",\"variable\":\"TEST_IT_PASS\"},"
                              "{\"name\":\"show\",\"value\":null,\"source\":\"default\",\"variable\":null},"
                              "{\"name\":\"STORE_KEY\",\"value\":\"********\",\"source\":\"environment\",\"variable\":\"STORE_KEY\"}],"
                              "\"ignored\":[\"TEST_IT_TYPO\"]}\n");
    free(text);
}

/* As rsync reads --bwlimit. */
static void test_rates(void **state)
{
    static const struct {
        const char *text;
        uint64_t rate;
    } good[] = {{"0", 0},         {"1", 1024},         {"500", 512000},     {"1.5m", 1572864},      {"1.5MiB", 1572864},
                {"2MB", 2000000}, {"512b", 512},       {"1g", 1073741824},  {"3KB", 3000},          {"0.5", 512}};
    static const char *const bad[] = {"", "x", "-1", "511b", "0.1", "5T", "1 m", "nan", "inf", "1mm", "1e30"};
    struct error error = {0};
    uint64_t rate;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        rate = 7;
        assert_int_equal(option_rate("bwlimit", good[i].text, &rate, &error), 0);
        assert_true(rate == good[i].rate);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(option_rate("bwlimit", bad[i], &rate, &error), ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_each_comes_from),
        cmocka_unit_test(test_an_error_names_the_variable),
        cmocka_unit_test(test_names_of_variables),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
