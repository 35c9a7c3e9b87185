/* PROTOCOL.md says of every field what the tables say that encoder and decoder follow: neither
 * changes alone. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/limits.h"
#include "protocol/wire/message.h"
#include "protocol/wire/message_layout.h"

#define LINE_MAX_LEN 1024

static void form_of(const struct field *field, char *out, size_t size)
{
    switch (field->kind) {
    case FIELD_U32:
    case FIELD_U64:
        snprintf(out, size, "uint %" PRIu64 "..%" PRIu64, field->min, field->max);
        break;
    case FIELD_BYTES:
        snprintf(out, size, "bin %zu", field->size);
        break;
    case FIELD_BLOB:
        snprintf(out, size, "bin %zu..%u by %zu", field->size, LIMIT_CHUNK, field->size);
        break;
    default:
        snprintf(out, size, "string 0..%zu", field->size - 1);
    }
}

/* The name in the document: hello.geometry.root is geometry.root there, cells.first stays as it is.
 */
static const char *name_of(const struct field *field, uint64_t type)
{
    const char *dot = strchr(field->name, '.');

    if (dot == NULL || type == MESSAGE_CELLS || type == MESSAGE_HASHES)
        return field->name;
    return dot + 1;
}

/* Read on to the next line that begins with prefix; stop at the next heading. Returns whether there
 * is one. */
static int find_line(FILE *file, const char *prefix, char line[LINE_MAX_LEN])
{
    while (fgets(line, LINE_MAX_LEN, file) != NULL) {
        if (strncmp(line, prefix, strlen(prefix)) == 0)
            return 1;
        if (line[0] == '#' && prefix[0] != '#')
            return 0;
    }
    return 0;
}

static void test_fields(void **state)
{
    FILE *file = fopen(PROTOCOL_MD, "r");
    char line[LINE_MAX_LEN];
    char want[256];
    char form[64];

    (void)state;
    assert_non_null(file);
    for (uint64_t type = 1; message_layout(type) != NULL; type++) {
        const struct layout *layout = message_layout(type);

        snprintf(want, sizeof(want), "### %" PRIu64 " %s\n", type, layout->name);
        if (!find_line(file, want, line))
            fail_msg("PROTOCOL.md lacks, in its place: %s", want);
        if (layout->count > 0)
            assert_true(find_line(file, "|---|", line));
        for (size_t i = 0; i < layout->count; i++) {
            form_of(&layout->fields[i], form, sizeof(form));
            snprintf(want, sizeof(want), "| %zu | `%s` | %s |", i + 1,
                     name_of(&layout->fields[i], type), form);
            assert_non_null(fgets(line, sizeof(line), file));
            if (strncmp(line, want, strlen(want)) != 0)
                fail_msg("%s in PROTOCOL.md: has %s instead of %s", layout->name, line, want);
        }
        assert_non_null(fgets(line, sizeof(line), file));
        if (line[0] == '|')
            fail_msg("%s in PROTOCOL.md has a field too many: %s", layout->name, line);
    }
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
