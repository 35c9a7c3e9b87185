#include "protocol/page/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/error.h"

struct spool {
    int fd;
    char *directory; /* for the errors */
    uint64_t max;    /* bytes that may be appended */
    uint64_t size;   /* bytes appended */
    uint64_t at;     /* where reading goes on */
};

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* For file systems without O_TMPFILE: a name for a moment. */
static int open_and_unlink(const char *directory)
{
    char *name = NULL;
    int fd, errno_value;

    if (asprintf(&name, "%s/.lockstep-spool-XXXXXX", directory) < 0) {
        errno = ENOMEM;
        return -1;
    }
    fd = mkostemp(name, O_CLOEXEC);
    errno_value = errno;
    if (fd >= 0)
        unlink(name);
    free(name);
    errno = errno_value;
    return fd;
}

int spool_new(struct spool **out, const char *beside, const char *directory, uint64_t max,
              struct error *error)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    int rc = 0;

    *out = NULL;
    if (spool == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    spool->fd = -1;
    spool->max = max;
    spool->directory = directory != NULL ? strdup(directory) : directory_of(beside);
    if (spool->directory == NULL) {
        rc = error_set(error, ERR_INTERNAL, "out of memory");
        goto out;
    }
    spool->fd = open(spool->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (spool->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        spool->fd = open_and_unlink(spool->directory);
    if (spool->fd < 0)
        rc = error_set_errno(error, errno == EMFILE || errno == ENFILE ? ERR_IO : ERR_NOT_ALLOWED,
                             errno, "making a temporary file in %s", spool->directory);
out:
    if (rc != 0)
        spool_free(spool);
    else
        *out = spool;
    return rc;
}

int spool_open(struct spool **out, const char *path, uint64_t max, struct error *error)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    struct stat ours, named;
    int rc = 0;

    *out = NULL;
    if (spool == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    spool->max = max;
    spool->directory = directory_of(path);
    spool->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (spool->directory == NULL)
        rc = error_set(error, ERR_INTERNAL, "out of memory");
    else if (spool->fd < 0)
        rc = error_set_errno(error, ERR_NOT_ALLOWED, errno, "opening %s", path);
    else if (flock(spool->fd, LOCK_EX | LOCK_NB) != 0)
        rc = error_set_errno(error, errno == EWOULDBLOCK ? ERR_BUSY : ERR_IO, errno, "locking %s", path);
    else if (fstat(spool->fd, &ours) != 0 || !S_ISREG(ours.st_mode))
        rc = error_set(error, ERR_NOT_ALLOWED, "opening %s: it is no file", path);
    else if (lstat(path, &named) != 0 || named.st_ino != ours.st_ino || named.st_dev != ours.st_dev)
        rc = error_set(error, ERR_BUSY, "locking %s: another process removed it", path);
    else if ((uint64_t)ours.st_size <= max)
        spool->size = (uint64_t)ours.st_size;
    if (rc != 0)
        spool_free(spool);
    else
        *out = spool;
    return rc;
}

void spool_free(struct spool *spool)
{
    if (spool == NULL)
        return;
    if (spool->fd >= 0)
        close(spool->fd);
    free(spool->directory);
    free(spool);
}

int spool_append(struct spool *spool, const void *data, size_t len, struct error *error)
{
    const uint8_t *next = data;
    uint64_t at = spool->size;
    size_t left = len;

    if (len > spool->max - spool->size)
        return error_set(error, ERR_PROTOCOL,
                         "keeping what comes in %s: it is more than the %llu bytes that it can be",
                         spool->directory, (unsigned long long)spool->max);
    while (left > 0) {
        ssize_t wrote = pwrite(spool->fd, next, left, (off_t)at);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return error_set_errno(error, ERR_IO, wrote == 0 ? ENOSPC : errno,
                                   "keeping what comes in %s", spool->directory);
        next += wrote;
        at += (uint64_t)wrote;
        left -= (size_t)wrote;
    }
    spool->size = at;
    return 0;
}

void spool_rewind(struct spool *spool)
{
    spool->at = 0;
}

void spool_seek(struct spool *spool, uint64_t at)
{
    assert(at <= spool->size);
    spool->at = at;
}

int spool_truncate(struct spool *spool, uint64_t size, struct error *error)
{
    assert(size <= spool->size);
    /* Of a file that was cut to nothing ext4 writes all to the disk when it is closed (auto_da_alloc), even one without a name. */
    if (size == spool->size)
        return 0;
    if (ftruncate(spool->fd, (off_t)size) != 0)
        return error_set_errno(error, ERR_IO, errno, "keeping what comes in %s", spool->directory);
    spool->size = size;
    if (spool->at > size)
        spool->at = size;
    return 0;
}

int spool_read(struct spool *spool, void *data, size_t len, size_t *got, struct error *error)
{
    uint8_t *next = data;

    *got = 0;
    if (len > spool->size - spool->at)
        len = (size_t)(spool->size - spool->at);
    while (len > 0) {
        ssize_t count = pread(spool->fd, next + *got, len, (off_t)spool->at);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return error_set_errno(error, ERR_IO, count == 0 ? EIO : errno,
                                   "reading what came from %s", spool->directory);
        *got += (size_t)count;
        spool->at += (uint64_t)count;
        len -= (size_t)count;
    }
    return 0;
}

uint64_t spool_size(const struct spool *spool)
{
    return spool->size;
}
