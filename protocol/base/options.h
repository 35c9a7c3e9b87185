/*
 * options: command lines, read from one table per program, which also prints the help.
 *
 * One or two dashes, in any place, as sqlite3_rsync takes them: --name VALUE, --name=VALUE, -name VALUE. A row whose name is
 * one letter may be repeated in one word (-vv). "--" ends the options; "-" alone is an argument.
 */
#ifndef LOCKSTEP_BASE_OPTIONS_H
#define LOCKSTEP_BASE_OPTIONS_H

#include <stdio.h>

struct error;

struct option {
    const char *name;     /* without dashes; "p|port" for two names of one option */
    const char *argument; /* what its value is called in the help; NULL: it takes none; "[=HOW]": it may stand behind a = */
    const char *help;     /* one line or more, separated by newlines */
};

struct option_reader {
    const struct option *table; /* ends with a row whose name is NULL */
    int argc;
    char **argv;
    int at;          /* of the next word */
    int ended;       /* "--" was read */
    int repeat;      /* how often the option at hand is to be told yet (-vvv) */
    int row;         /* of that option */
};

#define OPTION_ARGUMENT (-1) /* the word is no option */
#define OPTION_END      (-2)

/* Words from argv[first] on. argv is borrowed. */
void option_reader_init(struct option_reader *reader, const struct option *table, int argc, char **argv, int first);

/*
 * The next option or argument: *row is the option's row in the table and *value its value (NULL if it takes none), or
 * OPTION_ARGUMENT and the word, or OPTION_END. ERR_USAGE for an unknown option, a missing value, a value where none is taken.
 */
int option_next(struct option_reader *reader, int *row, const char **value, struct error *error);

/* The row that an option as it was typed ("--port=22", "-p") belongs to; -1: none. */
int option_find(const struct option *table, const char *word);

/* Whether the last word that was read was "--", so that what follows is another program's command line. */
int option_reader_ended(const struct option_reader *reader);

/* Print the table, names in a column, help behind it. */
void option_print_help(const struct option *table, FILE *out);

/* Read a whole number between min and max. ERR_USAGE naming the option. */
int option_number(const char *name, const char *value, long min, long max, long *number, struct error *error);

/* Read a duration: a number of seconds, or with a unit: 250ms, 30s, 5m, 2h. In milliseconds. ERR_USAGE. */
int option_duration(const char *name, const char *value, unsigned long long *milliseconds, struct error *error);

#endif
