#include "protocol/base/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"

void option_reader_init(struct option_reader *reader, const struct option *table, int argc, char **argv, int first)
{
    *reader = (struct option_reader){.table = table, .argc = argc, .argv = argv, .at = first};
}

/* Whether one of the names in "p|port" is the len bytes at name. */
static int has_name(const struct option *option, const char *name, size_t len)
{
    const char *spot = option->name;

    for (;;) {
        size_t step = strcspn(spot, "|");
        if (step == len && memcmp(spot, name, len) == 0)
            return 1;
        if (spot[step] == '\0')
            return 0;
        spot += step + 1;
    }
}

static int find_row(const struct option *table, const char *name, size_t len)
{
    for (int row = 0; table[row].name != NULL; row++) {
        if (has_name(&table[row], name, len))
            return row;
    }
    return -1;
}

int option_find(const struct option *table, const char *word)
{
    const char *name = word + strspn(word, "-");

    return find_row(table, name, strcspn(name, "="));
}

/* The row of a one-letter option that is the whole word, repeated; -1 for none. */
static int find_repeated(const struct option *table, const char *name)
{
    if (strspn(name, (const char[]){name[0], '\0'}) != strlen(name))
        return -1;
    return find_row(table, name, 1);
}

/* Read the option in the word; name is behind its dashes. */
static int read_option(struct option_reader *reader, const char *word, const char *name, int *row, const char **value, struct error *error)
{
    size_t len = strcspn(name, "=");
    const struct option *option;

    *row = find_row(reader->table, name, len);
    if (*row < 0 && name[len] == '\0') {
        *row = find_repeated(reader->table, name);
        if (*row >= 0 && reader->table[*row].argument == NULL) {
            reader->repeat = (int)len - 1;
            reader->row = *row;
            return 0;
        }
        *row = -1;
    }
    if (*row < 0)
        return error_set(error, ERR_USAGE, "there is no option %.*s; --help tells which there are",
                         (int)(name + len - word), word);
    option = &reader->table[*row];
    if (option->argument == NULL)
        return name[len] == '\0' ? 0 : error_set(error, ERR_USAGE, "%.*s takes no value", (int)(name + len - word), word);
    if (name[len] == '=') {
        *value = name + len + 1;
    } else if (option->argument[0] == '[') {
        *value = NULL;
    } else if (reader->at < reader->argc) {
        *value = reader->argv[reader->at++];
    } else {
        return error_set(error, ERR_USAGE, "%s needs a value: %s", word, option->argument);
    }
    return 0;
}

int option_next(struct option_reader *reader, int *row, const char **value, struct error *error)
{
    const char *word;

    *value = NULL;
    if (reader->repeat > 0) {
        reader->repeat--;
        *row = reader->row;
        return 0;
    }
    if (reader->at >= reader->argc) {
        *row = OPTION_END;
        return 0;
    }
    word = reader->argv[reader->at++];
    if (!reader->ended && strcmp(word, "--") == 0) {
        reader->ended = 1;
        return option_next(reader, row, value, error);
    }
    if (reader->ended || word[0] != '-' || word[1] == '\0') {
        *row = OPTION_ARGUMENT;
        *value = word;
        return 0;
    }
    return read_option(reader, word, word + (word[1] == '-' ? 2 : 1), row, value, error);
}

int option_reader_ended(const struct option_reader *reader)
{
    return reader->ended;
}

/* "--exe PATH" or "-p|--port PORT", as it stands in the help. */
static void format_names(const struct option *option, char *out, size_t out_size)
{
    const char *spot = option->name;
    size_t used = 0;

    out[0] = '\0';
    while (used < out_size) {
        size_t len = strcspn(spot, "|");
        used += (size_t)snprintf(out + used, out_size - used, "%s%.*s", len == 1 ? "-" : "--", (int)len, spot);
        if (spot[len] == '\0')
            break;
        used += (size_t)snprintf(out + used, used < out_size ? out_size - used : 0, "|");
        spot += len + 1;
    }
    if (option->argument != NULL && used < out_size)
        snprintf(out + used, out_size - used, "%s%s", option->argument[0] == '[' ? "" : " ", option->argument);
}

void option_print_help(const struct option *table, FILE *out)
{
    char names[80];

    for (; table->name != NULL; table++) {
        const char *line = table->help;
        format_names(table, names, sizeof(names));
        fprintf(out, "  %-24s", names);
        if (strlen(names) > 23)
            fprintf(out, "\n%26s", "");
        for (;;) {
            size_t len = strcspn(line, "\n");
            fprintf(out, "%.*s\n", (int)len, line);
            if (line[len] == '\0')
                break;
            fprintf(out, "%26s", "");
            line += len + 1;
        }
    }
}

int option_number(const char *name, const char *value, long min, long max, long *number, struct error *error)
{
    char *end;

    errno = 0;
    *number = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || *number < min || *number > max)
        return error_set(error, ERR_USAGE, "--%s: \"%s\" is not a whole number from %ld to %ld", name, value, min, max);
    return 0;
}

int option_duration(const char *name, const char *value, unsigned long long *milliseconds, struct error *error)
{
    static const struct {
        const char *unit;
        double milliseconds;
    } units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}, {"h", 3600000}};
    char *end;
    double number = strtod(value, &end);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (end != value && strcmp(end, units[i].unit) == 0 && number >= 0 && number * units[i].milliseconds < 1e12) {
            *milliseconds = (unsigned long long)(number * units[i].milliseconds);
            return 0;
        }
    }
    return error_set(error, ERR_USAGE, "--%s: \"%s\" is not a duration: say 30, 30s, 250ms, 5m or 2h", name, value);
}
