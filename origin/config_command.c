/* `lockstep-origin config [COMMAND] [OPTIONS]`: the settings that a command line has, put behind "config". */
#include "origin/commands.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/base/option_text.h"
#include "protocol/base/options.h"

#define WORDS_MAX 1000

enum { JSON, HELP };

/* It has the options of the command that it shows, too. */
const struct option config_options[] = {
    [JSON] = {"json", NULL, "print one JSON object", NULL, OPTION_NO_VARIABLE},
    [HELP] = {"h|help|?", NULL, "print this", NULL, OPTION_ALONE},
    {NULL, NULL, NULL, NULL, 0},
};

/* Take config's own options out of the words. Returns how many words are left of the argc. */
static int take_own(int argc, char **argv, char **words, int *json, int *help)
{
    int count = 0;

    *json = *help = 0;
    for (int i = 0; i < argc && count < WORDS_MAX; i++) {
        int row = argv[i][0] == '-' ? option_find(config_options, argv[i]) : -1;
        if (row < 0)
            words[count++] = argv[i];
        *json |= row == JSON;
        *help |= row == HELP;
    }
    return count;
}

int command_config(int argc, char **argv)
{
    static const struct option *const tables[] = {stdio_options, serve_options, keygen_options, NULL};
    static const char *const others[] = {NULL};
    const struct origin_command *row = origin_command_find(argc > 0 ? argv[0] : NULL);
    char *words[WORDS_MAX];
    struct option_config config = {
        .table = row->options, .program = ORIGIN_PROGRAM, .command = row->name, .argv = words, .tables = tables, .others = others};
    struct error error = {0};
    int help;
    int rc;

    log_setup(LOG_WARNING, ORIGIN_PROGRAM, 0);
    config.argc = take_own(argc, argv, words, &config.json, &help);
    if (help) {
        printf(ORIGIN_PROGRAM " %s\n\n%s: put `config` before the command line in question.\n\n", origin_command_find("config")->synopsis,
               origin_command_find("config")->summary);
        option_print_help(config_options, ORIGIN_PROGRAM, stdout);
        return 0;
    }
    config.first = row->name != NULL;
    if (row->check == NULL) {
        error_set(&error, ERR_USAGE, "%s has no settings; say " ORIGIN_PROGRAM " config serve, or keygen", row->name);
        log_line(LOG_ERROR, "%s", error.text);
        return error_exit_status(error.code);
    }
    option_print_config(&config, stdout);
    /* What the command itself would say of all this. */
    rc = row->check(config.argc - config.first, words + config.first, &error);
    if (rc != 0)
        log_line(LOG_ERROR, "%s", error.text);
    return error_exit_status(rc);
}
