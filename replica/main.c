/* lockstep: moves SQLite databases between an origin and replicas. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "replica/command_table.h"
#include "replica/commands.h"
#include "replica/report.h"
#include "replica/settings.h"

static const char sync_usage[] = "ORIGIN REPLICA [OPTIONS]\n"
                                 "\n"
                                 "Makes REPLICA a copy of ORIGIN, as sqlite3_rsync does. One is a path on this machine,\n"
                                 "the other another one or HOST:PATH, USER@HOST:PATH, ssh://[USER@]HOST[:PORT]/PATH.\n"
                                 "\n";

static void print_help(const char *program, int is_sqlite3_rsync, FILE *out)
{
    if (!is_sqlite3_rsync) {
        fprintf(out, "lockstep: rsync for live SQLite databases, with a lock that says who may push\n\n");
        for (const struct command_row *row = command_table; row->name != NULL; row++)
            fprintf(out, "  %s %s\n      %s; `%s %s --help` tells more\n", program, row->synopsis, row->summary, program, row->name);
        fprintf(out, "\nor, in the form of sqlite3_rsync:\n\n  ");
    }
    fprintf(out, "%s %s", program, sync_usage);
    settings_print_help(COMMAND_SYNC, out);
}

/* Whether the words of a command line that begins with no command can be ORIGIN REPLICA, or are a command that went wrong. */
static int check_command(const struct settings *settings, struct error *error)
{
    const char *word = settings->arguments[0];

    if (settings->argument_count == 0)
        return error_set(error, ERR_USAGE, "there is no command; --help tells which there are");
    if (command_find(word) != NULL)
        return error_set(error, ERR_USAGE, "the command comes first: lockstep %s", command_find(word)->synopsis);
    if (settings->argument_count != 2)
        return error_set(error, ERR_USAGE,
                         "there is no command %s, and without one it is two words: lockstep ORIGIN REPLICA; --help tells more",
                         word);
    return 0;
}

/* Read the rest of the command line and do it; row NULL is the sqlite3_rsync form. */
static int execute(const struct command_row *row, const char *program, int is_sqlite3_rsync, int argc, char **argv)
{
    enum command command = row != NULL ? row->command : COMMAND_SYNC;
    struct settings settings;
    struct error error = {0};

    int rc = settings_read(&settings, command, argc, argv, row != NULL ? 2 : 1, &error);

    if (rc == 0 && command == COMMAND_SYNC && !is_sqlite3_rsync && !settings.help && !settings.version)
        rc = check_command(&settings, &error);
    if (rc != 0)
        return report_error(&settings, &error);
    log_setup(settings.quiet ? LOG_WARNING : settings.verbose > 1 ? LOG_DEBUG : LOG_INFO, program, 0);
    if (settings.version) {
        printf("%s %s\n", is_sqlite3_rsync ? "sqlite3_rsync (lockstep)" : program, LOCKSTEP_VERSION);
        return 0;
    }
    if (settings.help && row != NULL) {
        printf("lockstep %s\n\n%s.\n\n", row->synopsis, row->summary);
        settings_print_help(command, stdout);
        return 0;
    }
    if (settings.help) {
        print_help(program, is_sqlite3_rsync, stdout);
        return 0;
    }
    return row != NULL ? row->run(&settings) : command_sync(&settings);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argc > 0 ? argv[0] : "lockstep", '/');
    const char *program = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "lockstep";
    int is_sqlite3_rsync = strcmp(program, "sqlite3_rsync") == 0;
    const struct command_row *row;

    log_setup(LOG_INFO, program, 0);
    /* A file that may not grow is an error of the write, to be told and undone, as a full disk is. */
    signal(SIGXFSZ, SIG_IGN);
    if (argc < 2) {
        print_help(program, is_sqlite3_rsync, stderr);
        return error_exit_status(ERR_USAGE);
    }
    row = is_sqlite3_rsync ? NULL : command_find(argv[1]);
    return row != NULL && row->run_raw != NULL ? row->run_raw(argc, argv) : execute(row, program, is_sqlite3_rsync, argc, argv);
}
