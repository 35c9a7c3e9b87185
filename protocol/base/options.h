/*
 * options: what a program is told, read from one table: the command line, below it the environment, below that defaults.
 *
 * Command line: one or two dashes, in any place, as sqlite3_rsync takes them: --name VALUE, --name=VALUE, -name VALUE. A row
 * whose name is one letter may be repeated in one word (-vv). "--" ends the options; "-" alone is an argument.
 *
 * Environment: the variable of an option is the program's name and the option's long name, in capitals, "-" as "_":
 * --lock-wait of lockstep is LOCKSTEP_LOCK_WAIT, --lock-wait of lockstep-origin would be LOCKSTEP_ORIGIN_LOCK_WAIT. An empty
 * variable is as good as none. An option without a value is given by 1, yes, true or on (0, no, false, off: not), one that
 * counts (-vv) by how often. One that may be repeated takes words separated by white space.
 *
 * Each option comes from one place: what the command line says replaces what the environment says, also where an option may
 * be repeated. Options of the environment and defaults are read before the command line, in the table's order.
 */
#ifndef LOCKSTEP_BASE_OPTIONS_H
#define LOCKSTEP_BASE_OPTIONS_H

#include <stdint.h>

struct error;

struct option {
    const char *name;          /* without dashes; "p|port" for two names of one option */
    const char *argument;      /* what its value is called in the help, "a|b|c" where only these are allowed, "[=…]" where it may be left
                                * out; NULL: it takes none */
    const char *help;          /* one line or more, separated by newlines */
    const char *default_value; /* read as if it were given where nothing else is; NULL: none, or one that is found out later */
    unsigned flags;            /* OPTION_… */
};

#define OPTION_REPEATS     1u /* may be given again: several values, or (without a value) a count */
#define OPTION_NO_VARIABLE 2u /* on the command line alone */
#define OPTION_SECRET      4u /* its value is not shown to anybody */
#define OPTION_ALONE       8u /* --help: with it nothing else matters, so neither does the environment. Implies OPTION_NO_VARIABLE */

#define OPTION_ROWS_MAX     128 /* of one table */
#define OPTION_VARIABLE_MAX 80
#define OPTION_NAME_MAX     64

enum option_source { OPTION_BY_DEFAULT, OPTION_BY_ENVIRONMENT, OPTION_BY_COMMAND_LINE };

struct option_reader {
    const struct option *table; /* ends with a row whose name is NULL */
    const char *program;        /* whose variables; NULL: neither the environment nor defaults are read */
    int argc;
    char **argv;
    int at;                     /* of the next word */
    int ended;                  /* "--" was read */
    int repeat;                 /* how often the option at hand is to be told yet (-vvv) */
    int row;                    /* of that option */
    int below;                  /* the next row to look up in the environment and the defaults */
    const char *words;          /* what is left of the variable at hand; NULL: nothing */
    enum option_source source;  /* of what was read last */
    uint64_t given[OPTION_ROWS_MAX / 64]; /* the rows that the command line has */
};

#define OPTION_ARGUMENT (-1) /* the word is no option */
#define OPTION_END      (-2)

/* Words from argv[first] on, and the environment of program. Nothing is copied. */
void option_reader_init(struct option_reader *reader, const struct option *table, const char *program, int argc, char **argv, int first);

/*
 * The next option or argument: *row is the option's row in the table and *value its value (NULL if it takes none), or
 * OPTION_ARGUMENT and the word, or OPTION_END. Values live as long as the process. ERR_USAGE for an unknown option, a missing
 * value, a value where none is taken, a variable that is neither yes nor no.
 */
int option_next(struct option_reader *reader, int *row, const char **value, struct error *error);

/* Where the option that was read last came from. */
enum option_source option_source(const struct option_reader *reader);

/* Put the variable's name before error's text, if the value that it complains of came from the environment. Returns its code. */
int option_blame(const struct option_reader *reader, int row, struct error *error);

/* The variable of an option; "" where it has none. */
void option_variable(const char *program, const struct option *option, char out[OPTION_VARIABLE_MAX]);

/* The name of that index as it is typed, "-p", "--port"; "" and 0 where there are no more. */
int option_name(const struct option *option, int index, char out[OPTION_NAME_MAX]);

/* The row that an option as it was typed ("--port=22", "-p") belongs to; -1: none. */
int option_find(const struct option *table, const char *word);

/* Whether the last word that was read was "--", so that what follows is another program's command line. */
int option_reader_ended(const struct option_reader *reader);

/* Read a whole number between min and max. ERR_USAGE naming the option. */
int option_number(const char *name, const char *value, long min, long max, long *number, struct error *error);

/*
 * Read a rate as rsync does: a number of KiB a second, may be a fraction, or with a unit: b, K, M, G (of 1024), KB, MB, GB (of 1000);
 * 0 is none. In bytes a second, at least 512. ERR_USAGE.
 */
int option_rate(const char *name, const char *value, uint64_t *bytes_per_second, struct error *error);

/* Read a duration: a number of seconds, or with a unit: 250ms, 30s, 5m, 2h. In milliseconds. ERR_USAGE. */
int option_duration(const char *name, const char *value, unsigned long long *milliseconds, struct error *error);

#endif
