/*
 * completion: what a shell needs to complete a program's command lines, printed from the same tables that read them.
 *
 * The scripts need nothing but the shell: bash 4 and later (bash-completion, where it is there, completes a job's own words),
 * zsh's compsys, fish 3.
 */
#ifndef LOCKSTEP_BASE_COMPLETION_H
#define LOCKSTEP_BASE_COMPLETION_H

#include <stddef.h>
#include <stdio.h>

struct error;
struct option;

struct completion_command {
    const char *name;             /* "" for the form without a command */
    const char *summary;          /* half a sentence */
    const char *words;            /* what its first argument can be, "a|b|c"; NULL: a file */
    int takes_job;                /* another program's command line follows "--" */
    const struct option *options; /* ends with a row without a name */
};

struct completion {
    const char *program;
    const struct completion_command *commands; /* one of them may be the form without a command */
    size_t count;
};

/* The shells, "bash|zsh|fish", as a row of a command table has its words. */
#define COMPLETION_SHELLS "bash|zsh|fish"

/* Print the script for that shell. ERR_USAGE where it is none of the three. */
int completion_print(const struct completion *completion, const char *shell, FILE *out, struct error *error);

#endif
