/*
 * settings: what a command line of lockstep says, for all its commands: one table of options, each with the commands that take it.
 */
#ifndef LOCKSTEP_REPLICA_SETTINGS_H
#define LOCKSTEP_REPLICA_SETTINGS_H

#include <stdint.h>
#include <stdio.h>

#include "replica/connect.h"
#include "replica/greeting.h"
#include "replica/progress.h"

struct error;
struct option;

/* The commands, as bits of a set. */
enum command {
    COMMAND_PULL = 1,
    COMMAND_PUSH = 2,
    COMMAND_RUN = 4,
    COMMAND_STATUS = 8,
    COMMAND_VERIFY = 16,
    COMMAND_LOCK = 32,
    COMMAND_SYNC = 64, /* the sqlite3_rsync form */
    COMMAND_HISTORY = 128,
    COMMAND_DIFF = 256,
    COMMAND_RESOLVE = 512,
    COMMAND_CONFIG = 1 << 20, /* it has the options of the command that it shows */
    COMMAND_COMPLETION = 1 << 21,
    COMMAND_EVERY = (1 << 20) - 1
};

/* Whose variables the settings come from: LOCKSTEP_…, also under the name sqlite3_rsync. */
#define SETTINGS_PROGRAM "lockstep"

#define SETTINGS_ARGUMENTS_MAX 3

struct settings {
    enum command command;
    const char *arguments[SETTINGS_ARGUMENTS_MAX]; /* ORIGIN, LOCAL and so on */
    int argument_count;
    char **job;              /* run: COMMAND and its arguments, ends with NULL */
    struct connect_options connect;
    struct sync_options sync;
    const char *lock_url;    /* NULL: not given */
    uint64_t lock_wait_ms;
    uint64_t lock_timeout_ms;
    uint64_t kill_after_ms;
    uint64_t token;          /* lock release: whose */
    const char *lease_id;
    int verbose;             /* how many -v */
    int quiet;
    int json;
    int stats;
    int limit;               /* history: how many versions */
    int take_origin;         /* resolve: which way */
    int keep_local;
    uint64_t over;           /* resolve: only over this version; 0: over any */
    enum progress_mode progress;
    int progress_is_asked;   /* --progress */
    int help;
    int version;
};

/*
 * Read argv[first …], the environment and the defaults as the options and arguments of a command; who we are, if nothing says so, by
 * instance_default. ERR_USAGE. Strings point into argv and the environment.
 */
int settings_read(struct settings *settings, enum command command, int argc, char **argv, int first, struct error *error);

/* ERR_USAGE where text names a database of another machine, and must be a file of this one. */
int settings_check_local(const char *text, struct error *error);

/* The fence that --token and --lease tell, for a push inside somebody else's script that holds the lock; token 0 for none. ERR_USAGE. */
int settings_read_fence(const struct settings *settings, struct fence *fence, struct error *error);

/* The options of commands, a set. table has OPTION_ROWS_MAX + 1 rows and ends with one without a name. */
void settings_table(unsigned commands, struct option *table);

/* Print the options of a command. */
void settings_print_help(enum command command, FILE *out);

#endif
