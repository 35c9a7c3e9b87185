#include "replica/unpushed.h"

#include <stdio.h>
#include <unistd.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/page/database.h"
#include "protocol/page/database_copy.h"

#define MORE_MAX 99

int unpushed_copy(const char *local, const char *kind, uint32_t timeout_ms, char *path, size_t path_size, struct error *error)
{
    struct database *db;
    char stamp[32];
    int rc = database_open(&db, local, 0, timeout_ms, error);

    if (rc != 0)
        return rc;
    clock_format_utc(clock_wall_seconds(), stamp, sizeof(stamp));
    if ((size_t)snprintf(path, path_size, "%s.%s-%s", local, kind, stamp) >= path_size - 4)
        rc = error_set(error, ERR_USAGE, "the name of %s is too long to put another beside it", local);
    /* One more within the second. */
    for (int more = 2; rc == 0 && access(path, F_OK) == 0 && more <= MORE_MAX; more++)
        snprintf(path, path_size, "%s.%s-%s-%d", local, kind, stamp, more);
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
