#include "replica/converse.h"

#include <string.h>

#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/link/endpoint.h"
#include "replica/progress.h"
#include "replica/settings.h"
#include "replica/transfer_progress.h"

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

int converse(enum transfer_kind kind, const struct settings *settings, const char *origin, const char *local,
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
