/*
 * option_text: a table of options as a person sees it: the help, and `config`, the settings in force and where each came from.
 */
#ifndef LOCKSTEP_BASE_OPTION_TEXT_H
#define LOCKSTEP_BASE_OPTION_TEXT_H

#include <stddef.h>
#include <stdio.h>

struct option;

/* Print the table, names in a column, help behind it, and below it the rule of the variables of program. */
void option_print_help(const struct option *table, const char *program, FILE *out);

/* A setting that `config` shows and the table cannot know: a default that is found out, a variable of another program's rule. */
struct option_fact {
    const char *name;     /* of the option whose default it is, or of a variable that is no option's */
    const char *value;
    const char *variable; /* where it came from; NULL: it is a default */
    int is_secret;
};

struct option_config {
    const struct option *table;
    const char *program;               /* whose variables */
    const char *command;               /* what the table belongs to; NULL: all of them */
    int argc;                          /* the command line, read from argv[first] on; it has been found good */
    char **argv;
    int first;
    int json;                          /* print one JSON object */
    const struct option_fact *facts;
    size_t fact_count;
    const struct option *const *tables; /* of all commands, whose variables are none to wonder about; ends with NULL */
    const char *const *others;          /* such variables that are no options, "X*" for all that begin so; ends with NULL */
};

/*
 * Print name, value and source of every option, secrets as "********", and which variables begin with the program's prefix and
 * are nobody's: mistyped ones. In JSON:
 * {"v": 1, "kind": "config", "command": …, "settings": [{"name", "value", "source": "default"|"environment"|"command line", "variable"}…], "ignored": […]},
 * value a string, a list of strings where the option may be repeated, a number (how often) where it takes no value, or null where
 * nothing was said.
 */
void option_print_config(const struct option_config *config, FILE *out);

#endif
