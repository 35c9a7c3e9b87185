#include "replica/command_table.h"

#include <string.h>

#include "protocol/base/completion.h"
#include "replica/commands.h"

const struct command_row command_table[] = {
    {"run", COMMAND_RUN, command_run, NULL, "run [--lock URL] ORIGIN LOCAL -- COMMAND…",
     "lock, pull, run COMMAND on the local copy, push, release", NULL},
    {"pull", COMMAND_PULL, command_pull, NULL, "pull ORIGIN LOCAL", "make LOCAL a copy of the origin's database", NULL},
    {"push", COMMAND_PUSH, command_push, NULL, "push LOCAL ORIGIN", "bring the changes of LOCAL back to the origin", NULL},
    {"status", COMMAND_STATUS, command_status, NULL, "status ORIGIN LOCAL", "tell which side has changes", NULL},
    {"verify", COMMAND_VERIFY, command_verify, NULL, "verify ORIGIN LOCAL", "compare SHA-256 digests of both contents", NULL},
    {"diff", COMMAND_DIFF, command_diff, NULL, "diff ORIGIN LOCAL", "count the pages that differ, by table and index", NULL},
    {"resolve", COMMAND_RESOLVE, command_resolve, NULL, "resolve --take-origin|--keep-local ORIGIN LOCAL",
     "end a conflict: one side's content wins, the other's is kept beside LOCAL", NULL},
    {"history", COMMAND_HISTORY, command_history, NULL, "history ORIGIN", "list the versions: when, who, token, pages, bytes", NULL},
    {"lock", COMMAND_LOCK, command_lock, NULL, "lock show|acquire|release|break|doctor URL",
     "look at a lock, take it, give it back; examine a store", "show|acquire|release|break|doctor"},
    {"config", COMMAND_CONFIG, NULL, command_config, "config [COMMAND [OPTIONS]]",
     "show the settings of COMMAND, or of all, and where each comes from", NULL},
    {"completion", COMMAND_COMPLETION, NULL, command_completion, "completion " COMPLETION_SHELLS, "print what makes that shell complete command lines",
     COMPLETION_SHELLS},
    {NULL, 0, NULL, NULL, NULL, NULL, NULL},
};

const struct command_row *command_find(const char *name)
{
    for (const struct command_row *row = command_table; row->name != NULL; row++) {
        if (strcmp(row->name, name) == 0)
            return row;
    }
    return NULL;
}
