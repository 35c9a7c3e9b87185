#include "protocol/page/first_copy.h"

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
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/page/run_writer.h"

/* Where SQLite's locks are in a database file, and where an open connection's lock is in its -shm
 * file. */
#define SQLITE_LOCKS_AT   0x40000000
#define SQLITE_LOCKS_SIZE 512
#define SHM_LOCKS_AT      120
#define SHM_LOCKS_SIZE    9

#define SCAN_CHUNK (1u << 20) /* bytes read at once; a multiple of any page size */

struct first_copy {
    int fd;              /* the partial, flock'ed; -1 once it was put in place */
    char *target;        /* where it shall stand: an absolute path, no link */
    char *partial;       /* its path until then */
    uint32_t page_size;  /* 0 until the first page is known */
    uint32_t page_count; /* pages that are there, whole, or held by the writer */
    struct run_writer writer;
};

static int out_of_memory(struct error *error)
{
    return error_set(error, ERR_INTERNAL, "out of memory");
}

/* ---- opening and closing ---- */

/* The target with the links of its directory resolved, and its own. */
static int resolve(const char *target, char **resolved, struct error *error)
{
    const char *slash = strrchr(target, '/');
    const char *name = slash != NULL ? slash + 1 : target;
    char *directory, *real_directory;
    struct stat status;
    int rc = 0;

    *resolved = realpath(target, NULL);
    if (*resolved != NULL)
        return 0;
    if (lstat(target, &status) == 0)
        return error_set(error, ERR_NOT_ALLOWED,
                         "making %s: it is a symbolic link to what cannot be reached", target);
    if (name[0] == '\0')
        return error_set(error, ERR_NOT_A_DATABASE, "making %s: no file can have that name",
                         target);
    directory = slash == NULL ? strdup(".") : strndup(target, (size_t)(slash - target) + 1);
    if (directory == NULL)
        return out_of_memory(error);
    real_directory = realpath(directory, NULL);
    if (real_directory == NULL)
        rc = error_set_errno(error, errno == ENOENT ? ERR_NO_DATABASE : ERR_NOT_ALLOWED, errno,
                             "making %s: its directory", target);
    else if (asprintf(resolved, "%s/%s", strcmp(real_directory, "/") == 0 ? "" : real_directory,
                      name) < 0)
        rc = out_of_memory(error);
    free(real_directory);
    free(directory);
    return rc;
}

/* Whether there is nothing at the target yet. *status has st_nlink 0 where there is no file at all.
 */
static int check_target(const struct first_copy *copy, struct stat *status, struct error *error)
{
    if (lstat(copy->target, status) != 0) {
        status->st_nlink = 0;
        if (errno == ENOENT)
            return 0;
        return error_set_errno(error, ERR_NOT_ALLOWED, errno, "making %s", copy->target);
    }
    if (!S_ISREG(status->st_mode))
        return error_set(error, ERR_NOT_A_DATABASE, "making %s: %s", copy->target,
                         S_ISDIR(status->st_mode) ? "it is a directory" : "it is no file");
    if (status->st_size > 0)
        return error_set(error, ERR_MOVED,
                         "making %s: a file of %lld bytes has come to stand there; start again",
                         copy->target, (long long)status->st_size);
    return 0;
}

/* Open the partial and lock it, so that two processes never write to one. */
static int open_partial(struct first_copy *copy, struct error *error)
{
    struct stat ours, named;

    for (;;) {
        copy->fd = open(copy->partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (copy->fd < 0)
            return error_set_errno(error, ERR_NOT_ALLOWED, errno, "making %s", copy->partial);
        if (flock(copy->fd, LOCK_EX | LOCK_NB) != 0)
            return error_set_errno(error, errno == EWOULDBLOCK ? ERR_BUSY : ERR_IO, errno,
                                   "locking %s%s", copy->partial,
                                   errno == EWOULDBLOCK ? ": another lockstep is making that copy; "
                                                          "wait until it is done"
                                                        : "");
        if (fstat(copy->fd, &ours) != 0 || !S_ISREG(ours.st_mode))
            return error_set(error, ERR_NOT_ALLOWED, "making %s: it is no file", copy->partial);
        /* Another process may have put it in place, or removed it, before we had the lock. */
        if (lstat(copy->partial, &named) == 0 && named.st_ino == ours.st_ino &&
            named.st_dev == ours.st_dev)
            return 0;
        close(copy->fd);
        copy->fd = -1;
    }
}

/* Page size and count of what the partial holds, where that begins a database. */
static int read_header(struct first_copy *copy, struct error *error)
{
    uint8_t header[100];
    struct stat status;
    uint32_t size;
    ssize_t got = pread(copy->fd, header, sizeof(header), 0);

    copy->page_size = copy->page_count = 0;
    if (got < 0 || fstat(copy->fd, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "reading %s", copy->partial);
    if (got < (ssize_t)sizeof(header) || memcmp(header, "SQLite format 3", 16) != 0)
        return 0;
    size = (uint32_t)header[16] << 8 | (uint32_t)header[17] << 16;
    if (size < LIMIT_PAGE_SIZE_MIN || size > LIMIT_PAGE_SIZE_MAX || (size & (size - 1)) != 0 ||
        (uint64_t)status.st_size / size > LIMIT_PAGE_COUNT)
        return 0;
    copy->page_size = size;
    copy->page_count = (uint32_t)((uint64_t)status.st_size / size);
    return 0;
}

int first_copy_open(struct first_copy **out, const char *target, struct error *error)
{
    struct first_copy *copy = calloc(1, sizeof(*copy));
    struct stat status;
    int rc;

    *out = NULL;
    if (copy == NULL)
        return out_of_memory(error);
    copy->fd = -1;
    rc = resolve(target, &copy->target, error);
    if (rc == 0 && asprintf(&copy->partial, "%s.lockstep-partial", copy->target) < 0) {
        copy->partial = NULL;
        rc = out_of_memory(error);
    }
    if (rc == 0)
        rc = check_target(copy, &status, error);
    if (rc == 0 && (rc = open_partial(copy, error)) != 0 && copy->fd >= 0) {
        close(copy->fd); /* not ours: it stays, whatever is in it */
        copy->fd = -1;
    }
    run_writer_init(&copy->writer, copy->fd, copy->partial, 1);
    if (rc == 0)
        rc = read_header(copy, error);
    if (rc != 0)
        first_copy_free(copy);
    else
        *out = copy;
    return rc;
}

void first_copy_free(struct first_copy *copy)
{
    if (copy == NULL)
        return;
    if (copy->fd >= 0) {
        run_writer_flush(&copy->writer, NULL);
        if (copy->page_count == 0)
            unlink(copy->partial);
        close(copy->fd);
    }
    run_writer_release(&copy->writer);
    free(copy->partial);
    free(copy->target);
    free(copy);
}

/* ---- pages ---- */

static int read_at(struct first_copy *copy, uint64_t at, uint8_t *data, size_t len,
                   struct error *error)
{
    while (len > 0) {
        ssize_t got = pread(copy->fd, data, len, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_set_errno(error, ERR_IO, got == 0 ? EIO : errno, "reading %s",
                                   copy->partial);
        data += got;
        at += (uint64_t)got;
        len -= (size_t)got;
    }
    return 0;
}

int first_copy_scan(struct first_copy *copy, const struct page_hasher *hasher,
                    struct page_index *index, struct error *error)
{
    uint8_t *chunk = NULL;
    int rc;

    page_index_release(index);
    rc = run_writer_flush(&copy->writer, error);
    if (rc == 0)
        rc = page_index_resize(index, copy->page_count, error);
    if (rc != 0 || copy->page_count == 0)
        return rc;
    index->page_size = copy->page_size;
    chunk = malloc(SCAN_CHUNK);
    if (chunk == NULL) {
        rc = out_of_memory(error);
        goto out;
    }
    for (uint32_t done = 0; done < copy->page_count;) {
        uint32_t count = SCAN_CHUNK / copy->page_size;

        if (count > copy->page_count - done)
            count = copy->page_count - done;
        rc = read_at(copy, (uint64_t)done * copy->page_size, chunk, (size_t)count * copy->page_size,
                     error);
        if (rc != 0)
            goto out;
        for (uint32_t i = 0; i < count; i++, done++)
            index->hashes[done] =
                page_hash(hasher, done + 1, chunk + (size_t)i * copy->page_size, copy->page_size);
    }
out:
    free(chunk);
    if (rc != 0)
        page_index_release(index);
    return rc;
}

int first_copy_descriptor(const struct first_copy *copy)
{
    return copy->fd;
}

void first_copy_take_twin(struct first_copy *copy, int fd)
{
    run_writer_take_twin(&copy->writer, fd);
}

int first_copy_read_page(struct first_copy *copy, uint32_t pgno, uint8_t *page, struct error *error)
{
    int rc;

    if (pgno == 0 || pgno > copy->page_count)
        return error_set(error, ERR_PROTOCOL, "reading %s: there is no page %u among its %u",
                         copy->partial, pgno, copy->page_count);
    rc = run_writer_flush(&copy->writer, error);
    return rc != 0 ? rc
                   : read_at(copy, (uint64_t)(pgno - 1) * copy->page_size, page, copy->page_size,
                             error);
}

/* Begin anew, with another page size. */
static int restart(struct first_copy *copy, uint32_t pgno, uint32_t page_size, struct error *error)
{
    if (pgno != 1 || page_size < LIMIT_PAGE_SIZE_MIN || page_size > LIMIT_PAGE_SIZE_MAX ||
        (page_size & (page_size - 1)) != 0)
        return error_set(error, ERR_PROTOCOL,
                         "writing %s: it cannot begin with page %u, of %u bytes", copy->partial,
                         pgno, page_size);
    run_writer_drop(&copy->writer);
    if (ftruncate(copy->fd, 0) != 0)
        return error_set_errno(error, ERR_IO, errno, "emptying %s", copy->partial);
    copy->page_size = page_size;
    copy->page_count = 0;
    return 0;
}

int first_copy_write_page(struct first_copy *copy, uint32_t pgno, const uint8_t *page,
                          uint32_t page_size, struct error *error)
{
    int rc;

    if (page_size != copy->page_size && (rc = restart(copy, pgno, page_size, error)) != 0)
        return rc;
    if (pgno == page_lock_byte_page(page_size))
        return 0;
    if (pgno == 0 || pgno > LIMIT_PAGE_COUNT)
        return error_set(error, ERR_PROTOCOL, "writing %s: there can be no page %u", copy->partial,
                         pgno);
    rc = run_writer_put(&copy->writer, (uint64_t)(pgno - 1) * page_size, page, page_size, error);
    if (rc == 0 && pgno > copy->page_count)
        copy->page_count = pgno;
    return rc;
}

/* ---- finishing ---- */

/* Whether page 1 is one that SQLite will read as having page_count pages. */
static int check_header(struct first_copy *copy, uint32_t page_count, struct error *error)
{
    uint8_t header[100];
    uint32_t size, count;
    int rc;

    if (page_count == 0 || page_count > copy->page_count)
        return error_set(error, ERR_PROTOCOL, "finishing %s: %u of its %u pages are there",
                         copy->partial, copy->page_count, page_count);
    rc = read_at(copy, 0, header, sizeof(header), error);
    if (rc != 0)
        return rc;
    size = (uint32_t)header[16] << 8 | (uint32_t)header[17] << 16;
    count = (uint32_t)header[28] << 24 | (uint32_t)header[29] << 16 | (uint32_t)header[30] << 8 |
            header[31];
    if (memcmp(header, "SQLite format 3", 16) != 0 || size != copy->page_size ||
        count != page_count)
        return error_set(error, ERR_NOT_A_DATABASE,
                         "finishing %s: page 1 does not begin a database of %u pages of %u bytes",
                         copy->partial, page_count, copy->page_size);
    return 0;
}

/* The descriptor of the directory that the target is in. */
static int open_directory(const struct first_copy *copy, int *fd, struct error *error)
{
    const char *slash = strrchr(copy->target, '/');
    char *directory = strndup(copy->target, slash == copy->target ? 1 : slash - copy->target);
    int rc = 0;

    if (directory == NULL)
        return out_of_memory(error);
    *fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        rc = error_set_errno(error, ERR_NOT_ALLOWED, errno, "opening the directory %s", directory);
    free(directory);
    return rc;
}

/* Whether a process still has a deleted database open, as its lock on the -shm file shows. */
static int check_not_in_use(const char *shm, struct error *error)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHM_LOCKS_AT, .l_len = SHM_LOCKS_SIZE};
    int fd = open(shm, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    int rc = 0;

    if (fd < 0)
        return 0;
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        rc = error_set(error, ERR_BUSY,
                       "making a database beside %s: process %ld still has the one open that was "
                       "deleted there; stop it first",
                       shm, (long)lock.l_pid);
    close(fd);
    return rc;
}

/* Take away what belonged to a database that is gone. */
static int set_aside(const struct first_copy *copy, const char *suffix, struct error *error)
{
    char *old = NULL, *new = NULL;
    struct stat status;
    int rc = 0;

    if (asprintf(&old, "%s%s", copy->target, suffix) < 0)
        return out_of_memory(error);
    if (lstat(old, &status) != 0)
        goto out;
    if (strcmp(suffix, "-shm") == 0) {
        rc = check_not_in_use(old, error);
        if (rc == 0 && unlink(old) != 0 && errno != ENOENT)
            rc = error_set_errno(error, ERR_NOT_ALLOWED, errno, "removing %s", old);
        goto out;
    }
    if (asprintf(&new, "%s.lockstep-stale", old) < 0) {
        new = NULL;
        rc = out_of_memory(error);
        goto out;
    }
    if (rename(old, new) == 0)
        log_line(LOG_WARNING,
                 "%s belonged to a database that is no longer there; it was renamed to %s", old,
                 new);
    else if (errno != ENOENT)
        rc = error_set_errno(error, ERR_NOT_ALLOWED, errno,
                             "renaming %s, which belonged to a database that is gone", old);
out:
    free(new);
    free(old);
    return rc;
}

/*
 * Lock the empty file that is to be replaced as SQLite would for writing, so that no connection
 * puts something in it meanwhile, and give the partial its owner and permissions. *fd is to be
 * closed after the rename.
 */
static int lock_empty(const struct first_copy *copy, int *fd, struct error *error)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = SQLITE_LOCKS_AT,
                         .l_len = SQLITE_LOCKS_SIZE};
    struct stat status, named;

    *fd = open(copy->target, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0)
        return error_set_errno(error, ERR_NOT_ALLOWED, errno, "replacing the empty file %s",
                               copy->target);
    if (fcntl(*fd, F_SETLK, &lock) != 0)
        return error_set(error, ERR_BUSY,
                         "replacing the empty file %s: another program has it locked; try again "
                         "when it is done",
                         copy->target);
    if (fstat(*fd, &status) != 0 || lstat(copy->target, &named) != 0 || status.st_size != 0 ||
        named.st_ino != status.st_ino || named.st_dev != status.st_dev)
        return error_set(error, ERR_MOVED,
                         "replacing the empty file %s: another program has written to it",
                         copy->target);
    if (fchmod(copy->fd, status.st_mode & 07777) != 0 ||
        (fchown(copy->fd, status.st_uid, status.st_gid) != 0 && errno != EPERM))
        return error_set_errno(error, ERR_IO, errno, "setting the permissions of %s",
                               copy->partial);
    return 0;
}

/* Give the partial the target's name, unless something has it. Some file systems know only links
 * for that. */
static int rename_to_missing(const struct first_copy *copy, struct error *error)
{
    if (renameat2(AT_FDCWD, copy->partial, AT_FDCWD, copy->target, RENAME_NOREPLACE) == 0)
        return 0;
    if ((errno == EINVAL || errno == ENOSYS) && link(copy->partial, copy->target) == 0) {
        unlink(copy->partial);
        return 0;
    }
    if (errno == EEXIST)
        return error_set(error, ERR_MOVED, "making %s: a file has come to stand there; start again",
                         copy->target);
    return error_set_errno(error, ERR_IO, errno, "renaming %s to %s", copy->partial, copy->target);
}

static int put_in_place(struct first_copy *copy, int directory_fd, struct error *error)
{
    struct stat status;
    int empty_fd = -1;
    int rc;

    rc = check_target(copy, &status, error);
    if (rc == 0 && status.st_nlink > 0)
        rc = lock_empty(copy, &empty_fd, error);
    if (rc == 0 && fsync(copy->fd) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "making %s durable", copy->partial);
    if (rc == 0 && (rc = set_aside(copy, "-shm", error)) == 0 &&
        (rc = set_aside(copy, "-wal", error)) == 0)
        rc = set_aside(copy, "-journal", error);
    /* What was set aside must never come back beside the new file. */
    if (rc == 0 && fsync(directory_fd) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "making %s durable", copy->target);
    if (rc != 0)
        goto out;
    if (empty_fd < 0)
        rc = rename_to_missing(copy, error);
    else if (rename(copy->partial, copy->target) != 0)
        rc =
            error_set_errno(error, ERR_IO, errno, "renaming %s to %s", copy->partial, copy->target);
    if (rc == 0 && fsync(directory_fd) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "making %s durable", copy->target);
out:
    if (empty_fd >= 0)
        close(empty_fd);
    return rc;
}

int first_copy_finish(struct first_copy *copy, uint32_t page_count, struct error *error)
{
    int directory_fd = -1;
    int rc;

    assert(copy->fd >= 0);
    rc = run_writer_flush(&copy->writer, error);
    if (rc == 0)
        rc = check_header(copy, page_count, error);
    if (rc != 0)
        return rc;
    if (ftruncate(copy->fd, (off_t)page_count * copy->page_size) != 0)
        return error_set_errno(error, ERR_IO, errno, "cutting %s", copy->partial);
    copy->page_count = page_count;
    rc = open_directory(copy, &directory_fd, error);
    if (rc == 0)
        rc = put_in_place(copy, directory_fd, error);
    if (directory_fd >= 0)
        close(directory_fd);
    /* Closed now, and not later when a connection may have locks on that file. */
    if (rc == 0) {
        close(copy->fd);
        copy->fd = -1;
    }
    return rc;
}
