/*
 * `lockstep resolve`: a way out where the local copy and the origin both moved. One side's content wins; the other's is kept in a file
 * beside the local copy first, so that nothing is lost by a wrong choice.
 *
 * Neither way overwrites what was not kept. --take-origin gives up the local content only as long as it is what was kept; --keep-local
 * pushes over exactly the content of the origin that was kept, and a third change in between is a conflict again.
 */
#include "replica/commands.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "replica/converse.h"
#include "replica/copy_guard.h"
#include "replica/report.h"
#include "replica/settings.h"
#include "replica/unpushed.h"

/* Somebody who writes to the local copy all the time would have us keep it again and again. */
#define KEEPS_MAX 3

static int take_origin(const struct settings *settings, struct resolution *resolution, struct error *error)
{
    const char *origin = settings->arguments[0];
    const char *local = settings->arguments[1];
    struct settings form = *settings;
    int rc;

    for (int keeps = 0;; keeps++) {
        rc = converse(TRANSFER_PULL, &form, origin, local, &resolution->pulled);
        *error = resolution->pulled.error;
        if (rc != ERR_UNPUSHED || keeps == KEEPS_MAX)
            return rc;
        rc = unpushed_copy(local, "unpushed", form.sync.timeout_ms, resolution->kept, sizeof(resolution->kept), error);
        if (rc != 0)
            return rc;
        form.sync.discard = 1;
        form.sync.has_discard_root = 1;
        memcpy(form.sync.discard_root, resolution->pulled.local.root, sizeof(form.sync.discard_root));
    }
}

/* Before anything is copied: is there something to resolve, and could the push be accepted? */
static int check_origin(const struct settings *settings, struct transfer_outcome *status, struct error *error)
{
    const char *origin = settings->arguments[0];
    const struct message_hello *hello = &status->comparison.hello;
    int rc = converse(TRANSFER_STATUS, settings, origin, settings->arguments[1], status);

    *error = status->error;
    if (rc != 0)
        return rc;
    if (settings->over > 0 && hello->version != settings->over)
        return error_set(error, ERR_STALE_BASE,
                         "%s is at version %llu, not at version %llu; nothing was changed; look at it again (`lockstep history`, "
                         "`lockstep diff`)",
                         origin, (unsigned long long)hello->version, (unsigned long long)settings->over);
    if (hello->fence_token > settings->sync.fence.token)
        return error_set(error, ERR_FENCED,
                         "%s is guarded by a lock (token %llu was seen): take it with `lockstep lock acquire URL`, give its --token and "
                         "--lease here, and release it afterwards",
                         origin, (unsigned long long)hello->fence_token);
    return 0;
}

/* A copy of the origin's content beside the local one: made of the local content, so that only what differs crosses. */
static int keep_origin(const struct settings *settings, struct resolution *resolution, struct error *error)
{
    struct settings form = *settings;
    int rc = unpushed_copy(settings->arguments[1], "origin", form.sync.timeout_ms, resolution->kept, sizeof(resolution->kept), error);

    if (rc != 0)
        return rc;
    form.sync.any_base = 1;
    form.sync.base = KEPT_BASE_NONE;
    memset(&form.sync.fence, 0, sizeof(form.sync.fence));
    rc = converse(TRANSFER_PULL, &form, settings->arguments[0], resolution->kept, &resolution->pulled);
    *error = resolution->pulled.error;
    return rc;
}

static int keep_local(const struct settings *settings, struct resolution *resolution, struct error *error)
{
    struct settings form = *settings;
    struct transfer_outcome status = {0};
    int rc = check_origin(settings, &status, error);

    if (rc == 0 && !status.comparison.equal && status.comparison.hello.geometry.page_count > 0)
        rc = keep_origin(settings, resolution, error);
    if (rc != 0)
        return rc;
    if (resolution->kept[0] != '\0') {
        const struct sync_result *seen = &resolution->pulled.result;
        if (settings->over > 0 && seen->version != settings->over)
            return error_set(error, ERR_STALE_BASE, "%s moved on to version %llu meanwhile; its content is in %s; nothing was changed there",
                             settings->arguments[0], (unsigned long long)seen->version, resolution->kept);
        form.sync.has_over = 1;
        form.sync.over_version = seen->version;
        memcpy(form.sync.over_root, seen->geometry.root, sizeof(form.sync.over_root));
    }
    rc = converse(TRANSFER_PUSH, &form, settings->arguments[0], settings->arguments[1], &resolution->pushed);
    *error = resolution->pushed.error;
    resolution->has_pushed = rc == 0;
    if (rc == ERR_STALE_BASE)
        error_wrap(error, "the origin changed again while this was being resolved");
    return rc;
}

static int check_arguments(const struct settings *settings, struct error *error)
{
    if (settings->argument_count != 2 || settings->take_origin + settings->keep_local != 1)
        return error_set(error, ERR_USAGE, "say: lockstep resolve --take-origin|--keep-local ORIGIN LOCAL");
    if (settings->over > 0 && !settings->keep_local)
        return error_set(error, ERR_USAGE, "--over goes with --keep-local");
    return settings_check_local(settings->arguments[1], error);
}

int command_resolve(const struct settings *settings)
{
    struct resolution resolution = {.way = settings->take_origin ? "take-origin" : "keep-local"};
    struct settings form = *settings;
    struct error error = {0};
    int guard = -1;
    int rc = check_arguments(settings, &error);

    if (rc == 0)
        rc = settings_read_fence(settings, &form.sync.fence, &error);
    if (rc == 0)
        rc = copy_guard_take(settings->arguments[1], &guard, &error);
    if (rc == 0)
        rc = settings->take_origin ? take_origin(&form, &resolution, &error) : keep_local(&form, &resolution, &error);
    copy_guard_release(guard);
    if (rc == 0)
        report_resolution(settings, &resolution);
    return rc == 0 ? 0 : report_error(settings, &error);
}
