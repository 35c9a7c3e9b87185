#include "protocol/page/run_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"

#define RUN_MAX (1u << 18)
#define HURRY   (8u << 20) /* bytes that the disk is set to work on at once */

void run_writer_init(struct run_writer *writer, int fd, const char *name, int hurries)
{
    *writer = (struct run_writer){.fd = fd, .twin = -1, .hurries = hurries, .name = name};
}

static void close_twin(struct run_writer *writer)
{
    if (writer->twin >= 0)
        close(writer->twin);
    writer->twin = -1;
}

void run_writer_release(struct run_writer *writer)
{
    close_twin(writer);
    free(writer->held);
    writer->held = NULL;
    writer->held_len = 0;
}

/* Write all of it; -1 and errno where that fails. */
static int write_at(int fd, uint64_t at, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t wrote = pwrite(fd, data, len, (off_t)at);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            errno = wrote == 0 ? ENOSPC : errno;
            return -1;
        }
        data += wrote;
        at += (uint64_t)wrote;
        len -= (size_t)wrote;
    }
    return 0;
}

/* No more than a hint: whether it is done, only an fsync tells. */
static void hurry(struct run_writer *writer)
{
    uint64_t end = writer->held_at;

    if (end < writer->hurried)
        writer->hurried = end;
    if (!writer->hurries || end - writer->hurried < HURRY)
        return;
    sync_file_range(writer->fd, (off_t)writer->hurried, (off_t)(end - writer->hurried),
                    SYNC_FILE_RANGE_WRITE);
    writer->hurried = end;
}

int run_writer_flush(struct run_writer *writer, struct error *error)
{
    size_t len = writer->held_len;
    uint64_t at = writer->held_at;

    writer->held_len = 0;
    if (len == 0)
        return 0;
    if (write_at(writer->fd, at, writer->held, len) != 0)
        return error_set_errno(error, ERR_IO, errno, "writing %s", writer->name);
    if (writer->twin >= 0 && write_at(writer->twin, at, writer->held, len) != 0) {
        /* Whether or not it can be emptied, what stands there is never trusted unproven. */
        if (ftruncate(writer->twin, 0) != 0)
            errno = 0;
        close_twin(writer);
    }
    writer->held_at += len;
    hurry(writer);
    return 0;
}

int run_writer_put(struct run_writer *writer, uint64_t at, const uint8_t *data, size_t len,
                   struct error *error)
{
    int rc;

    assert(len <= LIMIT_PAGE_SIZE_MAX);
    if (writer->held == NULL && (writer->held = malloc(RUN_MAX)) == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    if (at != writer->held_at + writer->held_len || writer->held_len + len > RUN_MAX) {
        rc = run_writer_flush(writer, error);
        if (rc != 0)
            return rc;
        writer->held_at = at;
    }
    memcpy(writer->held + writer->held_len, data, len);
    writer->held_len += len;
    return 0;
}

int run_writer_holds(const struct run_writer *writer, uint64_t at, size_t len)
{
    return at < writer->held_at + writer->held_len && at + len > writer->held_at;
}

void run_writer_drop(struct run_writer *writer)
{
    writer->held_len = 0;
}

void run_writer_take_twin(struct run_writer *writer, int fd)
{
    close_twin(writer);
    writer->twin = fd;
}
