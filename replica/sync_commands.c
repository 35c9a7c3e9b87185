/* The commands that hold one conversation and end: pull, push, status, verify, diff, history, and the sqlite3_rsync form. */
#include "replica/commands.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/link/endpoint.h"
#include "replica/converse.h"
#include "replica/page_diff.h"
#include "replica/report.h"
#include "replica/report_json.h"
#include "replica/settings.h"
#include "replica/version_list.h"

/* Whether the user gave two arguments, and the one that must be a file of this machine, that at index local, is one. */
static int check_arguments(const struct settings *settings, int local, const char *synopsis, struct error *error)
{
    if (settings->argument_count != 2)
        return error_set(error, ERR_USAGE, "say: lockstep %s", synopsis);
    return settings_check_local(settings->arguments[local], error);
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
        converse(TRANSFER_PULL, settings, settings->arguments[0], settings->arguments[1], &outcome) != 0)
        return report_error(settings, &outcome.error);
    return tell(settings, "pulled", &outcome);
}

int command_push(const struct settings *settings)
{
    struct transfer_outcome outcome = {0};
    struct settings fenced = *settings;

    if (check_arguments(settings, 0, "push LOCAL ORIGIN", &outcome.error) != 0 ||
        settings_read_fence(settings, &fenced.sync.fence, &outcome.error) != 0 ||
        converse(TRANSFER_PUSH, &fenced, settings->arguments[1], settings->arguments[0], &outcome) != 0)
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
        converse(TRANSFER_STATUS, settings, settings->arguments[0], settings->arguments[1], &outcome) != 0)
        return report_error(settings, &outcome.error);
    report_status(settings, describe_state(&outcome), &outcome);
    return 0;
}

int command_verify(const struct settings *settings)
{
    struct transfer_outcome outcome = {0};

    if (check_arguments(settings, 1, "verify ORIGIN LOCAL", &outcome.error) != 0 ||
        converse(TRANSFER_VERIFY, settings, settings->arguments[0], settings->arguments[1], &outcome) != 0)
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

int command_diff(const struct settings *settings)
{
    struct transfer_outcome outcome = {0};
    int rc;

    if (check_arguments(settings, 1, "diff ORIGIN LOCAL", &outcome.error) != 0 ||
        converse(TRANSFER_DIFF, settings, settings->arguments[0], settings->arguments[1], &outcome) != 0) {
        rc = report_error(settings, &outcome.error);
    } else {
        report_diff(settings, &outcome);
        rc = 0;
    }
    page_diff_free(outcome.diff);
    return rc;
}

int command_history(const struct settings *settings)
{
    struct transfer_outcome outcome = {0};
    int rc = 0;

    if (settings->argument_count != 1)
        rc = error_set(&outcome.error, ERR_USAGE, "say: lockstep history ORIGIN");
    if (rc == 0)
        rc = converse(TRANSFER_HISTORY, settings, settings->arguments[0], NULL, &outcome);
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
        rc = converse(TRANSFER_PUSH, &form, replica, origin, &outcome);
    else if (rc == 0)
        rc = converse(TRANSFER_PULL, &form, origin, replica, &outcome);
    if (rc != 0 && rc != ERR_USAGE && !settings->json)
        puts("Databases were not synced due to errors");
    if (rc != 0)
        return report_error(settings, &outcome.error);
    return tell(settings, is_push ? "pushed" : "pulled", &outcome);
}
