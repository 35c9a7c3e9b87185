#include "replica/settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/instance.h"
#include "protocol/base/limits.h"
#include "protocol/base/option_text.h"
#include "protocol/base/options.h"
#include "protocol/link/endpoint.h"
#include "protocol/page/compress.h"
#include "replica/command_table.h"

#define IO_TIMEOUT_MIN_MS 10000

#define SYNCS  (COMMAND_PULL | COMMAND_PUSH | COMMAND_RUN | COMMAND_SYNC)
#define LINKS  (SYNCS | COMMAND_STATUS | COMMAND_VERIFY | COMMAND_HISTORY | COMMAND_DIFF | COMMAND_RESOLVE)
#define LEASES (COMMAND_RUN | COMMAND_LOCK)
#define ALL    (LINKS | LEASES)

enum {
    LOCK_URL,
    LOCK_WAIT,
    LOCK_TIMEOUT,
    KILL_AFTER,
    TOKEN,
    LEASE_ID,
    INSTANCE,
    ADOPT,
    DISCARD,
    FORCE_RESET,
    REPLACE,
    WAL_ONLY,
    TIMEOUT,
    LEVEL,
    NO_COMPRESS,
    BASE,
    EXE,
    SSH,
    PORT,
    IDENTITY,
    SSH_CONFIG,
    ACCEPT_NEW,
    CA,
    PIN,
    CERT,
    KEY,
    TOKEN_FILE,
    CONNECT_TIMEOUT,
    RETRY_FOR,
    PROTOCOL,
    VERBOSE,
    QUIET,
    JSON,
    PROGRESS,
    STATS,
    LIMIT,
    DRY_RUN,
    BWLIMIT,
    IO_TIMEOUT,
    TAKE_ORIGIN,
    KEEP_LOCAL,
    OVER,
    VERSION,
    HELP,
    ROWS
};

static const struct {
    struct option option;
    unsigned commands; /* that take it */
} rows[ROWS] = {
    [LOCK_URL] = {{"lock", "URL", "the lock that says who may push: s3://bucket/key or file:///path", NULL, 0}, COMMAND_RUN},
    [LOCK_WAIT] = {{"lock-wait", "TIME", "how long to wait for another holder; 0: not at all", "300s", 0}, LEASES},
    [LOCK_TIMEOUT] = {{"lock-timeout", "TIME", "how long the lock lasts without a renewal", "60s", 0}, LEASES},
    [KILL_AFTER] = {{"kill-after", "TIME", "from SIGTERM to SIGKILL for a job that lost the lock", "10s", 0}, COMMAND_RUN},
    [TOKEN] = {{"token", "N", "the token that the lock was acquired with", NULL, OPTION_NO_VARIABLE}, COMMAND_LOCK | COMMAND_PUSH | COMMAND_RESOLVE},
    [LEASE_ID] = {{"lease", "ID", "the lease id that the lock was acquired with", NULL, OPTION_NO_VARIABLE | OPTION_SECRET}, COMMAND_LOCK | COMMAND_PUSH | COMMAND_RESOLVE},
    [INSTANCE] = {{"instance", "NAME", "who this is, in the lock and in logs; default: machine and process", NULL, 0}, ALL},
    [ADOPT] = {{"adopt", NULL, "join two databases of different content of which one was never synced", NULL, 0}, SYNCS},
    [DISCARD] = {{"discard", NULL, "give up local changes that were never pushed", NULL, 0}, COMMAND_PULL | COMMAND_RUN},
    [FORCE_RESET] = {{"force-reset", NULL, "replace a database by an empty one or by one of another lineage", NULL, 0}, SYNCS},
    [REPLACE] = {{"replace", NULL, "rebuild the receiver's file where the page sizes differ", NULL, 0}, SYNCS},
    [WAL_ONLY] = {{"wal-only", NULL, "do not sync unless both databases are in WAL mode", NULL, 0}, SYNCS},
    [TIMEOUT] = {{"timeout", "TIME", "how long to wait for a locked database", "30s", 0}, LINKS},
    [LEVEL] = {{"compress-level", "N", "zstd's level, 1 to 19; default: 3, and for a pull what the origin is set to", NULL, 0}, SYNCS | COMMAND_RESOLVE},
    [NO_COMPRESS] = {{"no-compress", NULL, "send pages as they are", NULL, 0}, SYNCS | COMMAND_RESOLVE},
    [BASE] = {{"base", "auto|reflink|copy|none", "how to keep what was last synced, for small pushes; auto: reflink where the\nfile system can, else copy where there is room", "auto", 0}, SYNCS | COMMAND_RESOLVE},
    [EXE] = {{"exe", "PATH", "name of the lockstep-origin program on the remote side", NULL, 0}, LINKS},
    [SSH] = {{"ssh", "PROGRAM", "reach the remote side by this ssh program instead of the built-in one", NULL, 0}, LINKS},
    [PORT] = {{"p|port", "PORT", "TCP port PORT instead of 22 (SSH) or 7433 (tls://)", NULL, 0}, LINKS},
    [IDENTITY] = {{"i|identity", "FILE", "a private key to log in with", NULL, OPTION_REPEATS}, LINKS},
    [SSH_CONFIG] = {{"F|ssh-config", "FILE", "read this ssh configuration instead of ~/.ssh/config", NULL, 0}, LINKS},
    [ACCEPT_NEW] = {{"accept-new-host-key", NULL, "trust and remember the key of a host that is not known yet", NULL, 0}, LINKS},
    [CA] = {{"ca", "FILE", "tls://: the CA that signed the origin's certificate; default: the system's CAs", NULL, 0}, LINKS},
    [PIN] = {{"pin", "SHA256", "tls://: trust the origin with this certificate or public key, whoever signed it", NULL, 0}, LINKS},
    [CERT] = {{"cert", "FILE", "tls://: our certificate, PEM", NULL, 0}, LINKS},
    [KEY] = {{"key", "FILE", "tls://: its key; default: in the file of the certificate", NULL, 0}, LINKS},
    [TOKEN_FILE] = {{"token-file", "FILE", "tls://: our token, the first line of FILE", NULL, 0}, LINKS},
    [CONNECT_TIMEOUT] = {{"connect-timeout", "TIME", "how long connecting may take", "20s", 0}, LINKS},
    [RETRY_FOR] = {{"retry-for", "TIME", "how long to try again while an origin daemon is stopped or full; 0: not at all", "60s", 0}, LINKS},
    [PROTOCOL] = {{"protocol", "N", "accepted for sqlite3_rsync's sake; Lockstep has a protocol of its own", NULL, 0}, COMMAND_SYNC},
    [VERBOSE] = {{"v|verbose", NULL, "say what is done and what it took; more v's say more", NULL, OPTION_REPEATS}, ALL},
    [QUIET] = {{"q|quiet", NULL, "say nothing but errors", NULL, 0}, ALL},
    [JSON] = {{"json", NULL, "print the outcome as one JSON object", NULL, 0}, ALL | COMMAND_CONFIG},
    [PROGRESS] = {{"progress", "[=auto|line|plain|json|none]", "tell on stderr how far it is; auto, the default: a line on a terminal, elsewhere\nplain lines with --progress or -v", NULL, 0}, LINKS},
    [STATS] = {{"stats", NULL, "say afterwards all that can be told: pages, bytes, round trips, seconds by phase", NULL, 0}, SYNCS | COMMAND_RESOLVE},
    [LIMIT] = {{"limit", "N", "how many versions, 1 to 1000", "20", 0}, COMMAND_HISTORY},
    [DRY_RUN] = {{"n|dry-run", NULL, "tell what would go over (run: with the pull), and change nothing on either side", NULL, 0}, SYNCS},
    [BWLIMIT] = {{"bwlimit", "RATE", "send at most so many KiB a second, on either side; with K, M, G (of 1024),\nKB, MB, GB (of 1000) or b: of these", NULL, 0}, SYNCS | COMMAND_RESOLVE},
    [IO_TIMEOUT] = {{"io-timeout", "TIME", "how long the other side may be silent, at least 10s", "60s", 0}, LINKS},
    [TAKE_ORIGIN] = {{"take-origin", NULL, "keep the local work in a file beside LOCAL, and take the origin's content", NULL, OPTION_NO_VARIABLE}, COMMAND_RESOLVE},
    [KEEP_LOCAL] = {{"keep-local", NULL, "keep the origin's content in a file beside LOCAL, and push LOCAL over it", NULL, OPTION_NO_VARIABLE}, COMMAND_RESOLVE},
    [OVER] = {{"over", "VERSION", "with --keep-local: only if this is the origin's version", NULL, OPTION_NO_VARIABLE}, COMMAND_RESOLVE},
    [VERSION] = {{"version", NULL, "print the version", NULL, OPTION_ALONE}, ALL},
    [HELP] = {{"h|help|?", NULL, "print this", NULL, OPTION_ALONE}, ALL | COMMAND_CONFIG | COMMAND_COMPLETION},
};

/* The rows of a command, and which row of all each one is. */
struct subset {
    struct option table[ROWS + 1];
    int row[ROWS];
};

static void select_rows(unsigned commands, struct subset *subset)
{
    int count = 0;

    memset(subset, 0, sizeof(*subset));
    for (int row = 0; row < ROWS; row++) {
        if (rows[row].commands & commands) {
            subset->table[count] = rows[row].option;
            subset->row[count++] = row;
        }
    }
}

static int read_identity(struct settings *settings, const char *value, struct error *error)
{
    for (int i = 0; i < CONNECT_IDENTITIES_MAX; i++) {
        if (settings->connect.identities[i] == NULL) {
            settings->connect.identities[i] = value;
            return 0;
        }
    }
    return error_set(error, ERR_USAGE, "--identity: at most %d keys", CONNECT_IDENTITIES_MAX);
}

/* A duration that fits into 32 bits of milliseconds. */
static int read_short_duration(const char *name, const char *value, uint32_t *out, struct error *error)
{
    unsigned long long milliseconds = 0;
    int rc = option_duration(name, value, &milliseconds, error);

    *out = milliseconds < UINT32_MAX / 2 ? (uint32_t)milliseconds : UINT32_MAX / 2;
    return rc;
}

static int read_duration(const char *name, const char *value, uint64_t *out, struct error *error)
{
    unsigned long long milliseconds = 0;
    int rc = option_duration(name, value, &milliseconds, error);

    *out = milliseconds;
    return rc;
}

static int read_integer(const char *name, const char *value, long min, long max, int *out, struct error *error)
{
    long number = 0;
    int rc = option_number(name, value, min, max, &number, error);

    *out = (int)number;
    return rc;
}

static int read_token(const char *value, uint64_t *token, struct error *error)
{
    long number = 0;
    int rc = option_number("token", value, 1, INT64_MAX, &number, error);

    *token = (uint64_t)number;
    return rc;
}

/* The other side announces long work every five seconds. */
static int read_io_timeout(const char *value, uint32_t *out, struct error *error)
{
    int rc = read_short_duration("io-timeout", value, out, error);

    return rc == 0 && *out < IO_TIMEOUT_MIN_MS ? error_set(error, ERR_USAGE, "--io-timeout: \"%s\" is less than 10 seconds", value) : rc;
}

static int read_version(const char *value, uint64_t *version, struct error *error)
{
    long number = 0;
    int rc = option_number("over", value, 1, INT64_MAX, &number, error);

    *version = (uint64_t)number;
    return rc;
}

static void set_flag(struct settings *settings, int row)
{
    int *flags[ROWS] = {[ADOPT] = &settings->sync.adopt,
                        [DISCARD] = &settings->sync.discard,
                        [FORCE_RESET] = &settings->sync.force_reset,
                        [REPLACE] = &settings->sync.replace,
                        [WAL_ONLY] = &settings->sync.wal_only,
                        [ACCEPT_NEW] = &settings->connect.accept_new_host_key,
                        [VERBOSE] = &settings->verbose,
                        [QUIET] = &settings->quiet,
                        [JSON] = &settings->json,
                        [STATS] = &settings->stats,
                        [DRY_RUN] = &settings->sync.dry_run,
                        [TAKE_ORIGIN] = &settings->take_origin,
                        [KEEP_LOCAL] = &settings->keep_local,
                        [VERSION] = &settings->version,
                        [HELP] = &settings->help};

    /* The last word counts: -v undoes a LOCKSTEP_QUIET, and the other way round. */
    if (row == VERBOSE)
        settings->quiet = 0;
    if (row == QUIET)
        settings->verbose = 0;
    if (flags[row] != NULL)
        ++*flags[row];
    if (row == NO_COMPRESS) {
        settings->sync.level = 0;
        settings->sync.wanted_level = LEVEL_NONE;
    }
}

static int read_value(struct settings *settings, int row, const char *value, struct error *error)
{
    int ignored, rc;

    switch (row) {
    case LOCK_URL:
        settings->lock_url = value;
        return 0;
    case LOCK_WAIT:
        return read_duration("lock-wait", value, &settings->lock_wait_ms, error);
    case LOCK_TIMEOUT:
        return read_duration("lock-timeout", value, &settings->lock_timeout_ms, error);
    case KILL_AFTER:
        return read_duration("kill-after", value, &settings->kill_after_ms, error);
    case TOKEN:
        return read_token(value, &settings->token, error);
    case LEASE_ID:
        settings->lease_id = value;
        return 0;
    case INSTANCE:
        snprintf(settings->sync.instance, sizeof(settings->sync.instance), "%s", value);
        return 0;
    case TIMEOUT:
        return read_short_duration("timeout", value, &settings->sync.timeout_ms, error);
    case LEVEL:
        rc = read_integer("compress-level", value, 1, COMPRESS_LEVEL_MAX, &settings->sync.level, error);
        settings->sync.wanted_level = (uint32_t)settings->sync.level;
        return rc;
    case BASE:
        return kept_base_read_mode(value, &settings->sync.base, error);
    case EXE:
        settings->connect.exe = value;
        return 0;
    case SSH:
        settings->connect.ssh_program = value;
        return 0;
    case PORT:
        return read_integer("port", value, 1, 65535, &settings->connect.port, error);
    case IDENTITY:
        return read_identity(settings, value, error);
    case SSH_CONFIG:
        settings->connect.ssh_config = value;
        return 0;
    case CA:
        settings->connect.ca = value;
        return 0;
    case PIN:
        settings->connect.pin = value;
        return 0;
    case CERT:
        settings->connect.cert = value;
        return 0;
    case KEY:
        settings->connect.key = value;
        return 0;
    case TOKEN_FILE:
        settings->connect.token_file = value;
        return 0;
    case CONNECT_TIMEOUT:
        return read_short_duration("connect-timeout", value, &settings->connect.connect_timeout_ms, error);
    case LIMIT:
        return read_integer("limit", value, 1, LIMIT_HISTORY, &settings->limit, error);
    case BWLIMIT:
        return option_rate("bwlimit", value, &settings->sync.rate, error);
    case IO_TIMEOUT:
        return read_io_timeout(value, &settings->sync.io_timeout_ms, error);
    case OVER:
        return read_version(value, &settings->over, error);
    case RETRY_FOR:
        return read_short_duration("retry-for", value, &settings->connect.retry_for_ms, error);
    case PROGRESS:
        settings->progress_is_asked = 1;
        return progress_read_mode(value, &settings->progress, error);
    case PROTOCOL:
        return read_integer("protocol", value, INT32_MIN, INT32_MAX, &ignored, error);
    default:
        return error_set(error, ERR_INTERNAL, "option %d is not read", row);
    }
}

static void set_defaults(struct settings *settings)
{
    memset(settings, 0, sizeof(*settings));
    settings->sync.level = COMPRESS_LEVEL_DEFAULT;
    instance_default(settings->sync.instance);
}

/* An option that is unknown here may be another command's: say whose. */
static int refuse_option(const char *word, struct error *error)
{
    struct subset all;
    int row;

    select_rows(COMMAND_EVERY, &all);
    row = option_find(all.table, word);
    for (const struct command_row *command = command_table; row >= 0 && command->name != NULL; command++) {
        if (rows[all.row[row]].commands & command->command)
            return error_set(error, ERR_USAGE, "there is no option %s here; `lockstep %s` has it", word, command->name);
    }
    return error->code;
}

int settings_read(struct settings *settings, enum command command, int argc, char **argv, int first, struct error *error)
{
    struct option_reader reader;
    struct subset subset;
    const char *value;
    int row;
    int rc;

    set_defaults(settings);
    settings->command = command;
    select_rows(command, &subset);
    option_reader_init(&reader, subset.table, SETTINGS_PROGRAM, argc, argv, first);
    for (;;) {
        rc = option_next(&reader, &row, &value, error);
        if (rc != 0 && option_source(&reader) == OPTION_BY_COMMAND_LINE && option_find(subset.table, argv[reader.at - 1]) < 0)
            rc = refuse_option(argv[reader.at - 1], error);
        if (rc != 0 || row == OPTION_END)
            break;
        if (command == COMMAND_RUN && row == OPTION_ARGUMENT && option_reader_ended(&reader)) {
            settings->job = argv + reader.at - 1;
            break;
        }
        if (row == OPTION_ARGUMENT && settings->argument_count == SETTINGS_ARGUMENTS_MAX)
            rc = error_set(error, ERR_USAGE, "\"%s\" is one argument too many", value);
        else if (row == OPTION_ARGUMENT)
            settings->arguments[settings->argument_count++] = value;
        else if (subset.table[row].argument == NULL)
            set_flag(settings, subset.row[row]);
        else
            rc = read_value(settings, subset.row[row], value, error) == 0 ? 0 : option_blame(&reader, row, error);
        if (rc != 0 || settings->help || settings->version)
            break;
    }
    settings->connect.database_timeout_ms = settings->sync.timeout_ms;
    settings->connect.verbose = settings->verbose;
    settings->connect.instance = settings->sync.instance;
    return rc;
}

int settings_check_local(const char *text, struct error *error)
{
    struct endpoint endpoint;
    int rc = endpoint_parse(&endpoint, text, error);

    if (rc == 0 && endpoint.kind != ENDPOINT_LOCAL)
        rc = error_set(error, ERR_USAGE,
                       "%s is on another machine, and LOCAL must be a file on this machine (one with a ':' in its name is "
                       "written ./NAME)",
                       text);
    endpoint_release(&endpoint);
    return rc;
}

int settings_read_fence(const struct settings *settings, struct fence *fence, struct error *error)
{
    memset(fence, 0, sizeof(*fence));
    if (settings->token == 0 && settings->lease_id == NULL)
        return 0;
    fence->token = settings->token;
    if (settings->token == 0 || settings->lease_id == NULL ||
        hex_decode(settings->lease_id, strlen(settings->lease_id), fence->lease_id, sizeof(fence->lease_id)) != 0)
        return error_set(error, ERR_USAGE, "--token and --lease go together, as `lockstep lock acquire` printed them");
    return 0;
}

void settings_table(unsigned commands, struct option *table)
{
    struct subset subset;

    select_rows(commands, &subset);
    memcpy(table, subset.table, sizeof(subset.table));
}

void settings_print_help(enum command command, FILE *out)
{
    struct subset subset;

    select_rows(command, &subset);
    option_print_help(subset.table, SETTINGS_PROGRAM, out);
}
