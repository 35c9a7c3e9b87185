#include "replica/run_preview.h"

#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "replica/converse.h"
#include "replica/report.h"
#include "replica/report_json.h"
#include "replica/settings.h"

int run_preview(const struct settings *settings)
{
    struct settings pull = *settings;
    struct transfer_outcome outcome = {0};
    const char *local = settings->arguments[1];
    int rc;

    pull.sync.will_push = 1;
    rc = converse(TRANSFER_PULL, &pull, settings->arguments[0], local, &outcome);
    if (rc == ERR_UNPUSHED) {
        log_line(LOG_WARNING, "%s has changes that were never pushed: the run would keep them beside it", local);
        pull.sync.discard = 1;
        rc = converse(TRANSFER_PULL, &pull, settings->arguments[0], local, &outcome);
    }
    if (rc != 0)
        return report_error(settings, &outcome.error);
    report_sync(settings, "pulled", &outcome);
    if (settings->json)
        report_json_sync("pulled", &outcome);
    return 0;
}
