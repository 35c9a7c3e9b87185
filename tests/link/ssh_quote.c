/* ssh_quote's words, read back by the shell itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "protocol/link/ssh_quote.h"

static void test_table(void **state)
{
    static const struct {
        const char *word;
        const char *quoted;
    } rows[] = {
        {"/data/org.db", "/data/org.db"},
        {"", "''"},
        {"a b", "'a b'"},
        {"it's", "'it'\\''s'"},
        {"~/org.db", "~/org.db"},
        {"~/my org.db", "~/'my org.db'"},
        {"~root/x", "'~root/x'"},
        {"~", "'~'"},
        {"$(id)`id`;x|y", "'$(id)`id`;x|y'"},
        {"h\xc3\xb6h", "h\xc3\xb6h"},
        {"-x", "-x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *quoted = ssh_quote(rows[i].word);

        assert_string_equal(quoted, rows[i].quoted);
        free(quoted);
    }
}

/* What sh makes of it is the word again, for every single byte. */
static void test_shell(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        char word[] = {'a', (char)byte, 'b', '\0'};
        char command[100];
        char found[10] = {0};
        char *quoted = ssh_quote(word);
        FILE *shell;

        /* A newline behind it, so that one at the end is seen. */
        snprintf(command, sizeof(command), "LC_ALL=C printf '%%s\\n' %s", quoted);
        free(quoted);
        shell = popen(command, "r");
        assert_non_null(shell);
        assert_int_equal(fread(found, 1, sizeof(found) - 1, shell), 4);
        assert_int_equal(pclose(shell), 0);
        assert_memory_equal(found, word, 3);
    }
}

static void test_home(void **state)
{
    char found[100] = {0};
    char command[200];
    char *quoted = ssh_quote("~/a 'b'");
    FILE *shell;

    (void)state;
    snprintf(command, sizeof(command), "HOME=/h; printf %%s %s", quoted);
    free(quoted);
    shell = popen(command, "r");
    assert_non_null(shell);
    assert_true(fread(found, 1, sizeof(found) - 1, shell) > 0);
    assert_int_equal(pclose(shell), 0);
    assert_string_equal(found, "/h/a 'b'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_shell),
        cmocka_unit_test(test_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
