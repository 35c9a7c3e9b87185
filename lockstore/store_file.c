#include "lockstore/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/sha.h>
#include <uv.h>

#include "lockstore/store.h"
#include "protocol/base/clock.h"
#include "protocol/base/hex.h"
#include "protocol/base/limits.h"

#define ETAG_SIZE (2 * SHA256_DIGEST_LENGTH + 3)

struct store_file {
    struct store base;
    uv_loop_t *loop;
    char *path;
    char *guard_path;
    char *new_path;
    int stays_here; /* work is done on the loop's thread, not on the pool's */
    int busy;       /* an operation is on the thread pool, or its callback on the way */
    void (*closed)(void *arg);
    void *closed_arg;
    uv_idle_t
        closer; /* for a close while nothing is under way, and for the callback of work done here */

    /* The operation under way: written by the loop before it is queued, by the worker until it is
     * done.
     */
    uv_work_t work;
    void (*run)(struct store_file *file); /* get, put or remove_files */
    enum store_condition condition;
    char etag[STORE_ETAG_MAX];
    uint8_t body[LIMIT_LOCK_RECORD];
    size_t body_len;
    store_callback *done;
    void *arg;
    struct store_result result;
    uint8_t content[LIMIT_LOCK_RECORD + 1]; /* what was read */
    size_t content_len;
};

static void file_get(struct store *self, store_callback *done, void *arg);
static void file_put(struct store *self, enum store_condition condition, const char *etag,
                     const uint8_t *body, size_t len, store_callback *done, void *arg);
static void file_remove(struct store *self, store_callback *done, void *arg);
static void file_close(struct store *self, void (*closed)(void *arg), void *arg);
static void file_stay_here(struct store *self);
static void queue(struct store_file *file, void (*run)(struct store_file *), store_callback *done,
                  void *arg);
static void here_cb(uv_idle_t *closer);
static void work(uv_work_t *request);
static void work_done(uv_work_t *request, int status);
static void get(struct store_file *file);
static void put(struct store_file *file);
static void remove_files(struct store_file *file);
static int guard_lock(struct store_file *file);
static int read_content(struct store_file *file, struct stat *info);
static int write_content(struct store_file *file);
static int sync_folder(const char *path);
static int64_t age_ms(struct store_file *file, const struct stat *info);
static void content_etag(const uint8_t *content, size_t len, char etag[ETAG_SIZE]);
static void refuse(struct store_file *file, const char *doing, const char *path);
static void closer_cb(uv_idle_t *closer);
static void closer_closed(uv_handle_t *handle);
static void file_free(struct store_file *file);
static int decode_path(const char *url, char *path, size_t size, struct error *error);

static const struct store_methods methods = {.get = file_get,
                                             .put = file_put,
                                             .remove = file_remove,
                                             .close = file_close,
                                             .stay_here = file_stay_here};

int store_file_open(struct store **store, struct uv_loop_s *loop, const char *url,
                    struct error *error)
{
    struct store_file *file = NULL;
    char path[LIMIT_PATH];
    int rc;

    rc = decode_path(url, path, sizeof(path), error);
    if (rc != 0)
        return rc;
    file = calloc(1, sizeof(*file));
    if (file == NULL || asprintf(&file->path, "%s", path) < 0 ||
        asprintf(&file->guard_path, "%s.guard", path) < 0 ||
        asprintf(&file->new_path, "%s.new", path) < 0) {
        free(file);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    file->base.methods = &methods;
    snprintf(file->base.url, sizeof(file->base.url), "%s", url);
    file->loop = loop;
    uv_idle_init(loop, &file->closer);
    *store = &file->base;
    return 0;
}

/* file:///path, file://localhost/path and file:/path name /path: RFC 8089. */
static int decode_path(const char *url, char *path, size_t size, struct error *error)
{
    const char *at = url + strlen("file:");
    size_t len = 0;

    if (strncmp(at, "//localhost/", 12) == 0)
        at += strlen("//localhost");
    else if (strncmp(at, "//", 2) == 0)
        at += 2;
    if (*at != '/')
        return error_set(error, ERR_USAGE,
                         "%s: a lock in a file is named by an absolute path, file:///path", url);
    while (*at != '\0' && len + 1 < size) {
        if (*at != '%') {
            path[len++] = *at++;
            continue;
        }
        if (at[1] == '\0' || hex_decode(at + 1, 2, &path[len], 1) != 0 || path[len] == '\0')
            return error_set(error, ERR_USAGE, "%s: a %% is followed by two digits, %%25 is a %%",
                             url);
        len++;
        at += 3;
    }
    if (*at != '\0' || len + sizeof(".guard") >= size)
        return error_set(error, ERR_USAGE, "%s: the path is too long", url);
    path[len] = '\0';
    if (path[len - 1] == '/')
        return error_set(error, ERR_USAGE, "%s: names a folder; the lock is a file in one", url);
    return 0;
}

static void file_get(struct store *self, store_callback *done, void *arg)
{
    queue((struct store_file *)self, get, done, arg);
}

static void file_remove(struct store *self, store_callback *done, void *arg)
{
    queue((struct store_file *)self, remove_files, done, arg);
}

static void file_put(struct store *self, enum store_condition condition, const char *etag,
                     const uint8_t *body, size_t len, store_callback *done, void *arg)
{
    struct store_file *file = (struct store_file *)self;

    file->condition = condition;
    snprintf(file->etag, sizeof(file->etag), "%s", etag != NULL ? etag : "");
    file->body_len = len <= sizeof(file->body) ? len : sizeof(file->body);
    memcpy(file->body, body, file->body_len);
    queue(file, put, done, arg);
}

static void queue(struct store_file *file, void (*run)(struct store_file *), store_callback *done,
                  void *arg)
{
    file->run = run;
    file->done = done;
    file->arg = arg;
    file->busy = 1;
    file->work.data = file;
    memset(&file->result, 0, sizeof(file->result));
    file->result.age_ms = -1;
    if (file->stays_here) {
        run(file);
        uv_idle_start(&file->closer, here_cb);
        return;
    }
    uv_queue_work(file->loop, &file->work, work, work_done); /* fails for a NULL callback alone */
}

static void here_cb(uv_idle_t *closer)
{
    struct store_file *file =
        (struct store_file *)((char *)closer - offsetof(struct store_file, closer));

    uv_idle_stop(closer);
    work_done(&file->work, 0);
}

static void work(uv_work_t *request)
{
    struct store_file *file = request->data;

    file->run(file);
}

static void work_done(uv_work_t *request, int status)
{
    struct store_file *file = request->data;

    (void)status; /* uv_cancel is not used */
    file->busy = 0;
    if (file->closed != NULL)
        uv_close((uv_handle_t *)&file->closer, closer_closed);
    else
        file->done(file->arg, &file->result);
}

/* On the thread pool. A rename is atomic: no lock is needed to read. */
static void get(struct store_file *file)
{
    struct stat info;

    if (read_content(file, &info) != 0)
        return;
    content_etag(file->content, file->content_len, file->result.etag);
    file->result.body = file->content;
    file->result.body_len = file->content_len;
    file->result.age_ms = age_ms(file, &info);
    file->result.outcome = STORE_OK;
}

/* On the thread pool. Closing the guard unlocks it. */
static void put(struct store_file *file)
{
    char etag[ETAG_SIZE] = "";
    struct stat info;
    int guard = guard_lock(file);

    if (guard < 0)
        return;
    if (read_content(file, &info) == 0)
        content_etag(file->content, file->content_len, etag);
    else if (file->result.outcome != STORE_ABSENT)
        goto out;
    if (file->condition == STORE_IF_ABSENT && etag[0] != '\0') {
        file->result.outcome = STORE_MISMATCH;
    } else if (file->condition == STORE_IF_MATCH && strcmp(etag, file->etag) != 0) {
        file->result.outcome = etag[0] == '\0' ? STORE_ABSENT : STORE_MISMATCH;
    } else if (write_content(file) == 0) {
        content_etag(file->body, file->body_len, file->result.etag);
        file->result.outcome = STORE_OK;
    }
out:
    close(guard);
}

/* On the thread pool. The guard goes too: only the doctor removes, what nobody else has opened. */
static void remove_files(struct store_file *file)
{
    if ((unlink(file->path) != 0 && errno != ENOENT) ||
        (unlink(file->guard_path) != 0 && errno != ENOENT))
        refuse(file, "deleting", file->path);
    else
        file->result.outcome = STORE_OK;
}

/* Returns a descriptor, or -1 with the result filled. Not a blocking flock: that has no deadline.
 */
static int guard_lock(struct store_file *file)
{
    uint64_t deadline = clock_monotonic_ms() + STORE_FILE_TIMEOUT_MS;
    struct timespec pause = {0, 1000000};
    int guard = open(file->guard_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

    if (guard < 0) {
        refuse(file, "opening", file->guard_path);
        return -1;
    }
    while (flock(guard, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            refuse(file, "locking", file->guard_path);
            close(guard);
            return -1;
        }
        if (clock_monotonic_ms() >= deadline) {
            file->result.outcome = STORE_UNKNOWN;
            error_set(&file->result.error, ERR_STORE_UNUSABLE,
                      "another process keeps %s locked; is one stopped?", file->guard_path);
            close(guard);
            return -1;
        }
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 16000000)
            pause.tv_nsec *= 2;
    }
    return guard;
}

/* Returns 0, or -1 with the result filled: absent, or what was the matter. */
static int read_content(struct store_file *file, struct stat *info)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = 0;

    file->content_len = 0;
    if (fd < 0 && errno == ENOENT) {
        file->result.outcome = STORE_ABSENT;
        return -1;
    }
    if (fd < 0 || fstat(fd, info) != 0) {
        refuse(file, "reading", file->path);
        goto out;
    }
    do {
        got =
            read(fd, file->content + file->content_len, sizeof(file->content) - file->content_len);
        if (got > 0)
            file->content_len += (size_t)got;
    } while (got > 0 && file->content_len < sizeof(file->content));
    if (got < 0) {
        refuse(file, "reading", file->path);
    } else if (file->content_len > LIMIT_LOCK_RECORD) {
        file->result.outcome = STORE_REFUSED;
        error_set(&file->result.error, ERR_STORE_UNUSABLE, "%s is no lock record: it is too large",
                  file->path);
        got = -1;
    }
out:
    if (fd >= 0)
        close(fd);
    return fd < 0 || got < 0 || file->result.outcome == STORE_REFUSED ? -1 : 0;
}

/*
 * Returns 0, or -1 with the result filled. Under the guard, so that one name for the new file is
 * enough, and what a crash left there is overwritten. A failure after the rename leaves the answer
 * open: the content is there, but may not outlive a power failure.
 */
static int write_content(struct store_file *file)
{
    int fd = open(file->new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    size_t done = 0;
    ssize_t put_now = 0;

    if (fd < 0) {
        refuse(file, "opening", file->new_path);
        return -1;
    }
    while (done < file->body_len && put_now >= 0) {
        put_now = write(fd, file->body + done, file->body_len - done);
        if (put_now > 0)
            done += (size_t)put_now;
    }
    if (done < file->body_len || fsync(fd) != 0) {
        refuse(file, "writing", file->new_path);
        close(fd);
        unlink(file->new_path);
        return -1;
    }
    close(fd);
    if (rename(file->new_path, file->path) != 0) {
        refuse(file, "renaming to", file->path);
        unlink(file->new_path);
        return -1;
    }
    if (sync_folder(file->path) != 0) {
        file->result.outcome = STORE_UNKNOWN;
        error_set_errno(&file->result.error, ERR_STORE_UNUSABLE, errno, "syncing the folder of %s",
                        file->path);
        return -1;
    }
    return 0;
}

static int sync_folder(const char *path)
{
    char folder[LIMIT_PATH];
    char *slash;
    int fd, rc;

    snprintf(folder, sizeof(folder), "%s", path);
    slash = strrchr(folder, '/');
    slash[slash == folder] = '\0';
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    rc = fsync(fd);
    close(fd);
    return rc;
}

/* How old the record is by the file system's clock; -1 where that cannot be told. */
static int64_t age_ms(struct store_file *file, const struct stat *info)
{
    struct stat now;
    int64_t age = -1;
    int guard = open(file->guard_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

    if (guard >= 0 && futimens(guard, NULL) == 0 && fstat(guard, &now) == 0)
        age = ((int64_t)now.st_mtim.tv_sec - (int64_t)info->st_mtim.tv_sec) * 1000 +
              (now.st_mtim.tv_nsec - info->st_mtim.tv_nsec) / 1000000;
    if (guard >= 0)
        close(guard);
    return age < 0 ? -1 : age;
}

static void content_etag(const uint8_t *content, size_t len, char etag[ETAG_SIZE])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256(content, len, digest);
    etag[0] = '"';
    hex_encode(digest, sizeof(digest), etag + 1);
    memcpy(etag + ETAG_SIZE - 2, "\"", 2);
}

static void refuse(struct store_file *file, const char *doing, const char *path)
{
    file->result.outcome = STORE_REFUSED;
    error_set_errno(&file->result.error, ERR_STORE_UNUSABLE, errno, "the lock's file: %s %s", doing,
                    path);
}

static void file_stay_here(struct store *self)
{
    ((struct store_file *)self)->stays_here = 1;
}

/* The thread pool cannot be interrupted: what is there is waited for, and its answer dropped. */
static void file_close(struct store *self, void (*closed)(void *arg), void *arg)
{
    struct store_file *file = (struct store_file *)self;

    file->closed = closed;
    file->closed_arg = arg;
    if (!file->busy)
        uv_idle_start(&file->closer, closer_cb);
}

static void closer_cb(uv_idle_t *closer)
{
    uv_close((uv_handle_t *)closer, closer_closed);
}

static void closer_closed(uv_handle_t *handle)
{
    struct store_file *file =
        (struct store_file *)((char *)handle - offsetof(struct store_file, closer));
    void (*closed)(void *arg) = file->closed;
    void *arg = file->closed_arg;

    file_free(file);
    closed(arg);
}

static void file_free(struct store_file *file)
{
    free(file->path);
    free(file->guard_path);
    free(file->new_path);
    free(file);
}
