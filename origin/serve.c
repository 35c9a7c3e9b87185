/* lockstep-origin serve: the daemon's command line. */
#include "origin/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "origin/daemon.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/base/option_text.h"
#include "protocol/base/options.h"
#include "protocol/page/compress.h"
#include "protocol/wire/message.h"

/* Work on a database may wait for another program's lock; that many can, before others wait behind them. */
#define WORKERS "16"

enum {
    LISTEN,
    DB,
    ROOT,
    LOCK_URL,
    READ_ONLY,
    ORIGIN,
    CERT,
    KEY,
    CLIENT_CA,
    TOKENS,
    ALLOW,
    ALLOW_FILE,
    CONNECTIONS,
    PER_CLIENT,
    MEMORY,
    SPOOL,
    HANDSHAKE,
    IDLE,
    TIMEOUT,
    LEVEL,
    LEVEL_MAX,
    HISTORY,
    HTTP,
    STUCK,
    LOG_FORMAT,
    VERBOSE,
    HELP
};

const struct option serve_options[] = {
    [LISTEN] = {"listen", "ADDRESS", "[::]:7433, 127.0.0.1:7433 or unix:PATH; sockets that systemd\nhands over come on top", NULL, OPTION_REPEATS},
    [DB] = {"db", "NAME=PATH", "a database and the name that replicas call it by", NULL, OPTION_REPEATS},
    [ROOT] = {"root", "DIR", "all databases below DIR, by their paths below it", NULL, 0},
    [LOCK_URL] = {"lock-url", "URL", "[NAME=]s3://bucket/key or file:///path, the lock of a database, {name} in it for each one's:\ntake pushes only from who holds it by the store's own word, not by the fencing token alone", NULL, OPTION_REPEATS},
    [READ_ONLY] = {"read-only", NULL, "the databases are copies, which pulls keep up to date: serve pulls alone", NULL, 0},
    [ORIGIN] = {"origin", "NAME", "with --read-only: where their origin is; whoever wants to push is told", NULL, 0},
    [CERT] = {"cert", "FILE", "the origin's certificate and what leads to its CA, PEM", NULL, 0},
    [KEY] = {"key", "FILE", "its key; default: in the file of the certificate", NULL, 0},
    [CLIENT_CA] = {"client-ca", "FILE", "the CAs that may have signed a client's certificate, PEM", NULL, 0},
    [TOKENS] = {"tokens", "FILE", "\"WHO SHA256\" lines for clients with a token; `lockstep-origin token WHO`\nmakes one", NULL, 0},
    [ALLOW] = {"allow", "RULE", "WHO=pull|push:NAME (pull,push for both; * for all; DIR/* for all below);\ndefault: nobody may do anything", NULL, OPTION_REPEATS},
    [ALLOW_FILE] = {"allow-file", "FILE", "such rules, one a line; read again on SIGHUP, as certificate, key, CA and tokens are", NULL, 0},
    [CONNECTIONS] = {"max-connections", "N", "of all clients; the next ones wait", "1000", 0},
    [PER_CLIENT] = {"max-per-client", "N", "of one name", "64", 0},
    [MEMORY] = {"max-memory", "N", "bytes of page hashes and streams to keep for all clients; 64 MiB at least", "268435456", 0},
    [SPOOL] = {"max-spool", "N", "bytes of streams to keep in files beside the databases", "4294967296", 0},
    [HANDSHAKE] = {"handshake-timeout", "TIME", "how long a client has to show who it is", "10s", 0},
    [IDLE] = {"idle-timeout", "TIME", "how long a client may be silent", "60s", 0},
    [TIMEOUT] = {"timeout", "TIME", "how long to wait for a locked database", "30s", 0},
    [LEVEL] = {"compress-level", "N", "zstd's level for what is sent to who does not ask for another, 1 to 19; 0: none", "3", 0},
    [LEVEL_MAX] = {"max-compress-level", "N", "the highest level that a replica may ask for; --compress-level may be higher", "9", 0},
    [HISTORY] = {"history-bytes", "N", "how much the page-version log of each database may hold; 0: none;\ndefault: a quarter of the database, at most 1 GiB", NULL, 0},
    [HTTP] = {"http", "ADDRESS", "127.0.0.1:9091 or [::]:9091: /healthz and /metrics, unencrypted, for anybody who can connect", NULL, 0},
    [STUCK] = {"stuck-after", "TIME", "a worker that is at one thing for longer makes /healthz say 503", "5m", 0},
    [LOG_FORMAT] = {"log-format", "text|json", "lines with time and level, or JSON objects, on stderr", "text", 0},
    [VERBOSE] = {"v|verbose", NULL, "say on stderr what is done", NULL, OPTION_REPEATS},
    [HELP] = {"h|help|?", NULL, "print this", NULL, OPTION_ALONE},
    {NULL, NULL, NULL, NULL, 0},
};

struct settings {
    struct daemon_options daemon;
    enum log_format log_format;
    int read_only;
    int verbose;
    int help;
};

/* Put value behind what the list of at most max holds. */
static int append(const char **list, size_t max, const char *name, const char *value, struct error *error)
{
    for (size_t i = 0; i < max; i++) {
        if (list[i] == NULL) {
            list[i] = value;
            return 0;
        }
    }
    return error_set(error, ERR_USAGE, "--%s: at most %zu", name, max);
}

static int read_count(const char *name, const char *value, unsigned *out, struct error *error)
{
    long number = 0;
    int rc = option_number(name, value, 1, 1000000, &number, error);

    *out = (unsigned)number;
    return rc;
}

static int read_duration(const char *name, const char *value, uint64_t *out, struct error *error)
{
    unsigned long long milliseconds = 0;
    int rc = option_duration(name, value, &milliseconds, error);

    *out = milliseconds < 86400000 ? milliseconds : 86400000;
    return rc;
}

static int read_session_option(struct session_options *session, int row, const char *value, struct error *error)
{
    uint64_t milliseconds = 0;
    long number = 0;
    int rc;

    switch (row) {
    case TIMEOUT:
        rc = read_duration("timeout", value, &milliseconds, error);
        session->timeout_ms = (uint32_t)milliseconds;
        return rc;
    case LEVEL:
        rc = option_number("compress-level", value, 0, COMPRESS_LEVEL_MAX, &number, error);
        session->level = (int)number;
        return rc;
    case LEVEL_MAX:
        rc = option_number("max-compress-level", value, 0, COMPRESS_LEVEL_MAX, &number, error);
        session->level_max = (int)number;
        return rc;
    default:
        rc = option_number("history-bytes", value, 0, INT64_MAX, &number, error);
        session->history_bytes = number;
        return rc;
    }
}

static int read_option(struct settings *settings, int row, const char *value, struct error *error)
{
    struct daemon_options *daemon = &settings->daemon;
    const char **texts[] = {[ROOT] = &daemon->catalog.root,
                            [ORIGIN] = &daemon->session.origin,
                            [CERT] = &daemon->tls.cert,
                            [KEY] = &daemon->tls.key,
                            [CLIENT_CA] = &daemon->tls.client_ca,
                            [TOKENS] = &daemon->access.tokens_file,
                            [ALLOW_FILE] = &daemon->access.rules_file,
                            [HTTP] = &daemon->http,
                            [HELP] = NULL};
    long number = 0;
    int rc;

    if (texts[row] != NULL) {
        *texts[row] = value;
        return 0;
    }
    switch (row) {
    case LISTEN:
        return append(daemon->listen, LISTENERS_MAX, "listen", value, error);
    case DB:
        return catalog_add(&daemon->catalog, value, error);
    case LOCK_URL:
        return lock_urls_add(&daemon->lock_urls, value, error);
    case ALLOW:
        return append(daemon->access.rules, ACCESS_RULES_MAX, "allow", value, error);
    case CONNECTIONS:
        return read_count("max-connections", value, &daemon->max_connections, error);
    case PER_CLIENT:
        return read_count("max-per-client", value, &daemon->max_per_client, error);
    case MEMORY:
        rc = option_number("max-memory", value, 67108864, INT64_MAX, &number, error);
        daemon->max_memory = (uint64_t)number;
        return rc;
    case SPOOL:
        rc = option_number("max-spool", value, 0, INT64_MAX, &number, error);
        daemon->max_spool = (uint64_t)number;
        return rc;
    case HANDSHAKE:
        return read_duration("handshake-timeout", value, &daemon->handshake_timeout_ms, error);
    case IDLE:
        return read_duration("idle-timeout", value, &daemon->idle_timeout_ms, error);
    case STUCK:
        return read_duration("stuck-after", value, &daemon->stuck_ms, error);
    case LOG_FORMAT:
        if (log_read_format(value, &settings->log_format) != 0)
            return error_set(error, ERR_USAGE, "--log-format: \"%s\" is neither text nor json", value);
        return 0;
    case READ_ONLY:
        settings->read_only = 1;
        return 0;
    case VERBOSE:
        settings->verbose++;
        return 0;
    case HELP:
        settings->help = 1;
        return 0;
    default:
        return read_session_option(&daemon->session, row, value, error);
    }
}

static int check(const struct daemon_options *daemon, struct error *error)
{
    if (daemon->tls.cert == NULL)
        return error_set(error, ERR_USAGE, "--cert FILE is missing; `lockstep-origin keygen DIR` makes a certificate");
    if (daemon->catalog.count == 0 && daemon->catalog.root == NULL)
        return error_set(error, ERR_USAGE, "which databases? give --db NAME=PATH or --root DIR");
    if (daemon->tls.client_ca == NULL && daemon->access.tokens_file == NULL)
        return error_set(error, ERR_USAGE, "how do clients show who they are? give --client-ca FILE or --tokens FILE");
    if (daemon->access.rules[0] == NULL && daemon->access.rules_file == NULL)
        return error_set(error, ERR_USAGE, "nobody may do anything; give --allow WHO=pull|push:NAME or --allow-file FILE");
    return lock_urls_check(&daemon->lock_urls, &daemon->catalog, error);
}

/* What goes with --read-only, and what does not. */
static int check_copies(const struct settings *settings, struct error *error)
{
    const char *origin = settings->daemon.session.origin;

    if (settings->read_only && (origin == NULL || origin[0] == '\0'))
        return error_set(error, ERR_USAGE, "--read-only: where may be pushed then? give --origin, as in --origin tls://ams.internal/org.db");
    if (!settings->read_only && origin != NULL)
        return error_set(error, ERR_USAGE, "--origin is for copies; they are served with --read-only");
    if (origin != NULL && strlen(origin) >= sizeof(((struct message_hello *)0)->origin))
        return error_set(error, ERR_USAGE, "--origin has at most %zu bytes", sizeof(((struct message_hello *)0)->origin) - 1);
    if (settings->read_only && (settings->daemon.lock_urls.count > 0 || settings->daemon.lock_urls.general != NULL))
        return error_set(error, ERR_USAGE, "--lock-url is for pushes, and with --read-only there are none");
    return 0;
}

static int read_command_line(int argc, char **argv, struct settings *settings, struct error *error)
{
    struct option_reader reader;
    const char *value;
    int row;
    int rc;

    option_reader_init(&reader, serve_options, ORIGIN_PROGRAM, argc, argv, 0);
    for (;;) {
        rc = option_next(&reader, &row, &value, error);
        if (rc != 0 || row == OPTION_END)
            break;
        if (row == OPTION_ARGUMENT)
            rc = error_set(error, ERR_USAGE, "serve takes options only, not %s", value);
        else
            rc = read_option(settings, row, value, error) == 0 ? 0 : option_blame(&reader, row, error);
        if (rc != 0 || settings->help)
            break;
    }
    if (rc == 0 && !settings->help)
        rc = check_copies(settings, error);
    return rc != 0 || settings->help ? rc : check(&settings->daemon, error);
}

int check_serve(int argc, char **argv, struct error *error)
{
    struct settings settings = {0};

    return read_command_line(argc, argv, &settings, error);
}

int command_serve(int argc, char **argv)
{
    struct settings settings = {.daemon = {.session = {.history_bytes = -1}}};
    struct error error = {0};
    int rc = read_command_line(argc, argv, &settings, &error);

    log_setup(settings.verbose ? LOG_INFO : LOG_WARNING, ORIGIN_PROGRAM, 0);
    /* Whoever typed a command line that is wrong reads it at a terminal. */
    if (rc == 0 || settings.log_format == LOG_JSON)
        log_set_format(settings.log_format);
    if (rc == 0 && settings.help) {
        printf(ORIGIN_PROGRAM " %s\n\n%s. `" ORIGIN_PROGRAM " keygen DIR` makes certificates.\n\n", origin_command_find("serve")->synopsis,
               origin_command_find("serve")->summary);
        option_print_help(serve_options, ORIGIN_PROGRAM, stdout);
        return 0;
    }
    setenv("UV_THREADPOOL_SIZE", WORKERS, 0);
    if (rc == 0)
        rc = daemon_run(&settings.daemon, &error);
    if (rc != 0)
        log_line(LOG_ERROR, "%s", error.text);
    return error_exit_status(rc);
}
