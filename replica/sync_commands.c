/* The commands that hold one conversation and end: pull, push, status, verify, history, and the sqlite3_rsync form. */
#include "replica/commands.h"

#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/log.h"
#include "protocol/link/endpoint.h"
#include "replica/report.h"
#include "replica/report_json.h"
#include "replica/settings.h"
#include "replica/transfer.h"
#include "replica/transfer_progress.h"
#include "replica/version_list.h"

/* One conversation under way. */
struct conversing {
    enum transfer_kind kind;
    struct transfer *transfer;
    struct progress *progress;
    struct transfer_outcome *outcome;
};

static void on_end(void *user, const struct transfer_outcome *outcome)
{
    struct conversing *conversing = user;

    *conversing->outcome = *outcome;
    progress_end(conversing->progress, outcome->error.code == ERR_NONE);
}

static void on_look(void *user, struct progress_view *view)
{
    const struct conversing *conversing = user;

    transfer_progress(conversing->transfer, conversing->kind, view);
}

/* Hold one conversation to its end. Returns outcome->error.code. */
static int transfer(enum transfer_kind kind, const struct settings *settings, const char *origin, const char *local,
                    struct transfer_outcome *outcome)
{
    struct conversing conversing = {.kind = kind, .outcome = outcome};
    struct transfer_options options = {.kind = kind,
                                       .connect = &settings->connect,
                                       .local = local,
                                       .origin_name = origin,
                                       .sync = settings->sync,
                                       .versions = (uint32_t)settings->limit,
                                       .on_end = on_end,
                                       .user = &conversing};
    const struct progress_options progress = {.mode = settings->progress,
                                              .is_asked = settings->progress_is_asked,
                                              .verbose = settings->verbose,
                                              .quiet = settings->quiet || (settings->command == COMMAND_SYNC && !settings->progress_is_asked),
                                              .look = on_look,
                                              .user = &conversing};
    struct endpoint endpoint;
    uv_loop_t loop;
    int rc;

    memset(outcome, 0, sizeof(*outcome));
    rc = endpoint_parse(&endpoint, origin, &outcome->error);
    if (rc != 0)
        return rc;
    options.origin = &endpoint;
    uv_loop_init(&loop);
    if (transfer_start(&conversing.transfer, &loop, &options, &outcome->error) == 0) {
        /* It is done all the same where nothing can be told of it. */
        progress_start(&conversing.progress, &loop, &progress, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&loop);
    endpoint_release(&endpoint);
    return outcome->error.code;
}

/* Whether the user gave two arguments, and the one that must be a file of this machine, that at index local, is one. */
static int check_arguments(const struct settings *settings, int local, const char *synopsis, struct error *error)
{
    if (settings->argument_count != 2)
        return error_set(error, ERR_USAGE, "say: lockstep %s", synopsis);
    return settings_check_local(settings->arguments[local], error);
}

/* The fence that --token and --lease tell, for a push inside somebody else's script that holds the lock. */
static int read_fence(const struct settings *settings, struct fence *fence, struct error *error)
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

/* Of a pull or push that is through. Returns the exit status. */
static int tell(const struct settings *settings, const char *verb, const struct transfer_outcome *outcome)
{
    if (settings->command != COMMAND_SYNC)
        report_sync(settings, verb, outcome);
    else if (!settings->json)
        report_sqlite3_rsync(settings, outcome);
    if (settings->json)
        report_json_sync(verb, outcome);
    return 0;
}

int command_pull(const struct settings *settings)
{
    struct transfer_outcome outcome = {0};

    if (check_arguments(settings, 1, "pull ORIGIN LOCAL", &outcome.error) != 0 ||
        transfer(TRANSFER_PULL, settings, settings->arguments[0], settings->arguments[1], &outcome) != 0)
        return report_error(settings, &outcome.error);
    return tell(settings, "pulled", &outcome);
}

int command_push(const struct settings *settings)
{
    struct transfer_outcome outcome = {0};
    struct settings fenced = *settings;

    if (check_arguments(settings, 0, "push LOCAL ORIGIN", &outcome.error) != 0 ||
        read_fence(settings, &fenced.sync.fence, &outcome.error) != 0 ||
        transfer(TRANSFER_PUSH, &fenced, settings->arguments[1], settings->arguments[0], &outcome) != 0)
        return report_error(settings, &outcome.error);
    return tell(settings, "pushed", &outcome);
}

/* What a person wants to know about where the two stand. */
static const char *describe_state(const struct transfer_outcome *outcome)
{
    const struct message_hello *hello = &outcome->comparison.hello;
    int origin_at_base = outcome->book.has_base && memcmp(outcome->book.base_root, hello->geometry.root, ROOT_SIZE) == 0;

    if (hello->geometry.page_count == 0 && outcome->local.page_count == 0)
        return "there is no database on either side";
    if (outcome->comparison.equal)
        return "in sync";
    if (hello->geometry.page_count == 0)
        return "the origin has no database";
    if (outcome->local.page_count == 0)
        return "no local copy: pull";
    if (!outcome->book.has_lineage || memcmp(hello->lineage, outcome->book.lineage, LINEAGE_SIZE) != 0)
        return "never synced with this origin";
    if (outcome->at_base)
        return "the origin is ahead: pull";
    return origin_at_base ? "local changes not yet pushed: push" : "diverged: local changes, and the origin moved on";
}

int command_status(const struct settings *settings)
{
    struct transfer_outcome outcome = {0};

    if (check_arguments(settings, 1, "status ORIGIN LOCAL", &outcome.error) != 0 ||
        transfer(TRANSFER_STATUS, settings, settings->arguments[0], settings->arguments[1], &outcome) != 0)
        return report_error(settings, &outcome.error);
    report_status(settings, describe_state(&outcome), &outcome);
    return 0;
}

int command_verify(const struct settings *settings)
{
    struct transfer_outcome outcome = {0};

    if (check_arguments(settings, 1, "verify ORIGIN LOCAL", &outcome.error) != 0 ||
        transfer(TRANSFER_VERIFY, settings, settings->arguments[0], settings->arguments[1], &outcome) != 0)
        return report_error(settings, &outcome.error);
    if (outcome.comparison.equal || !settings->json)
        report_digests(settings, &outcome);
    if (outcome.comparison.equal)
        return 0;
    error_set(&outcome.error, ERR_VERIFY_FAILED,
              "the contents of %s and %s are not the same; `lockstep status` tells which side moved", settings->arguments[0],
              settings->arguments[1]);
    return report_error(settings, &outcome.error);
}

int command_history(const struct settings *settings)
{
    struct transfer_outcome outcome = {0};
    int rc = 0;

    if (settings->argument_count != 1)
        rc = error_set(&outcome.error, ERR_USAGE, "say: lockstep history ORIGIN");
    if (rc == 0)
        rc = transfer(TRANSFER_HISTORY, settings, settings->arguments[0], NULL, &outcome);
    if (rc == 0)
        report_history(settings, &outcome);
    else
        rc = report_error(settings, &outcome.error);
    version_list_free(outcome.versions);
    return rc;
}

int command_sync(const struct settings *settings)
{
    struct settings form = *settings;
    struct transfer_outcome outcome = {0};
    const char *origin = settings->arguments[0];
    const char *replica = settings->arguments[1];
    struct endpoint endpoints[2] = {0};
    int is_push = 0;
    int rc;

    rc = settings->argument_count == 2
             ? 0
             : error_set(&outcome.error, ERR_USAGE, "say: ORIGIN REPLICA [OPTIONS]; --help tells more");
    if (rc == 0)
        rc = endpoint_parse(&endpoints[0], origin, &outcome.error);
    if (rc == 0)
        rc = endpoint_parse(&endpoints[1], replica, &outcome.error);
    if (rc == 0 && endpoints[0].kind != ENDPOINT_LOCAL && endpoints[1].kind != ENDPOINT_LOCAL)
        rc = error_set(&outcome.error, ERR_USAGE,
                       "at least one of ORIGIN and REPLICA must be a local database, and both of these are remote");
    is_push = rc == 0 && endpoints[1].kind != ENDPOINT_LOCAL;
    endpoint_release(&endpoints[0]);
    endpoint_release(&endpoints[1]);
    /* What users of sqlite3_rsync expect: the replica becomes a copy, whatever it was, unless that would lose everything. */
    form.sync.any_base = 1;
    if (rc == 0 && is_push)
        rc = transfer(TRANSFER_PUSH, &form, replica, origin, &outcome);
    else if (rc == 0)
        rc = transfer(TRANSFER_PULL, &form, origin, replica, &outcome);
    if (rc != 0 && rc != ERR_USAGE && !settings->json)
        puts("Databases were not synced due to errors");
    if (rc != 0)
        return report_error(settings, &outcome.error);
    return tell(settings, is_push ? "pushed" : "pulled", &outcome);
}
