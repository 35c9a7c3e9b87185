/* lockstep-origin --stdio: serves one database to one replica over stdin and stdout. */
#include "origin/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "lockstore/lock.h"
#include "origin/path_policy.h"
#include "origin/session.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/base/option_text.h"
#include "protocol/base/options.h"
#include "protocol/link/link_stdio.h"
#include "protocol/page/compress.h"
#include "protocol/sync/conversation.h"
#include "protocol/sync/party.h"

/* A replica that says nothing for this long is gone; its snapshot must not hold up the WAL's checkpoint for ever. */
#define IDLE_TIMEOUT_MS 120000

/*
 * What a replica may do is told on the command line alone: there are servers whose SSH lets the client bring variables along, and the
 * daemon's rules, in the same environment, are others.
 */
enum { STDIO, ROOT, ALLOW, TIMEOUT, LEVEL, LEVEL_MAX, HISTORY, LOCK_URL, LOG_FORMAT, VERBOSE, VERSION, HELP };

const struct option stdio_options[] = {
    [STDIO] = {"stdio", NULL, "serve PATH over stdin and stdout; what SSH starts", NULL, OPTION_NO_VARIABLE},
    [ROOT] = {"root", "DIR", "only databases below DIR, symbolic links followed; without PATH, the path\ncomes from the command that the SSH client asked for (a forced command)", NULL, OPTION_NO_VARIABLE},
    [ALLOW] = {"allow", "pull|push", "what the replica may do; pull,push is one way to say both, and the default", NULL, OPTION_NO_VARIABLE | OPTION_REPEATS},
    [TIMEOUT] = {"timeout", "TIME", "how long to wait for a locked database", "30s", 0},
    [LEVEL] = {"compress-level", "N", "zstd's level for what is sent to who does not ask for another, 1 to 19; 0: none", "3", 0},
    [LEVEL_MAX] = {"max-compress-level", "N", "the highest level that a replica may ask for; --compress-level may be higher", "9", 0},
    [HISTORY] = {"history-bytes", "N", "how much the page-version log may hold, for small pulls; 0: none;\ndefault: a quarter of the database, at most 1 GiB", NULL, 0},
    [LOCK_URL] = {"lock-url", "URL", "the database's lock, s3://bucket/key or file:///path: take pushes only from who\nholds it by the store's own word, not by the fencing token alone", NULL, OPTION_NO_VARIABLE},
    [LOG_FORMAT] = {"log-format", "text|json", "lines with time and level, or JSON objects, on stderr; default: the bare text,\nwhich the replica shows as the far side's", NULL, 0},
    [VERBOSE] = {"v|verbose", NULL, "say on stderr what is done", NULL, OPTION_REPEATS},
    [VERSION] = {"version", NULL, "print the version", NULL, OPTION_ALONE},
    [HELP] = {"h|help|?", NULL, "print this", NULL, OPTION_ALONE},
    {NULL, NULL, NULL, NULL, 0},
};

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

static void print_help(void)
{
    printf(ORIGIN_PROGRAM ": the origin's side of lockstep, which syncs live SQLite databases\n\n");
    for (const struct origin_command *row = origin_commands;; row++) {
        printf("  " ORIGIN_PROGRAM " %s\n      %s%s%s%s\n", row->synopsis, row->summary,
               row->name != NULL ? "; `" ORIGIN_PROGRAM " " : "", row->name != NULL ? row->name : "", row->name != NULL ? " --help` tells more" : "");
        if (row->name == NULL)
            break;
    }
    printf("\nIn authorized_keys:  command=\"" ORIGIN_PROGRAM " --stdio --root /data --allow pull\" ssh-ed25519 ...\n\n");
    option_print_help(stdio_options, ORIGIN_PROGRAM, stdout);
}

static int read_option(struct settings *settings, int row, const char *value, int *allow_given, struct error *error)
{
    unsigned long long milliseconds;
    long number = 0;
    int rc = 0;

    switch (row) {
    case STDIO:
        settings->stdio = 1;
        break;
    case ROOT:
        settings->root = value;
        break;
    case ALLOW:
        rc = read_allow(value, settings, allow_given, error);
        break;
    case TIMEOUT:
        rc = option_duration("timeout", value, &milliseconds, error);
        settings->session.timeout_ms = rc == 0 ? (uint32_t)(milliseconds < 86400000 ? milliseconds : 86400000) : 0;
        break;
    case LEVEL:
        rc = option_number("compress-level", value, 0, COMPRESS_LEVEL_MAX, &number, error);
        settings->session.level = (int)number;
        break;
    case LEVEL_MAX:
        rc = option_number("max-compress-level", value, 0, COMPRESS_LEVEL_MAX, &number, error);
        settings->session.level_max = (int)number;
        break;
    case HISTORY:
        rc = option_number("history-bytes", value, 0, INT64_MAX, &number, error);
        settings->session.history_bytes = number;
        break;
    case LOCK_URL:
        rc = lock_check_url(value, error);
        settings->session.lock_url = value;
        break;
    case LOG_FORMAT:
        if (log_read_format(value, &settings->log_format) != 0)
            rc = error_set(error, ERR_USAGE, "--log-format: \"%s\" is neither text nor json", value);
        break;
    case VERBOSE:
        settings->verbose++;
        break;
    case VERSION:
        printf(ORIGIN_PROGRAM " %s\n", LOCKSTEP_VERSION);
        settings->done = 1;
        break;
    case HELP:
        print_help();
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

    option_reader_init(&reader, stdio_options, ORIGIN_PROGRAM, argc, argv, 0);
    for (;;) {
        rc = option_next(&reader, &row, &value, error);
        if (rc != 0 || settings->done || row == OPTION_END)
            break;
        if (row != OPTION_ARGUMENT)
            rc = read_option(settings, row, value, &allow_given, error) == 0 ? 0 : option_blame(&reader, row, error);
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

int check_stdio(int argc, char **argv, struct error *error)
{
    struct settings settings = {0};

    return read_command_line(argc, argv, &settings, error);
}

int command_stdio(int argc, char **argv)
{
    struct settings settings = {.session = {.may_pull = 1, .may_push = 1, .history_bytes = -1}};
    struct error error = {0};
    char *path = NULL;
    int rc = read_command_line(argc, argv, &settings, &error);

    log_setup(settings.verbose ? LOG_INFO : LOG_WARNING, ORIGIN_PROGRAM, 0);
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
