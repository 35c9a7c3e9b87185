#include "replica/unpushed.h"

#include <stdio.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/page/database.h"
#include "protocol/page/database_copy.h"

int unpushed_keep(const char *local, uint32_t timeout_ms, struct error *error)
{
    struct database *db;
    char stamp[32];
    char path[4200];
    int rc = database_open(&db, local, 0, timeout_ms, error);

    if (rc != 0)
        return rc;
    clock_format_utc(clock_wall_seconds(), stamp, sizeof(stamp));
    snprintf(path, sizeof(path), "%s.unpushed-%s", local, stamp);
    rc = database_copy(db, path, error);
    database_free(db);
    if (rc != 0)
        return error_wrap(error, "keeping the unpushed changes of %s", local);
    log_line(LOG_WARNING, "%s had changes that were never pushed; they are kept in %s", local,
             path);
    return 0;
}
