#include "protocol/base/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "protocol/base/error.h"

int option_name(const struct option *option, int index, char out[OPTION_NAME_MAX])
{
    const char *spot = option->name;
    size_t len = strcspn(spot, "|");

    out[0] = '\0';
    for (; index > 0 && spot[len] != '\0'; index--) {
        spot += len + 1;
        len = strcspn(spot, "|");
    }
    if (index > 0)
        return 0;
    snprintf(out, OPTION_NAME_MAX, "%s%.*s", len == 1 ? "-" : "--", (int)len, spot);
    return 1;
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

/* The next of the command line. */
static int next_word(struct option_reader *reader, int *row, const char **value, struct error *error)
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
        return next_word(reader, row, value, error);
    }
    if (reader->ended || word[0] != '-' || word[1] == '\0') {
        *row = OPTION_ARGUMENT;
        *value = word;
        return 0;
    }
    return read_option(reader, word, word + (word[1] == '-' ? 2 : 1), row, value, error);
}

/* ---- the environment and the defaults ---- */

void option_variable(const char *program, const struct option *option, char out[OPTION_VARIABLE_MAX])
{
    const char *name = option->name;
    size_t used;

    out[0] = '\0';
    if (option->flags & (OPTION_NO_VARIABLE | OPTION_ALONE))
        return;
    while (strcspn(name, "|") == 1 && name[1] == '|')
        name += 2;
    used = (size_t)snprintf(out, OPTION_VARIABLE_MAX, "%s_%.*s", program, (int)strcspn(name, "|"), name);
    assert(used < OPTION_VARIABLE_MAX);
    for (size_t i = 0; i < used; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* How often a variable says that an option without a value is given: -1 if it says neither yes nor no. */
static int read_count(const char *text, int counts)
{
    static const char *const yes[] = {"1", "yes", "true", "on"};
    static const char *const no[] = {"0", "no", "false", "off"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcasecmp(text, yes[i]) == 0)
            return 1;
        if (strcasecmp(text, no[i]) == 0)
            return 0;
    }
    return counts && text[0] >= '2' && text[0] <= '9' && text[1] == '\0' ? text[0] - '0' : -1;
}

/* A word of a variable, to live as long as the process does, as the words of the command line and the environment do. */
static const char *keep_word(const char *text, size_t len)
{
    static struct kept {
        struct kept *next;
        char text[];
    } *all;
    struct kept *kept = calloc(1, sizeof(*kept) + len + 1);

    if (kept == NULL)
        return NULL;
    memcpy(kept->text, text, len);
    kept->next = all;
    all = kept;
    return kept->text;
}

/* The next of the words that a variable holds. */
static int next_of_words(struct option_reader *reader, const char **value, struct error *error)
{
    static const char space[] = " \t\n";
    size_t len = strcspn(reader->words, space);

    *value = keep_word(reader->words, len);
    reader->words += len + strspn(reader->words + len, space);
    if (reader->words[0] == '\0')
        reader->words = NULL;
    return *value != NULL ? 0 : error_set(error, ERR_INTERNAL, "out of memory");
}

/* Read the row from its variable, whose text is not empty. *found tells whether it says anything. */
static int read_variable(struct option_reader *reader, int row, const char *variable, const char *text, int *found,
                         const char **value, struct error *error)
{
    const struct option *option = &reader->table[row];
    int count;

    reader->source = OPTION_BY_ENVIRONMENT;
    *found = 1;
    if (option->argument != NULL && option->flags & OPTION_REPEATS) {
        reader->words = text + strspn(text, " \t\n");
        *found = reader->words[0] != '\0';
        if (*found)
            return next_of_words(reader, value, error);
        reader->words = NULL;
        return 0;
    }
    count = read_count(text, option->flags & OPTION_REPEATS);
    *value = option->argument != NULL && (option->argument[0] != '[' || count < 0) ? text : NULL;
    if (*value != NULL)
        return 0;
    if (count < 0)
        return error_set(error, ERR_USAGE, "%s: \"%s\" is neither %s; say 1 or 0, or leave it empty", variable, text,
                         option->flags & OPTION_REPEATS ? "yes, no nor a number up to 9" : "yes nor no");
    *found = count > 0;
    reader->repeat = count - 1;
    return 0;
}

/* The next of what the command line does not have. *row is OPTION_END where there is no more. */
static int next_below(struct option_reader *reader, int *row, const char **value, struct error *error)
{
    char variable[OPTION_VARIABLE_MAX];
    const char *text;
    int found = 0;

    *row = reader->row;
    *value = NULL;
    if (reader->words != NULL)
        return next_of_words(reader, value, error);
    if (reader->repeat > 0) {
        reader->repeat--;
        return 0;
    }
    for (; reader->table[reader->below].name != NULL; reader->below++) {
        const struct option *option = &reader->table[reader->below];
        int rc = 0;
        if (reader->given[reader->below / 64] & UINT64_C(1) << reader->below % 64)
            continue;
        option_variable(reader->program, option, variable);
        text = variable[0] != '\0' ? getenv(variable) : NULL;
        if (text != NULL && text[0] != '\0') {
            rc = read_variable(reader, reader->below, variable, text, &found, value, error);
        } else if (option->default_value != NULL) {
            reader->source = OPTION_BY_DEFAULT;
            *value = option->default_value;
            found = 1;
        }
        if (rc != 0 || found) {
            *row = reader->row = reader->below++;
            return rc;
        }
    }
    *row = OPTION_END;
    return 0;
}

/* Note which rows the command line has. What is wrong with it comes out when it is read. */
static void scan(struct option_reader *reader)
{
    struct option_reader ahead = *reader;
    const char *value;
    int row = 0;

    ahead.program = NULL;
    while (next_word(&ahead, &row, &value, NULL) == 0 && row != OPTION_END) {
        if (row == OPTION_ARGUMENT)
            continue;
        reader->given[row / 64] |= UINT64_C(1) << row % 64;
        if (reader->table[row].flags & OPTION_ALONE)
            reader->program = NULL;
    }
}

void option_reader_init(struct option_reader *reader, const struct option *table, const char *program, int argc, char **argv, int first)
{
    *reader = (struct option_reader){.table = table, .program = program, .argc = argc, .argv = argv, .at = first};
    for (int rows = 0; table[rows].name != NULL; rows++)
        assert(rows < OPTION_ROWS_MAX);
    if (program != NULL)
        scan(reader);
}

int option_next(struct option_reader *reader, int *row, const char **value, struct error *error)
{
    int rc;

    if (reader->program != NULL) {
        rc = next_below(reader, row, value, error);
        if (rc != 0 || *row != OPTION_END)
            return rc;
        reader->program = NULL;
    }
    reader->source = OPTION_BY_COMMAND_LINE;
    return next_word(reader, row, value, error);
}

enum option_source option_source(const struct option_reader *reader)
{
    return reader->source;
}

int option_blame(const struct option_reader *reader, int row, struct error *error)
{
    char variable[OPTION_VARIABLE_MAX];

    if (error == NULL || row < 0 || reader->source != OPTION_BY_ENVIRONMENT)
        return error != NULL ? error->code : 0;
    option_variable(reader->program, &reader->table[row], variable);
    return error_wrap(error, "%s", variable);
}

int option_reader_ended(const struct option_reader *reader)
{
    return reader->ended;
}

/* ---- values ---- */

int option_number(const char *name, const char *value, long min, long max, long *number, struct error *error)
{
    char *end;

    errno = 0;
    *number = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || *number < min || *number > max)
        return error_set(error, ERR_USAGE, "--%s: \"%s\" is not a whole number from %ld to %ld", name, value, min, max);
    return 0;
}

int option_rate(const char *name, const char *value, uint64_t *bytes_per_second, struct error *error)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"", 1024}, {"b", 1}, {"k", 1024}, {"kib", 1024}, {"kb", 1e3}, {"m", 1048576}, {"mib", 1048576},
                 {"mb", 1e6}, {"g", 1073741824}, {"gib", 1073741824}, {"gb", 1e9}};
    char *end;
    double number = strtod(value, &end);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        double bytes = number * units[i].bytes;
        if (end == value || strcasecmp(end, units[i].unit) != 0 || !(bytes == 0 || bytes >= 512) || bytes > 1e15)
            continue;
        *bytes_per_second = (uint64_t)bytes;
        return 0;
    }
    return error_set(error, ERR_USAGE, "--%s: \"%s\" is not a rate of at least 512 bytes: say 500 (KiB a second), 1.5M, 2MB or 0 for none",
                     name, value);
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
