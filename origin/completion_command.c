/* `lockstep-origin completion bash|zsh|fish`. */
#include "origin/commands.h"

#include <stdio.h>

#include "protocol/base/completion.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/base/option_text.h"

#define COMMANDS_MAX 16

const struct option completion_options[] = {
    {"h|help|?", NULL, "print this", NULL, OPTION_ALONE},
    {NULL, NULL, NULL, NULL, 0},
};

static int print_script(const char *shell, struct error *error)
{
    struct completion_command commands[COMMANDS_MAX];
    struct completion completion = {.program = ORIGIN_PROGRAM, .commands = commands};

    for (const struct origin_command *row = origin_commands; completion.count < COMMANDS_MAX; row++) {
        commands[completion.count++] = (struct completion_command){.name = row->name != NULL ? row->name : "",
                                                                   .summary = row->summary,
                                                                   .words = row->words,
                                                                   .options = row->options};
        if (row->name == NULL)
            break;
    }
    return completion_print(&completion, shell, stdout, error);
}

int command_completion(int argc, char **argv)
{
    const struct origin_command *row = origin_command_find("completion");
    struct error error = {0};
    int rc;

    log_setup(LOG_WARNING, ORIGIN_PROGRAM, 0);
    if (argc == 1 && argv[0][0] == '-' && option_find(completion_options, argv[0]) == 0) {
        printf(ORIGIN_PROGRAM " %s\n\n%s.\n\n", row->synopsis, row->summary);
        option_print_help(completion_options, ORIGIN_PROGRAM, stdout);
        return 0;
    }
    rc = argc == 1 ? print_script(argv[0], &error) : error_set(&error, ERR_USAGE, "for which shell? say: " ORIGIN_PROGRAM " %s", row->synopsis);
    if (rc != 0)
        log_line(LOG_ERROR, "%s", error.text);
    return error_exit_status(rc);
}
