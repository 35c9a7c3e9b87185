/* lockstep-origin keygen and token. */
#include "origin/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "origin/keygen.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/base/option_text.h"
#include "protocol/base/options.h"

enum { HOST, CLIENT, DAYS_OPTION, HELP };

const struct option keygen_options[] = {
    [HOST] = {"host", "NAME", "a name or address that replicas reach the origin by;\ndefault: this machine's name, localhost, 127.0.0.1 and ::1", NULL, OPTION_REPEATS},
    [CLIENT] = {"client", "NAME", "a client to make a certificate for", "client", OPTION_REPEATS},
    [DAYS_OPTION] = {"days", "N", "that certificates are valid for, the CA's ten times as long", "365", 0},
    [HELP] = {"h|help|?", NULL, "print this", NULL, OPTION_ALONE},
    {NULL, NULL, NULL, NULL, 0},
};

const struct option token_options[] = {
    {"h|help|?", NULL, "print this", NULL, OPTION_ALONE},
    {NULL, NULL, NULL, NULL, 0},
};

static int append(const char **list, const char *name, const char *value, struct error *error)
{
    for (int i = 0; i < KEYGEN_NAMES_MAX; i++) {
        if (list[i] == NULL) {
            list[i] = value;
            return 0;
        }
    }
    return error_set(error, ERR_USAGE, "--%s: at most %d", name, KEYGEN_NAMES_MAX);
}

static int read_option(struct keygen_options *options, int row, const char *value, struct error *error)
{
    long days = 0;
    int rc;

    switch (row) {
    case HOST:
        return append(options->hosts, "host", value, error);
    case CLIENT:
        return append(options->clients, "client", value, error);
    case DAYS_OPTION:
        rc = option_number("days", value, 1, 3650, &days, error);
        options->days = (unsigned)days;
        return rc;
    default:
        if (options->folder != NULL)
            return error_set(error, ERR_USAGE, "one folder is enough, not also %s", value);
        options->folder = value;
        return 0;
    }
}

static int read_command_line(int argc, char **argv, struct keygen_options *options, int *help, struct error *error)
{
    struct option_reader reader;
    const char *value;
    int row;
    int rc;

    option_reader_init(&reader, keygen_options, ORIGIN_PROGRAM, argc, argv, 0);
    for (;;) {
        rc = option_next(&reader, &row, &value, error);
        *help = rc == 0 && row == HELP;
        if (rc == 0 && row != OPTION_END && !*help)
            rc = read_option(options, row, value, error) == 0 ? 0 : option_blame(&reader, row, error);
        if (rc != 0 || row == OPTION_END || *help)
            break;
    }
    if (rc == 0 && !*help && options->folder == NULL)
        rc = error_set(error, ERR_USAGE, "into which folder? lockstep-origin keygen DIR");
    return rc;
}

int check_keygen(int argc, char **argv, struct error *error)
{
    struct keygen_options options = {0};
    int help;

    return read_command_line(argc, argv, &options, &help, error);
}

int command_keygen(int argc, char **argv)
{
    struct keygen_options options = {0};
    struct error error = {0};
    char host[65] = "";
    int help = 0;
    int rc = read_command_line(argc, argv, &options, &help, &error);

    log_setup(LOG_WARNING, ORIGIN_PROGRAM, 0);
    if (help) {
        printf(ORIGIN_PROGRAM " %s\n\n%s.\n\n", origin_command_find("keygen")->synopsis, origin_command_find("keygen")->summary);
        option_print_help(keygen_options, ORIGIN_PROGRAM, stdout);
        return 0;
    }
    if (rc == 0 && options.hosts[0] == NULL) {
        gethostname(host, sizeof(host) - 1);
        options.hosts[0] = host[0] != '\0' ? host : "origin";
        options.hosts[1] = "localhost";
        options.hosts[2] = "127.0.0.1";
        options.hosts[3] = "::1";
    }
    if (rc == 0)
        rc = keygen_run(&options, &error);
    if (rc != 0)
        log_line(LOG_ERROR, "%s", error.text);
    else
        printf("At the origin:   --cert %s/origin.pem --key %s/origin.key --client-ca %s/ca.pem --allow %s=pull,push:NAME\n"
               "At the replica:  --ca ca.pem --cert %s.pem --key %s.key\n"
               "%s/ca.key signs more of them: keep it from everybody.\n",
               options.folder, options.folder, options.folder, options.clients[0], options.clients[0], options.clients[0],
               options.folder);
    return error_exit_status(rc);
}

int command_token(int argc, char **argv)
{
    struct error error = {0};
    char token[KEYGEN_TOKEN_SIZE];
    char hash[KEYGEN_TOKEN_SIZE];
    int rc;

    log_setup(LOG_WARNING, ORIGIN_PROGRAM, 0);
    if (argc > 0 && option_find(token_options, argv[0]) == 0 && argv[0][0] == '-') {
        printf(ORIGIN_PROGRAM " %s\n\n%s.\n\n", origin_command_find("token")->synopsis, origin_command_find("token")->summary);
        option_print_help(token_options, ORIGIN_PROGRAM, stdout);
        return 0;
    }
    if (argc != 1 || argv[0][0] == '-')
        rc = error_set(&error, ERR_USAGE, "for whom? lockstep-origin token WHO");
    else
        rc = keygen_token(token, hash, &error);
    if (rc == 0)
        printf("For --token-file or LOCKSTEP_TOKEN_FILE at the replica:\n%s\nFor --tokens at the origin:\n%s %s\n", token, argv[0],
               hash);
    else
        log_line(LOG_ERROR, "%s", error.text);
    explicit_bzero(token, sizeof(token));
    return error_exit_status(rc);
}
