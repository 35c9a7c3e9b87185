#include "protocol/link/ssh_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/error.h"

int ssh_file_read(const char *path, size_t max, char **text, size_t *len, struct error *error)
{
    struct stat info;
    char *data = NULL;
    size_t used = 0;
    ssize_t count;
    int fd;
    int rc = 0;

    *text = NULL;
    /* O_NONBLOCK: a FIFO in the place of the file must not make us wait. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(error,
                               errno == ENOENT || errno == ENOTDIR ? ERR_NO_DATABASE : ERR_IO,
                               errno, "opening %s", path);
    if (fstat(fd, &info) != 0) {
        rc = error_set_errno(error, ERR_IO, errno, "reading %s", path);
        goto out;
    }
    if (!S_ISREG(info.st_mode) || info.st_size < 0 || (size_t)info.st_size > max) {
        /* An empty device stands for an empty file: UserKnownHostsFile /dev/null. */
        if (S_ISCHR(info.st_mode)) {
            info.st_size = 0;
        } else {
            rc = error_set(error, ERR_IO, "%s is not a regular file of at most %zu bytes", path,
                           max);
            goto out;
        }
    }
    data = malloc((size_t)info.st_size + 1);
    if (data == NULL) {
        rc = error_set(error, ERR_INTERNAL, "out of memory for %s", path);
        goto out;
    }
    while (used < (size_t)info.st_size) {
        count = read(fd, data + used, (size_t)info.st_size - used);
        if (count < 0) {
            rc = error_set_errno(error, ERR_IO, errno, "reading %s", path);
            goto out;
        }
        if (count == 0)
            break;
        used += (size_t)count;
    }
    data[used] = '\0';
    *text = data;
    data = NULL;
    if (len != NULL)
        *len = used;
out:
    if (data != NULL)
        explicit_bzero(data, used);
    free(data);
    close(fd);
    return rc;
}
