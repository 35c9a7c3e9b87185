#include "origin/database_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/page/database.h"

/* A lock of another program is no fault of the database: it is not waited for. */
#define LOCK_WAIT_MS 100

struct watched {
    char *path;
    enum database_watch_kind kind;
    /* The file that was last opened with success. */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct database_watch {
    uv_mutex_t mutex; /* guards count, and the members below it against being added to */
    struct watched members[DATABASE_WATCH_MAX];
    unsigned count;
    int write; /* W_OK, or 0 where nothing is written */
};

struct database_watch *database_watch_new(int is_read_only)
{
    struct database_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return NULL;
    uv_mutex_init(&watch->mutex);
    watch->write = is_read_only ? 0 : W_OK;
    return watch;
}

void database_watch_free(struct database_watch *watch)
{
    if (watch == NULL)
        return;
    for (unsigned i = 0; i < watch->count; i++)
        free(watch->members[i].path);
    uv_mutex_destroy(&watch->mutex);
    free(watch);
}

void database_watch_add(struct database_watch *watch, const char *path,
                        enum database_watch_kind kind)
{
    struct watched *member;
    unsigned i;

    if (watch == NULL)
        return;
    uv_mutex_lock(&watch->mutex);
    for (i = 0; i < watch->count && strcmp(watch->members[i].path, path) != 0; i++)
        ;
    member = &watch->members[i];
    if (i == watch->count && i < DATABASE_WATCH_MAX && (member->path = strdup(path)) != NULL) {
        member->kind = kind;
        watch->count++;
    }
    uv_mutex_unlock(&watch->mutex);
}

/* ---- looking ---- */

static int check_folder(const struct watched *member, int write, struct error *error)
{
    const char *slash = strrchr(member->path, '/');
    char folder[PATH_MAX];
    struct statvfs space;

    if (member->kind == DATABASE_WATCH_FOLDER)
        snprintf(folder, sizeof(folder), "%s", member->path);
    else
        snprintf(folder, sizeof(folder), "%.*s",
                 slash == NULL           ? 1
                 : slash == member->path ? 1
                                         : (int)(slash - member->path),
                 slash == NULL ? "." : member->path);
    if (faccessat(AT_FDCWD, folder, R_OK | X_OK | write, AT_EACCESS) != 0)
        return errno == ENOENT && member->kind == DATABASE_WATCH_SEEN
                   ? 0
                   : error_set_errno(error, ERR_NOT_ALLOWED, errno, "the folder %s", folder);
    if (write != 0 && statvfs(folder, &space) == 0 && space.f_blocks > 0 && space.f_bavail == 0)
        return error_set(error, ERR_DISK_FULL, "no space is left in %s", folder);
    return 0;
}

/* A file beside or of the database: missing, or a regular one that can be read, and written where that is wanted. */
static int check_file(const char *path, int write, struct stat *status, struct error *error)
{
    if (stat(path, status) != 0) {
        status->st_size = 0;
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : error_set_errno(error, ERR_IO, errno, "%s", path);
    }
    if (!S_ISREG(status->st_mode))
        return error_set(error, ERR_NOT_A_DATABASE, "%s is no regular file", path);
    if (faccessat(AT_FDCWD, path, R_OK | write, AT_EACCESS) != 0)
        return error_set_errno(error, ERR_NOT_ALLOWED, errno, "%s", path);
    return 0;
}

/* Have SQLite open it and read its header, unless this very file was fine before. */
static int check_content(struct watched *member, const struct stat *status, struct error *error)
{
    struct database_state state;
    struct database *db = NULL;
    int rc;

    if (status->st_size == 0 ||
        (member->device == status->st_dev && member->inode == status->st_ino &&
         member->size == status->st_size && member->changed.tv_sec == status->st_mtim.tv_sec &&
         member->changed.tv_nsec == status->st_mtim.tv_nsec))
        return 0;
    rc = database_open(&db, member->path, 0, LOCK_WAIT_MS, error);
    if (rc == 0)
        rc = database_begin_read(db, &state, error);
    database_free(db);
    /* What is locked or has gone meanwhile is no fault. */
    if (rc != 0)
        return rc == ERR_BUSY || rc == ERR_NO_DATABASE ? 0 : rc;
    member->device = status->st_dev;
    member->inode = status->st_ino;
    member->size = status->st_size;
    member->changed = status->st_mtim;
    return 0;
}

static int check(struct watched *member, int write, struct error *error)
{
    char sidecar[PATH_MAX];
    struct stat status = {0};
    int rc = check_folder(member, write, error);

    if (rc != 0 || member->kind == DATABASE_WATCH_FOLDER)
        return rc;
    snprintf(sidecar, sizeof(sidecar), "%s-lockstep", member->path);
    rc = check_file(sidecar, write, &status, error);
    if (rc == 0)
        rc = check_file(member->path, write, &status, error);
    if (rc == 0)
        rc = check_content(member, &status, error);
    return rc;
}

unsigned database_watch_check(struct database_watch *watch, char *text, size_t text_size)
{
    struct error error;
    unsigned faults = 0;
    unsigned count;
    size_t used;

    text[0] = '\0';
    uv_mutex_lock(&watch->mutex);
    count = watch->count;
    uv_mutex_unlock(&watch->mutex);
    /* What is there stays where it is; only this call touches more than the path. */
    for (unsigned i = 0; i < count; i++) {
        error_init(&error);
        if (check(&watch->members[i], watch->write, &error) == 0)
            continue;
        if (faults++ == 0)
            snprintf(text, text_size, "%s", error.text);
    }
    used = strlen(text);
    if (faults > 1)
        snprintf(text + used, text_size - used, " (and %u more)", faults - 1);
    return faults;
}
