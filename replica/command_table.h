/* command_table: the commands of lockstep, what --help, config and the completions say of them, and how they are started. */
#ifndef LOCKSTEP_REPLICA_COMMAND_TABLE_H
#define LOCKSTEP_REPLICA_COMMAND_TABLE_H

#include "replica/settings.h"

struct command_row {
    const char *name;
    enum command command;
    int (*run)(const struct settings *settings);        /* returns the exit status */
    int (*run_raw)(int argc, char **argv);              /* instead of run: it reads its command line, argv[2] on, itself */
    const char *synopsis;                               /* with the name in front */
    const char *summary;                                /* half a sentence: "lock, pull, …" */
    const char *words;                                  /* what its first argument can be, "a|b|c"; NULL: anything */
};

/* Ends with a row without a name. */
extern const struct command_row command_table[];

/* The row of that name; NULL: there is none. */
const struct command_row *command_find(const char *name);

#endif
