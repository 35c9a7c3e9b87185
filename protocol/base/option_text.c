#include "protocol/base/option_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/escape.h"
#include "protocol/base/options.h"

#define MASK       "********"
#define SEPARATOR  "\x1f"
#define VALUES_MAX 8192

/* ---- the help ---- */

/* "--exe PATH" or "-p|--port PORT", as it stands in the help. */
static void format_names(const struct option *option, char *out, size_t out_size)
{
    char name[OPTION_NAME_MAX];
    size_t used = 0;

    for (int i = 0; option_name(option, i, name) && used < out_size; i++)
        used += (size_t)snprintf(out + used, out_size - used, "%s%s", i > 0 ? "|" : "", name);
    if (option->argument != NULL && used < out_size)
        snprintf(out + used, out_size - used, "%s%s", option->argument[0] == '[' ? "" : " ", option->argument);
}

void option_print_help(const struct option *table, const char *program, FILE *out)
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
            fprintf(out, "%.*s", (int)len, line);
            if (line[len] == '\0')
                break;
            fprintf(out, "\n%26s", "");
            line += len + 1;
        }
        if (table->argument != NULL && table->flags & OPTION_REPEATS)
            fputs("; may be repeated", out);
        if (table->default_value != NULL)
            fprintf(out, "; default %s", table->default_value);
        putc('\n', out);
    }
    fputs("\nEach is also taken from the environment: ", out);
    for (const char *spot = program; *spot != '\0'; spot++)
        putc(*spot == '-' ? '_' : toupper((unsigned char)*spot), out);
    fprintf(out, "_, its long name in capitals, _ for -. `%s config` shows what is in force.\n", program);
}

/* ---- the settings in force ---- */

static const char *const source_names[] = {"default", "environment", "command line"};

static void print_json_string(const char *text, FILE *out)
{
    char escaped[6 * VALUES_MAX + 1];

    escape_text(ESCAPE_JSON, text, strlen(text), escaped, sizeof(escaped));
    fprintf(out, "\"%s\"", escaped);
}

/* One setting as it is printed: the values, joined, and where they came from. */
struct setting {
    const char *name;
    char values[VALUES_MAX]; /* separated by SEPARATOR */
    int count;         /* of values, or how often an option without one was given */
    enum option_source source;
    char variable[OPTION_VARIABLE_MAX];
};

static void add_value(struct setting *setting, const char *value, int is_secret)
{
    size_t used = strlen(setting->values);

    snprintf(setting->values + used, sizeof(setting->values) - used, "%s%s", setting->count > 0 ? SEPARATOR : "", is_secret ? MASK : value);
    setting->count++;
}

/* Read all that there is for one row. */
static void find_setting(const struct option_config *config, int row, struct setting *setting)
{
    const struct option *option = &config->table[row];
    struct option_reader reader;
    const char *value = NULL;
    int at = OPTION_END;

    *setting = (struct setting){.name = option->name};
    while (strcspn(setting->name, "|") == 1 && setting->name[1] == '|')
        setting->name += 2;
    option_reader_init(&reader, config->table, config->program, config->argc, config->argv, config->first);
    while (option_next(&reader, &at, &value, NULL) == 0 && at != OPTION_END) {
        if (at != row)
            continue;
        if (option->argument != NULL && !(option->flags & OPTION_REPEATS)) {
            setting->count = 0;
            setting->values[0] = '\0';
        }
        if (option->argument != NULL)
            add_value(setting, value != NULL ? value : "yes", (option->flags & OPTION_SECRET) != 0);
        else
            setting->count++;
        setting->source = option_source(&reader);
    }
    if (setting->source == OPTION_BY_ENVIRONMENT)
        option_variable(config->program, option, setting->variable);
    for (size_t i = 0; setting->count == 0 && i < config->fact_count; i++) {
        const struct option_fact *fact = &config->facts[i];
        if (strcmp(fact->name, setting->name) == 0) {
            add_value(setting, fact->value, fact->is_secret);
            snprintf(setting->variable, sizeof(setting->variable), "%s", fact->variable != NULL ? fact->variable : "");
            setting->source = fact->variable != NULL ? OPTION_BY_ENVIRONMENT : OPTION_BY_DEFAULT;
        }
    }
}

static void print_json_values(const struct setting *setting, int is_list, FILE *out)
{
    char values[sizeof(setting->values)];
    char *rest = values;

    memcpy(values, setting->values, sizeof(values));
    if (is_list)
        putc('[', out);
    for (const char *value = strsep(&rest, SEPARATOR); value != NULL; value = strsep(&rest, SEPARATOR)) {
        print_json_string(value, out);
        if (rest != NULL)
            putc(',', out);
    }
    if (is_list)
        putc(']', out);
}

/* option: NULL for a variable that is no option's. */
static void print_setting(const struct option_config *config, const struct option *option, struct setting *setting, FILE *out)
{
    int is_flag = option != NULL && option->argument == NULL;
    const char *source = source_names[setting->source];

    if (config->json) {
        fputs("{\"name\":", out);
        print_json_string(setting->name, out);
        fputs(",\"value\":", out);
        if (is_flag)
            fprintf(out, "%d", setting->count);
        else if (setting->count == 0)
            fputs("null", out);
        else
            print_json_values(setting, option != NULL && option->flags & OPTION_REPEATS, out);
        fprintf(out, ",\"source\":\"%s\",\"variable\":", source);
        if (setting->variable[0] != '\0')
            print_json_string(setting->variable, out);
        else
            fputs("null", out);
        putc('}', out);
        return;
    }
    if (is_flag)
        snprintf(setting->values, sizeof(setting->values), setting->count > 1 ? "%d times" : setting->count > 0 ? "yes" : "no", setting->count);
    for (char *spot = strchr(setting->values, SEPARATOR[0]); spot != NULL; spot = strchr(spot, SEPARATOR[0]))
        *spot = ' ';
    fprintf(out, "%-24s  %-30s  %s%s%s\n", setting->name, setting->count > 0 || is_flag ? setting->values : "-",
            setting->count > 0 || is_flag ? source : "", setting->variable[0] != '\0' ? " " : "", setting->variable);
}

/* Whether a variable, of name_len bytes, is one that some table or the list of the others has. */
static int is_known(const struct option_config *config, const char *name, size_t name_len)
{
    char variable[OPTION_VARIABLE_MAX];

    for (const struct option *const *table = config->tables; *table != NULL; table++) {
        for (const struct option *option = *table; option->name != NULL; option++) {
            option_variable(config->program, option, variable);
            if (strlen(variable) == name_len && memcmp(variable, name, name_len) == 0)
                return 1;
        }
    }
    for (const char *const *other = config->others; *other != NULL; other++) {
        size_t len = strcspn(*other, "*");
        if (len <= name_len && memcmp(*other, name, len) == 0 && ((*other)[len] == '*' || len == name_len))
            return 1;
    }
    return 0;
}

/* The variables that begin as ours do and do nothing. */
static void print_ignored(const struct option_config *config, FILE *out)
{
    static const struct option any = {"", NULL, NULL, NULL, 0};
    char prefix[OPTION_VARIABLE_MAX];
    char name[200];
    int count = 0;

    option_variable(config->program, &any, prefix);
    for (char **entry = environ; *entry != NULL; entry++) {
        size_t len = strcspn(*entry, "=");
        if (strncmp(*entry, prefix, strlen(prefix)) != 0 || len >= sizeof(name) || is_known(config, *entry, len))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)len, *entry);
        if (config->json && count > 0)
            putc(',', out);
        if (config->json)
            print_json_string(name, out);
        else
            fprintf(out, "%s%s is ignored: no option has this variable\n", count == 0 ? "\n" : "", name);
        count++;
    }
}

void option_print_config(const struct option_config *config, FILE *out)
{
    struct setting setting;
    int printed = 0;

    if (config->json) {
        fputs("{\"v\":1,\"kind\":\"config\",\"command\":", out);
        if (config->command != NULL)
            print_json_string(config->command, out);
        else
            fputs("null", out);
        fputs(",\"settings\":[", out);
    } else {
        fprintf(out, "%-24s  %-30s  %s\n", "SETTING", "VALUE", "FROM");
    }
    for (int row = 0; config->table[row].name != NULL; row++) {
        if (config->table[row].flags & OPTION_ALONE)
            continue;
        find_setting(config, row, &setting);
        if (config->json && printed++ > 0)
            putc(',', out);
        print_setting(config, &config->table[row], &setting, out);
    }
    for (size_t i = 0; i < config->fact_count; i++) {
        if (option_find(config->table, config->facts[i].name) >= 0 || config->facts[i].variable == NULL)
            continue;
        setting = (struct setting){.name = config->facts[i].name, .source = OPTION_BY_ENVIRONMENT};
        add_value(&setting, config->facts[i].value, config->facts[i].is_secret);
        snprintf(setting.variable, sizeof(setting.variable), "%s", config->facts[i].variable);
        if (config->json && printed++ > 0)
            putc(',', out);
        print_setting(config, NULL, &setting, out);
    }
    fputs(config->json ? "],\"ignored\":[" : "", out);
    print_ignored(config, out);
    fputs(config->json ? "]}\n" : "", out);
}
