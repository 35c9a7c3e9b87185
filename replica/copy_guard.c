#include "replica/copy_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"

int copy_guard_take(const char *local, int *fd, struct error *error)
{
    char *real = realpath(local, NULL); /* of a symbolic link, as the sidecar; NULL: there is no copy yet */
    char path[LIMIT_PATH];
    int len = snprintf(path, sizeof(path), "%s-lockstep-run", real != NULL ? real : local);
    int rc = 0;

    *fd = -1;
    free(real);
    if (len >= (int)sizeof(path))
        return error_set(error, ERR_USAGE, "the path %s is too long", local);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return error_set_errno(error, errno == EACCES ? ERR_NOT_ALLOWED : ERR_IO, errno, "opening %s", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        rc = error_set(error, ERR_BUSY,
                       "another `lockstep run` works on %s, or the job of one that was killed: `fuser %s` shows which process; let it "
                       "end, or end it",
                       local, path);
    else
        rc = error_set_errno(error, ERR_IO, errno, "locking %s", path);
    close(*fd);
    *fd = -1;
    return rc;
}

void copy_guard_release(int fd)
{
    if (fd < 0)
        return;
    flock(fd, LOCK_UN);
    close(fd);
}
