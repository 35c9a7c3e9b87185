#include "replica/unpushed.h"

#include <stdio.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/page/database.h"
#include "protocol/page/database_copy.h"

int unpushed_copy(const char *local, const char *kind, uint32_t timeout_ms, char *path, size_t path_size, struct error *error)
{
    struct database *db;
    char stamp[32];
    int rc = database_open(&db, local, 0, timeout_ms, error);

    if (rc != 0)
        return rc;
    clock_format_utc(clock_wall_seconds(), stamp, sizeof(stamp));
    if ((size_t)snprintf(path, path_size, "%s.%s-%s", local, kind, stamp) >= path_size)
        rc = error_set(error, ERR_USAGE, "the name of %s is too long to put another beside it", local);
    if (rc == 0)
        rc = database_copy(db, path, error);
    database_free(db);
    return rc;
}

int unpushed_keep(const char *local, uint32_t timeout_ms, struct error *error)
{
    char path[UNPUSHED_PATH_MAX];
    int rc = unpushed_copy(local, "unpushed", timeout_ms, path, sizeof(path), error);

    if (rc != 0)
        return error_wrap(error, "keeping the unpushed changes of %s", local);
    log_line(LOG_WARNING, "%s had changes that were never pushed; they are kept in %s", local, path);
    return 0;
}
