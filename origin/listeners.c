#include "origin/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <uv.h>

#include "origin/socket_address.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"

#define BACKLOG 511
/* The first descriptor that systemd hands over, sd_listen_fds(3). */
#define FIRST_INHERITED 3

struct listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } socket;
    int is_pending; /* a connection waits */
    char path[108]; /* of a Unix socket that was made here; else "" */
    ino_t inode;    /* of its file */
    struct listeners *all;
};

struct listeners {
    struct listener members[LISTENERS_MAX];
    unsigned count;
    unsigned open;
    uv_loop_t *loop;
    void (*on_connection)(uv_stream_t *listener, void *user);
    void *user;
    void (*on_closed)(void *user);
    void *closed_user;
};

int listeners_new(struct listeners **listeners, uv_loop_t *loop, void (*on_connection)(uv_stream_t *listener, void *user),
                  void *user, struct error *error)
{
    struct listeners *new = calloc(1, sizeof(*new));

    *listeners = new;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->loop = loop;
    new->on_connection = on_connection;
    new->user = user;
    return 0;
}

static void connection_cb(uv_stream_t *stream, int status)
{
    struct listener *member = stream->data;

    if (status != 0) {
        /* Most likely no descriptor is left (EMFILE): libuv has dropped the connection, and goes on. */
        log_line(LOG_WARNING, "a connection could not be taken: %s", uv_strerror(status));
        return;
    }
    member->all->on_connection(stream, member->all->user);
}

void listeners_defer(struct listeners *listeners, uv_stream_t *listener)
{
    struct listener *member = listener->data;

    (void)listeners;
    member->is_pending = 1;
}

void listeners_retry(struct listeners *listeners)
{
    for (unsigned i = 0; i < listeners->count; i++) {
        struct listener *member = &listeners->members[i];

        if (!member->is_pending || uv_is_closing(&member->socket.handle))
            continue;
        member->is_pending = 0;
        listeners->on_connection(&member->socket.stream, listeners->user);
    }
}

/* ---- opening ---- */

/* The next member; its socket is initialized as TCP or as Unix socket. */
static struct listener *next_member(struct listeners *listeners, int is_tcp, struct error *error)
{
    struct listener *member = &listeners->members[listeners->count];

    if (listeners->count == LISTENERS_MAX) {
        error_set(error, ERR_USAGE, "--listen: at most %d sockets", LISTENERS_MAX);
        return NULL;
    }
    if (is_tcp)
        uv_tcp_init(listeners->loop, &member->socket.tcp);
    else
        uv_pipe_init(listeners->loop, &member->socket.pipe, 0);
    member->socket.handle.data = member;
    member->all = listeners;
    listeners->count++;
    listeners->open++;
    return member;
}

static int listen_now(struct listener *member, int status, const char *address, struct error *error)
{
    if (status == 0)
        status = uv_listen(&member->socket.stream, BACKLOG, connection_cb);
    return status == 0 ? 0 : error_set(error, ERR_IO, "listening at %s: %s", address, uv_strerror(status));
}

/* Remove a socket's file that nobody listens at any more. */
static void remove_stale(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    int fd;

    if (lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode) || strlen(path) >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 && errno == ECONNREFUSED)
        unlink(path);
    if (fd >= 0)
        close(fd);
}

static int add_unix(struct listeners *listeners, const char *path, struct error *error)
{
    struct listener *member;
    struct stat status;
    int rc;

    if (path[0] == '\0' || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return error_set(error, ERR_USAGE, "--listen unix:%s: a socket's path has 1 to 107 bytes", path);
    member = next_member(listeners, 0, error);
    if (member == NULL)
        return error->code;
    remove_stale(path);
    rc = listen_now(member, uv_pipe_bind(&member->socket.pipe, path), path, error);
    if (rc == 0 && stat(path, &status) == 0) {
        snprintf(member->path, sizeof(member->path), "%s", path);
        member->inode = status.st_ino;
    }
    return rc;
}

int listeners_add(struct listeners *listeners, const char *address, struct error *error)
{
    struct sockaddr_storage numbers;
    struct listener *member;

    if (strncmp(address, "unix:", 5) == 0)
        return add_unix(listeners, address + 5, error);
    if (socket_address_read(address, &numbers) != 0)
        return error_set(error, ERR_USAGE, "--listen: \"%s\" is none of ADDRESS:PORT, [IPv6 ADDRESS]:PORT and unix:PATH", address);
    member = next_member(listeners, 1, error);
    if (member == NULL)
        return error->code;
    return listen_now(member, uv_tcp_bind(&member->socket.tcp, (const struct sockaddr *)&numbers, 0), address, error);
}

/* The number in the environment variable, 0 where there is none. */
static long environment_number(const char *name)
{
    const char *text = getenv(name);

    return text != NULL ? strtol(text, NULL, 10) : 0;
}

int listeners_add_inherited(struct listeners *listeners, unsigned *count, struct error *error)
{
    long inherited = environment_number("LISTEN_PID") == (long)getpid() ? environment_number("LISTEN_FDS") : 0;
    int rc = 0;

    *count = 0;
    for (int fd = FIRST_INHERITED; rc == 0 && fd < FIRST_INHERITED + inherited; fd++) {
        uv_handle_type type = uv_guess_handle(fd);
        struct listener *member;
        int status;

        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (type != UV_TCP && type != UV_NAMED_PIPE)
            return error_set(error, ERR_USAGE, "LISTEN_FDS: descriptor %d is no stream socket", fd);
        member = next_member(listeners, type == UV_TCP, error);
        if (member == NULL)
            return error->code;
        status = type == UV_TCP ? uv_tcp_open(&member->socket.tcp, fd) : uv_pipe_open(&member->socket.pipe, fd);
        rc = listen_now(member, status, "a socket of systemd", error);
        ++*count;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    return rc;
}

/* ---- looking after them ---- */

/* Whether connections can still come to the member. */
static int can_be_reached(const struct listener *member)
{
    struct stat status;
    socklen_t len = sizeof(int);
    int listens = 0;
    uv_os_fd_t fd;

    if (uv_fileno(&member->socket.handle, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || !listens)
        return 0;
    /* A Unix socket is found by its file alone. */
    return member->path[0] == '\0' ||
           (stat(member->path, &status) == 0 && status.st_ino == member->inode);
}

int listeners_check(const struct listeners *listeners, struct error *error)
{
    for (unsigned i = 0; i < listeners->count; i++) {
        const struct listener *member = &listeners->members[i];

        if (!can_be_reached(member))
            return error_set(error, ERR_IO, "nobody can connect any more: %s%s is gone",
                             member->path[0] != '\0' ? "the socket " : "a listening socket", member->path);
    }
    return 0;
}

/* ---- closing ---- */

static void finish(struct listeners *listeners)
{
    void (*on_closed)(void *user) = listeners->on_closed;
    void *user = listeners->closed_user;

    free(listeners);
    on_closed(user);
}

static void member_closed_cb(uv_handle_t *handle)
{
    struct listener *member = handle->data;

    if (--member->all->open == 0)
        finish(member->all);
}

void listeners_close(struct listeners *listeners, void (*on_closed)(void *user), void *user)
{
    listeners->on_closed = on_closed;
    listeners->closed_user = user;
    for (unsigned i = 0; i < listeners->count; i++)
        uv_close(&listeners->members[i].socket.handle, member_closed_cb);
    if (listeners->count == 0)
        finish(listeners);
}
