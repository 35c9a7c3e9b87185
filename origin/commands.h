/* commands: what lockstep-origin does, what it is called in the help, and its options. */
#ifndef LOCKSTEP_ORIGIN_COMMANDS_H
#define LOCKSTEP_ORIGIN_COMMANDS_H

#include "protocol/base/options.h"

struct error;

/* Whose variables the settings come from: LOCKSTEP_ORIGIN_…. */
#define ORIGIN_PROGRAM "lockstep-origin"

/* These take the words behind their own name, and return the exit status. */
int command_stdio(int argc, char **argv);  /* one conversation over stdin and stdout */
int command_serve(int argc, char **argv);  /* the daemon */
int command_keygen(int argc, char **argv); /* certificates */
int command_token(int argc, char **argv);  /* a token and its hash */
int command_completion(int argc, char **argv);
int command_config(int argc, char **argv); /* the settings in force, and where each comes from */

/* Their options; each ends with a row without a name. */
extern const struct option stdio_options[];
extern const struct option serve_options[];
extern const struct option keygen_options[];
extern const struct option token_options[];
extern const struct option config_options[];
extern const struct option completion_options[];

/* Read the same words and the environment, and do nothing: ERR_USAGE where the command would not start. */
int check_stdio(int argc, char **argv, struct error *error);
int check_serve(int argc, char **argv, struct error *error);
int check_keygen(int argc, char **argv, struct error *error);

struct origin_command {
    const char *name; /* NULL for the form without a command, --stdio, which is the last row */
    int (*run)(int argc, char **argv);
    const struct option *options;
    int (*check)(int argc, char **argv, struct error *error); /* NULL: config shows nothing of it */
    const char *synopsis;
    const char *summary; /* half a sentence */
    const char *words;   /* what its first argument can be, "a|b|c"; NULL: anything */
};

/* Ends with the row of --stdio. */
extern const struct origin_command origin_commands[];

/* The row of that name, else the row of --stdio. */
const struct origin_command *origin_command_find(const char *name);

#endif
