#include "protocol/page/database_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/page/database.h"

static int write_whole(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, data, len);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            data += written;
            len -= (size_t)written;
        }
    }
    return 0;
}

/* Copy the pages within the open read transaction. */
static int copy_pages(struct database *db, const struct database_state *state, int fd, const char *path, struct error *error)
{
    uint8_t *page = malloc(state->page_size + 1);
    int rc = page != NULL ? 0 : error_set(error, ERR_INTERNAL, "out of memory");

    for (uint32_t pgno = 1; rc == 0 && pgno <= state->page_count; pgno++) {
        rc = database_read_page(db, pgno, page, error);
        if (rc == 0 && write_whole(fd, page, state->page_size) != 0)
            rc = error_set_errno(error, ERR_IO, errno, "writing %s", path);
    }
    if (rc == 0 && fsync(fd) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "writing %s", path);
    free(page);
    return rc;
}

int database_copy(struct database *db, const char *path, struct error *error)
{
    struct database_state state;
    int rc = database_begin_read(db, &state, error);
    int fd;

    if (rc != 0)
        return rc;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        rc = error_set_errno(error, ERR_IO, errno, "making %s", path);
    } else {
        rc = copy_pages(db, &state, fd, path, error);
        if (close(fd) != 0 && rc == 0)
            rc = error_set_errno(error, ERR_IO, errno, "writing %s", path);
        if (rc != 0)
            unlink(path);
    }
    database_end(db);
    return rc;
}
