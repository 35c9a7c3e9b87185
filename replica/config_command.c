/* `lockstep config [COMMAND [OPTIONS]]`: the settings that a command line has, put behind "config", and where each comes from. */
#include "replica/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lockstore/s3_variables.h"
#include "protocol/base/error.h"
#include "protocol/base/instance.h"
#include "protocol/base/log.h"
#include "protocol/base/option_text.h"
#include "protocol/base/options.h"
#include "replica/command_table.h"
#include "replica/report.h"
#include "replica/settings.h"

#define FACTS_MAX (S3_VARIABLES_MAX + 1)

/* What the table does not know: who this is by default, and what the lock store is told. Returns the number of facts. */
static size_t gather_facts(int has_lock, char instance[INSTANCE_MAX + 1], struct option_fact facts[FACTS_MAX])
{
    const char *variable = instance_default(instance);
    size_t count = 0;

    facts[count++] = (struct option_fact){"instance", instance, variable, 0};
    for (const struct s3_variable *row = s3_variables; has_lock && row->name != NULL; row++) {
        const char *value = getenv(row->name);
        if (value != NULL && value[0] != '\0')
            facts[count++] = (struct option_fact){row->name, value, row->name, row->is_secret};
    }
    return count;
}

static int print_help(void)
{
    printf("lockstep %s\n\n%s: put `config` before the command line in question.\n\n", command_find("config")->synopsis,
           command_find("config")->summary);
    settings_print_help(COMMAND_CONFIG, stdout);
    return 0;
}

int command_config(int argc, char **argv)
{
    /* What `run` tells its job, and what the lock store and the other program are told. */
    static const char *const others[] = {"LOCKSTEP_DB", "LOCKSTEP_VERSION", "LOCKSTEP_TOKEN", "LOCKSTEP_S3_ADDRESSING", "LOCKSTEP_ORIGIN_*", NULL};
    const struct command_row *row = argc > 2 ? command_find(argv[2]) : NULL;
    int is_all = row == NULL || row->run == NULL;
    enum command command = is_all ? COMMAND_EVERY : row->command;
    int first = row != NULL ? 3 : 2;
    struct option table[OPTION_ROWS_MAX + 1];
    struct option every[OPTION_ROWS_MAX + 1];
    const struct option *const tables[] = {every, NULL};
    struct option_fact facts[FACTS_MAX];
    struct option_config config = {.table = table,
                                   .program = SETTINGS_PROGRAM,
                                   .command = is_all ? NULL : row->name,
                                   .argc = argc,
                                   .argv = argv,
                                   .first = first,
                                   .facts = facts,
                                   .tables = tables,
                                   .others = others};
    struct settings settings;
    struct error error = {0};
    char instance[INSTANCE_MAX + 1];
    int rc = settings_read(&settings, command, argc, argv, first, &error);

    if (rc == 0 && settings.help)
        return print_help();
    if (rc == 0 && is_all && settings.argument_count > 0)
        rc = error_set(&error, ERR_USAGE, "there is no command %s; --help tells which there are", settings.arguments[0]);
    if (rc != 0)
        return report_error(&settings, &error);
    settings_table(command, table);
    settings_table(COMMAND_EVERY, every);
    config.json = settings.json;
    config.fact_count = gather_facts(command & (COMMAND_RUN | COMMAND_LOCK), instance, facts);
    option_print_config(&config, stdout);
    return 0;
}
