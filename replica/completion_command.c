/* `lockstep completion bash|zsh|fish`. */
#include "replica/commands.h"

#include <stdio.h>

#include "protocol/base/completion.h"
#include "protocol/base/error.h"
#include "protocol/base/options.h"
#include "replica/command_table.h"
#include "replica/report.h"
#include "replica/settings.h"

#define COMMANDS_MAX 32

/* config's first word is a command. The names, with "|" between them. */
static void list_commands(char *out, size_t out_size)
{
    size_t used = 0;

    for (const struct command_row *row = command_table; row->name != NULL && used < out_size; row++) {
        if (row->run != NULL)
            used += (size_t)snprintf(out + used, out_size - used, "%s%s", used > 0 ? "|" : "", row->name);
    }
}

static int print_script(const char *shell, struct error *error)
{
    static struct option tables[COMMANDS_MAX][OPTION_ROWS_MAX + 1];
    struct completion_command commands[COMMANDS_MAX];
    struct completion completion = {.program = SETTINGS_PROGRAM, .commands = commands};
    char names[500] = "";

    list_commands(names, sizeof(names));
    for (const struct command_row *row = command_table; row->name != NULL && completion.count < COMMANDS_MAX - 1; row++) {
        struct option *table = tables[completion.count];
        settings_table(row->command == COMMAND_CONFIG ? (unsigned)COMMAND_EVERY : row->command, table);
        commands[completion.count++] = (struct completion_command){.name = row->name,
                                                                   .summary = row->summary,
                                                                   .words = row->command == COMMAND_CONFIG ? names : row->words,
                                                                   .takes_job = row->command == COMMAND_RUN,
                                                                   .options = table};
    }
    settings_table(COMMAND_SYNC, tables[completion.count]);
    commands[completion.count] = (struct completion_command){.name = "", .summary = "", .options = tables[completion.count]};
    completion.count++;
    return completion_print(&completion, shell, stdout, error);
}

int command_completion(int argc, char **argv)
{
    const struct command_row *row = command_find("completion");
    struct settings settings;
    struct error error = {0};
    int rc = settings_read(&settings, COMMAND_COMPLETION, argc, argv, 2, &error);

    if (rc == 0 && settings.help) {
        printf("lockstep %s\n\n%s.\n\n", row->synopsis, row->summary);
        settings_print_help(COMMAND_COMPLETION, stdout);
        return 0;
    }
    if (rc == 0 && settings.argument_count != 1)
        rc = error_set(&error, ERR_USAGE, "for which shell? say: lockstep %s", row->synopsis);
    if (rc == 0)
        rc = print_script(settings.arguments[0], &error);
    return rc != 0 ? report_error(&settings, &error) : 0;
}
