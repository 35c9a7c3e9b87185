#include "replica/kept_base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/page/read_window.h"
#include "protocol/page/run_writer.h"

struct kept_base {
    int fd;
    uint32_t page_size;
    struct run_writer writer;
    struct read_window window; /* of the file, with what was written */
};

int kept_base_read_mode(const char *text, enum kept_base_mode *mode, struct error *error)
{
    static const char *const names[] = {"auto", "reflink", "copy", "none"};

    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            *mode = (enum kept_base_mode)i;
            return 0;
        }
    }
    return error_set(error, ERR_USAGE, "--base: \"%s\" is none of auto, reflink, copy, none", text);
}

/* The base's name, with an ending. To be freed; NULL: memory ran out. */
static char *base_path(const char *real_path, const char *ending)
{
    char *path;

    return asprintf(&path, "%s-lockstep-base%s", real_path, ending) < 0 ? NULL : path;
}

void kept_base_open(struct kept_base **base, const char *real_path, uint32_t page_size)
{
    char *path = base_path(real_path, "");
    struct kept_base *new = calloc(1, sizeof(*new));

    *base = NULL;
    if (new != NULL && path != NULL) {
        new->page_size = page_size;
        new->fd = open(path, O_RDWR | O_CLOEXEC);
        if (new->fd >= 0) {
            run_writer_init(&new->writer, new->fd, "the kept base", 0);
            read_window_set(&new->window, READ_WINDOW_NEAR_GAP, READ_WINDOW_NEAR_PIECE);
            *base = new;
            new = NULL;
        }
    }
    free(new);
    free(path);
}

void kept_base_free(struct kept_base *base)
{
    if (base == NULL)
        return;
    run_writer_flush(&base->writer, NULL);
    run_writer_release(&base->writer);
    read_window_release(&base->window);
    close(base->fd);
    free(base);
}

int kept_base_read_page(struct kept_base *base, uint32_t pgno, uint8_t *page)
{
    uint64_t at = (uint64_t)(pgno - 1) * base->page_size;
    ssize_t got = -1;
    uint8_t *piece;

    if (run_writer_holds(&base->writer, at, base->page_size))
        run_writer_flush(&base->writer, NULL);
    if (read_window_copy(&base->window, page, base->page_size, at))
        return 1;
    piece = read_window_plan(&base->window, base->page_size, at);
    if (piece != NULL)
        got = pread(base->fd, piece, base->window.piece_len, (off_t)at);
    if (got < (ssize_t)base->page_size)
        return pread(base->fd, page, base->page_size, (off_t)at) == (ssize_t)base->page_size;
    read_window_fill(&base->window, at, (size_t)got);
    memcpy(page, piece, base->page_size);
    return 1;
}

void kept_base_write_page(struct kept_base *base, uint32_t pgno, const uint8_t *page)
{
    uint64_t at = (uint64_t)(pgno - 1) * base->page_size;

    read_window_write(&base->window, page, base->page_size, at);
    /* What was not written whole has the wrong hash, which is all that a failure means here. */
    run_writer_put(&base->writer, at, page, base->page_size, NULL);
}

void kept_base_truncate(struct kept_base *base, uint32_t page_count)
{
    read_window_drop(&base->window);
    run_writer_flush(&base->writer, NULL);
    if (ftruncate(base->fd, (off_t)page_count * base->page_size) != 0)
        return;
}

/* ---- making one ---- */

static int has_room(int fd, uint64_t size)
{
    struct statvfs room;

    return fstatvfs(fd, &room) == 0 && (uint64_t)room.f_bavail * room.f_frsize >= size;
}

static int copy_bytes(int from, int to, uint64_t size)
{
    while (size > 0) {
        ssize_t copied = copy_file_range(from, NULL, to, NULL, size, 0);
        if (copied < 0 && errno == EINTR)
            continue;
        if (copied < 0)
            return -1;
        if (copied == 0)
            break;
        size -= (uint64_t)copied;
    }
    return 0;
}

static int fill(int from, int to, enum kept_base_mode mode, struct error *error)
{
    struct stat status;

    if (fstat(from, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "keeping the base");
    if (mode != KEPT_BASE_COPY && ioctl(to, FICLONE, from) == 0)
        return 0;
    if (mode == KEPT_BASE_REFLINK)
        return error_set_errno(error, ERR_IO, errno, "--base reflink: keeping the base by a reflink");
    if (!has_room(to, 2 * (uint64_t)status.st_size))
        return error_set(error, ERR_DISK_FULL, "--base copy: less than twice the database's size is free");
    if (copy_bytes(from, to, (uint64_t)status.st_size) != 0)
        return error_set_errno(error, ERR_IO, errno, "keeping the base by a copy");
    return 0;
}

/* Make the base under another name and rename it, so that what has the name was filled to the end. */
static int make(const char *real_path, const char *path, const char *temporary, enum kept_base_mode mode, struct error *error)
{
    struct stat status;
    int from = open(real_path, O_RDONLY | O_CLOEXEC);
    int to = -1;
    int rc = 0;

    if (from < 0 || fstat(from, &status) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "keeping the base of %s", real_path);
    else if ((to = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, status.st_mode & 0666)) < 0)
        rc = error_set_errno(error, ERR_IO, errno, "making %s", temporary);
    if (rc == 0)
        rc = fill(from, to, mode, error);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "making %s", path);
    if (rc != 0 && to >= 0)
        unlink(temporary);
    if (to >= 0)
        close(to);
    if (from >= 0)
        close(from);
    return rc;
}

/* Let the base that was written together with the database have its name. 0 where there is none, or not all of it. */
static int adopt(const char *real_path, const char *path, const char *temporary)
{
    struct stat database, written;

    return stat(real_path, &database) == 0 && lstat(temporary, &written) == 0 && S_ISREG(written.st_mode) &&
           written.st_size == database.st_size && chmod(temporary, database.st_mode & 0666) == 0 && rename(temporary, path) == 0;
}

int kept_base_begin(const char *real_path, int from, enum kept_base_mode mode, uint64_t size)
{
    char *temporary = base_path(real_path, ".tmp");
    int fd = -1;

    if (temporary != NULL && (mode == KEPT_BASE_AUTO || mode == KEPT_BASE_COPY))
        fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    /* Where there are reflinks, the whole costs nothing later. The database itself is still to be written as well. */
    if (fd >= 0 && ((mode == KEPT_BASE_AUTO && ioctl(fd, FICLONE, from) == 0) || !has_room(fd, 3 * size))) {
        unlink(temporary);
        close(fd);
        fd = -1;
    }
    free(temporary);
    return fd;
}

void kept_base_abandon(const char *real_path)
{
    char *temporary = base_path(real_path, ".tmp");

    if (temporary != NULL)
        unlink(temporary);
    free(temporary);
}

int kept_base_make(const char *real_path, enum kept_base_mode mode, struct error *error)
{
    char *path = base_path(real_path, "");
    char *temporary = base_path(real_path, ".tmp");
    int rc = 0;

    if (path == NULL || temporary == NULL)
        rc = error_set(error, ERR_INTERNAL, "out of memory");
    else if (mode == KEPT_BASE_NONE)
        unlink(path);
    else if (!adopt(real_path, path, temporary) && access(path, F_OK) != 0)
        rc = make(real_path, path, temporary, mode, error);
    free(path);
    free(temporary);
    if (rc != 0 && mode == KEPT_BASE_AUTO) {
        error_init(error);
        rc = 0;
    }
    return rc;
}
