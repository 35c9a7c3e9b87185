/* lockstep-origin: serves one database to one replica over stdin and stdout; or, by other commands, many to many. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "lockstore/lock.h"
#include "origin/commands.h"
#include "origin/path_policy.h"
#include "origin/session.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/base/options.h"
#include "protocol/link/link_stdio.h"
#include "protocol/sync/conversation.h"
#include "protocol/sync/party.h"

/* A replica that says nothing for this long is gone; its snapshot must not hold up the WAL's checkpoint for ever. */
#define IDLE_TIMEOUT_MS 120000

enum { OPTION_STDIO, OPTION_ROOT, OPTION_ALLOW, OPTION_TIMEOUT, OPTION_LEVEL, OPTION_HISTORY, OPTION_LOCK_URL, OPTION_LOG_FORMAT, OPTION_VERBOSE, OPTION_VERSION, OPTION_HELP };

static const struct option table[] = {
    [OPTION_STDIO] = {"stdio", NULL, "serve PATH over stdin and stdout; what SSH starts"},
    [OPTION_ROOT] = {"root", "DIR", "only databases below DIR, symbolic links followed; without PATH, the path\ncomes from the command that the SSH client asked for (a forced command)"},
    [OPTION_ALLOW] = {"allow", "pull|push", "what the replica may do; repeat it, or pull,push; default: both"},
    [OPTION_TIMEOUT] = {"timeout", "TIME", "how long to wait for a locked database; default 30s"},
    [OPTION_LEVEL] = {"compress-level", "N", "zstd's level for what is sent, 1 to 19; 0: none; default 3"},
    [OPTION_HISTORY] = {"history-bytes", "N", "how much the page-version log may hold, for small pulls; 0: none;\ndefault: a quarter of the database, at most 1 GiB"},
    [OPTION_LOCK_URL] = {"lock-url", "URL", "the database's lock, s3://bucket/key or file:///path: take pushes only from who\nholds it by the store's own word, not by the fencing token alone"},
    [OPTION_LOG_FORMAT] = {"log-format", "text|json", "lines with time and level, or JSON objects, on stderr; default: the bare text,\nwhich the replica shows as the far side's"},
    [OPTION_VERBOSE] = {"v|verbose", NULL, "say on stderr what is done"},
    [OPTION_VERSION] = {"version", NULL, "print the version"},
    [OPTION_HELP] = {"h|help|?", NULL, "print this"},
    {NULL, NULL, NULL},
};

static const char usage[] = "lockstep-origin --stdio [OPTIONS] PATH\n"
                            "lockstep-origin serve|keygen|token ...   (each has its own --help)\n"
                            "\n"
                            "Serves the SQLite database at PATH to a `lockstep` on the other end of stdin and stdout.\n"
                            "In authorized_keys:  command=\"lockstep-origin --stdio --root /data --allow pull\" ssh-ed25519 ...\n"
                            "\n";

struct settings {
    struct session_options session;
    const char *root;
    const char *path;
    enum log_format log_format;
    int stdio;
    int verbose;
    int done; /* --help or --version: nothing more to do */
};

static int read_allow(const char *value, struct settings *settings, int *given, struct error *error)
{
    if (!*given)
        settings->session.may_pull = settings->session.may_push = 0;
    *given = 1;
    for (const char *spot = value;;) {
        size_t len = strcspn(spot, ",");
        if (len == 4 && memcmp(spot, "pull", 4) == 0)
            settings->session.may_pull = 1;
        else if (len == 4 && memcmp(spot, "push", 4) == 0)
            settings->session.may_push = 1;
        else
            return error_set(error, ERR_USAGE, "--allow: \"%s\" is neither pull nor push", value);
        if (spot[len] == '\0')
            return 0;
        spot += len + 1;
    }
}

static int read_option(struct settings *settings, int row, const char *value, int *allow_given, struct error *error)
{
    unsigned long long milliseconds;
    long number = 0;
    int rc = 0;

    switch (row) {
    case OPTION_STDIO:
        settings->stdio = 1;
        break;
    case OPTION_ROOT:
        settings->root = value;
        break;
    case OPTION_ALLOW:
        rc = read_allow(value, settings, allow_given, error);
        break;
    case OPTION_TIMEOUT:
        rc = option_duration("timeout", value, &milliseconds, error);
        settings->session.timeout_ms = rc == 0 ? (uint32_t)(milliseconds < 86400000 ? milliseconds : 86400000) : 0;
        break;
    case OPTION_LEVEL:
        rc = option_number("compress-level", value, 0, 19, &number, error);
        settings->session.level = (int)number;
        break;
    case OPTION_HISTORY:
        rc = option_number("history-bytes", value, 0, INT64_MAX, &number, error);
        settings->session.history_bytes = number;
        break;
    case OPTION_LOCK_URL:
        rc = lock_check_url(value, error);
        settings->session.lock_url = value;
        break;
    case OPTION_LOG_FORMAT:
        if (log_read_format(value, &settings->log_format) != 0)
            rc = error_set(error, ERR_USAGE, "--log-format: \"%s\" is neither text nor json", value);
        break;
    case OPTION_VERBOSE:
        settings->verbose++;
        break;
    case OPTION_VERSION:
        printf("lockstep-origin %s\n", LOCKSTEP_VERSION);
        settings->done = 1;
        break;
    case OPTION_HELP:
        fputs(usage, stdout);
        option_print_help(table, stdout);
        settings->done = 1;
        break;
    }
    return rc;
}

static int read_command_line(int argc, char **argv, struct settings *settings, struct error *error)
{
    struct option_reader reader;
    const char *value;
    int allow_given = 0;
    int row;
    int rc;

    option_reader_init(&reader, table, argc, argv, 1);
    for (;;) {
        rc = option_next(&reader, &row, &value, error);
        if (rc != 0 || settings->done || row == OPTION_END)
            break;
        if (row != OPTION_ARGUMENT)
            rc = read_option(settings, row, value, &allow_given, error);
        else if (settings->path == NULL)
            settings->path = value;
        else
            rc = error_set(error, ERR_USAGE, "one PATH is served, not also %s", value);
        if (rc != 0)
            break;
    }
    if (rc == 0 && !settings->done && !settings->stdio)
        rc = error_set(error, ERR_USAGE, "say --stdio PATH; --help tells more");
    return rc;
}

/* Find out which file to serve. *path is freed by the caller. */
static int choose_path(const struct settings *settings, char **path, struct error *error)
{
    const char *command = getenv("SSH_ORIGINAL_COMMAND");
    char *asked = NULL;
    int rc = 0;

    if (settings->path == NULL && command == NULL)
        return error_set(error, ERR_USAGE, "which database? give its PATH");
    if (settings->path == NULL)
        rc = path_policy_from_command(command, &asked, error);
    if (rc == 0)
        rc = path_policy_resolve(settings->root, asked != NULL ? asked : settings->path, path, error);
    free(asked);
    return rc;
}

static void on_end(void *user, const struct error *error, const struct conversation_stats *stats)
{
    (void)stats;
    *(struct error *)user = *error;
}

/* What the replica hears where no database may be served: why. */
struct refusal {
    struct party party;
    const struct error *error;
};

static int speak_refusal(struct party *party, struct buffer *out, struct error *error)
{
    const struct refusal *refusal = (const struct refusal *)party;

    (void)out;
    *error = *refusal->error;
    return error->code;
}

/* Hold the conversation of party over stdin and stdout to its end. */
static int converse(struct party *party, struct error *error)
{
    struct conversation_options conversation_options = {
        .far_side = "the replica", .idle_timeout_ms = IDLE_TIMEOUT_MS, .on_end = on_end, .user = error};
    struct conversation *conversation = NULL;
    struct link *link = NULL;
    uv_loop_t loop;
    int rc;

    uv_loop_init(&loop);
    rc = conversation_new(&conversation, &loop, party, &conversation_options, error);
    if (rc == 0) {
        rc = link_stdio_new(&loop, conversation_link_callbacks(), conversation, &link, error);
        if (rc == 0)
            conversation_attach(conversation, link);
        else
            conversation_cancel(conversation, error);
        uv_run(&loop, UV_RUN_DEFAULT);
        rc = error->code;
    }
    uv_loop_close(&loop);
    return rc;
}

static int serve(const struct session_options *options, struct error *error)
{
    struct session *session = NULL;
    int rc = session_new(&session, options, error);

    if (rc == 0)
        rc = converse(session_party(session), error);
    session_free(session);
    return rc;
}

/* Tell the replica why not, as the answer that it waits for. */
static int refuse(const struct error *why)
{
    static const struct party_methods methods = {.speak = speak_refusal};
    struct refusal refusal = {.party = {&methods, PARTY_SPEAKS}, .error = why};
    struct error error = {0};

    return converse(&refusal.party, &error);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {{"serve", command_serve}, {"keygen", command_keygen}, {"token", command_token}};

int main(int argc, char **argv)
{
    struct settings settings = {.session = {.may_pull = 1, .may_push = 1, .timeout_ms = 30000, .level = 3, .history_bytes = -1}};
    struct error error = {0};
    char *path = NULL;
    int rc;

    /* A file that may not grow is an error of the write, to be told and undone, as a full disk is. */
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    }
    rc = read_command_line(argc, argv, &settings, &error);

    log_setup(settings.verbose ? LOG_INFO : LOG_WARNING, "lockstep-origin", 0);
    log_set_format(settings.log_format);
    if (rc != 0) {
        log_line(LOG_ERROR, "%s", error.text);
        return error_exit_status(rc);
    }
    if (settings.done)
        return 0;
    rc = choose_path(&settings, &path, &error);
    if (rc != 0) {
        rc = refuse(&error);
    } else {
        settings.session.path = path;
        rc = serve(&settings.session, &error);
    }
    free(path);
    /* What goes wrong in a conversation is told to the replica, which prints it; here it is for the log. */
    if (rc != 0)
        log_line(rc == ERR_USAGE ? LOG_ERROR : LOG_INFO, "%s", error.text);
    return error_exit_status(rc);
}
