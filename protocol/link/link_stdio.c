#include "protocol/link/link_stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/link/fd_link.h"

static int move_away(int fd, int replacement, const char *name, int *moved, struct error *error);
static void settled(struct fd_link *self);
static void gone(struct fd_link *self);

int link_stdio_new(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                   struct link **out, struct error *error)
{
    struct fd_link *self = NULL;
    int moved[2] = {-1, -1};
    int null_fd = -1;
    int rc;

    *out = NULL;
    if (uv_guess_handle(STDIN_FILENO) == UV_TTY || uv_guess_handle(STDOUT_FILENO) == UV_TTY)
        return error_set(error, ERR_USAGE,
                         "stdin and stdout carry the protocol, but one of them is a terminal: this "
                         "side is started by `lockstep` over SSH, not by hand");
    self = calloc(1, sizeof(*self));
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (self == NULL || null_fd < 0) {
        rc = error_set_errno(error, ERR_INTERNAL, errno, "preparing stdin and stdout");
        goto out;
    }
    rc = move_away(STDIN_FILENO, null_fd, "stdin", &moved[0], error);
    if (rc == 0)
        rc = move_away(STDOUT_FILENO, fcntl(STDERR_FILENO, F_GETFD) >= 0 ? STDERR_FILENO : null_fd,
                       "stdout", &moved[1], error);
    if (rc != 0)
        goto out;
    signal(SIGPIPE, SIG_IGN);
    snprintf(self->link.name, sizeof(self->link.name), "the other side (stdin, stdout)");
    fd_link_init(self, loop, callbacks, user, settled, gone);
    fd_link_open(self, moved[0], "stdin", moved[1], "stdout");
    *out = &self->link;
    self = NULL;
    moved[0] = moved[1] = -1;
out:
    for (int i = 0; i < 2; i++) {
        if (moved[i] >= 0)
            close(moved[i]);
    }
    if (null_fd >= 0)
        close(null_fd);
    free(self);
    return rc;
}

/* Set *moved to a duplicate of fd, and make fd lead where replacement does. */
static int move_away(int fd, int replacement, const char *name, int *moved, struct error *error)
{
    *moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (*moved < 0 || dup2(replacement, fd) < 0)
        return error_set_errno(error, ERR_IO, errno, "%s cannot be used", name);
    return 0;
}

static void settled(struct fd_link *self)
{
    fd_link_finish(self);
}

static void gone(struct fd_link *self)
{
    if (self->is_closing)
        error_init(&self->error);
    self->link.callbacks.on_close(self->link.user, &self->error);
    free(self);
}
