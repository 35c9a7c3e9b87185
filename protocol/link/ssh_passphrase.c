#include "protocol/link/ssh_passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

static void work_cb(uv_work_t *work);
static void after_cb(uv_work_t *work, int status);
static int ask_program(struct ssh_passphrase *ask, const char *program);
static int ask_terminal(struct ssh_passphrase *ask, int tty);

int ssh_passphrase_ask(struct ssh_passphrase *ask, uv_loop_t *loop, const char *prompt,
                       ssh_passphrase_cb *on_done, void *user, struct error *error)
{
    ask->user = user;
    ask->on_done = on_done;
    ask->answer[0] = '\0';
    ask->work.data = ask;
    error_init(&ask->error);
    snprintf(ask->prompt, sizeof(ask->prompt), "%s", prompt);
    ask->cancel_fd = eventfd(0, EFD_CLOEXEC);
    if (ask->cancel_fd < 0)
        return error_set_errno(error, ERR_INTERNAL, errno, "asking for a passphrase");
    uv_queue_work(loop, &ask->work, work_cb, after_cb);
    return 0;
}

void ssh_passphrase_cancel(struct ssh_passphrase *ask)
{
    static const uint64_t one = 1;

    if (write(ask->cancel_fd, &one, sizeof(one)) < 0)
        return; /* an eventfd takes this, unless it was written 2^64 times */
}

void ssh_passphrase_wipe(struct ssh_passphrase *ask)
{
    explicit_bzero(ask->answer, sizeof(ask->answer));
}

static void after_cb(uv_work_t *work, int status)
{
    struct ssh_passphrase *ask = work->data;

    (void)status; /* the work is never cancelled by libuv's means */
    close(ask->cancel_fd);
    ask->on_done(ask, &ask->error);
}

/* Choose between program and terminal as OpenSSH's read_passphrase does. */
static void work_cb(uv_work_t *work)
{
    struct ssh_passphrase *ask = work->data;
    const char *program = getenv("SSH_ASKPASS");
    const char *require = getenv("SSH_ASKPASS_REQUIRE");
    int has_display = getenv("DISPLAY") != NULL || getenv("WAYLAND_DISPLAY") != NULL;
    int is_forced = require != NULL && strcasecmp(require, "force") == 0;
    int is_preferred = require != NULL && strcasecmp(require, "prefer") == 0;
    int is_never = require != NULL && strcasecmp(require, "never") == 0;
    int is_allowed = program != NULL && *program != '\0' && !is_never && (is_forced || has_display);
    int tty = is_allowed && (is_forced || is_preferred) ? -1 : open("/dev/tty", O_RDWR | O_CLOEXEC);

    if (tty >= 0) {
        ask_terminal(ask, tty);
        close(tty);
    } else if (is_allowed) {
        ask_program(ask, program);
    } else {
        error_set(&ask->error, ERR_AUTH,
                  "a passphrase is needed, and there is neither a terminal nor SSH_ASKPASS to ask "
                  "with: load the key into an agent (ssh-add), or set SSH_ASKPASS and "
                  "SSH_ASKPASS_REQUIRE=force");
    }
    if (ask->error.code != ERR_NONE)
        ssh_passphrase_wipe(ask);
}

/* Wait until fd can be read. 0, or ERR_AUTH after ssh_passphrase_cancel. */
static int wait_for(struct ssh_passphrase *ask, int fd)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = ask->cancel_fd, .events = POLLIN}};

    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR)
            return error_set_errno(&ask->error, ERR_AUTH, errno, "waiting for a passphrase");
    }
    return fds[1].revents == 0 ? 0 : error_set(&ask->error, ERR_AUTH, "no passphrase was given");
}

/* ---- a program ---- */

static int spawn_program(struct ssh_passphrase *ask, const char *program, int out, pid_t *pid)
{
    char *argv[] = {(char *)program, ask->prompt, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int failure;

    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    failure = posix_spawn(pid, program, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failure != 0)
        return error_set_errno(&ask->error, ERR_AUTH, failure, "starting SSH_ASKPASS, %s", program);
    return 0;
}

/* Read what the program prints, to its end; the first line counts. */
static int read_answer(struct ssh_passphrase *ask, int fd)
{
    size_t used = 0;
    ssize_t count;
    int rc = 0;

    while (used < sizeof(ask->answer) - 1) {
        rc = wait_for(ask, fd);
        if (rc != 0)
            return rc;
        count = read(fd, ask->answer + used, sizeof(ask->answer) - 1 - used);
        if (count <= 0)
            break;
        used += (size_t)count;
    }
    ask->answer[used] = '\0';
    ask->answer[strcspn(ask->answer, "\r\n")] = '\0';
    return 0;
}

static int ask_program(struct ssh_passphrase *ask, const char *program)
{
    int out[2] = {-1, -1};
    pid_t pid = -1;
    int status = 0;
    int rc;

    if (pipe2(out, O_CLOEXEC) != 0)
        return error_set_errno(&ask->error, ERR_AUTH, errno, "asking for a passphrase");
    rc = spawn_program(ask, program, out[1], &pid);
    close(out[1]);
    if (rc == 0) {
        rc = read_answer(ask, out[0]);
        if (rc != 0)
            kill(pid, SIGTERM);
    }
    close(out[0]);
    if (pid < 0)
        return rc;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (rc == 0 && status != 0)
        rc = error_set(&ask->error, ERR_AUTH, "SSH_ASKPASS, %s, gave no passphrase", program);
    return rc;
}

/* ---- the terminal ---- */

/*
 * Read a line by single keys. Signals are off meanwhile, and Ctrl-C is read as a key: the terminal
 * must not be left without its echo.
 */
static int read_keys(struct ssh_passphrase *ask, int tty)
{
    size_t used = 0;
    char key;
    int rc = 0;

    while ((rc = wait_for(ask, tty)) == 0 && read(tty, &key, 1) == 1) {
        if (key == '\n' || key == '\r')
            break;
        if (key == 0x03 || (key == 0x04 && used == 0)) {
            rc = error_set(&ask->error, ERR_AUTH, "no passphrase was given");
            break;
        }
        if (key == 0x15)
            used = 0;
        else if ((key == 0x7f || key == 0x08) && used > 0)
            used--;
        else if (key != 0x7f && key != 0x08 && used < sizeof(ask->answer) - 1)
            ask->answer[used++] = key;
    }
    ask->answer[used] = '\0';
    return rc;
}

static int ask_terminal(struct ssh_passphrase *ask, int tty)
{
    struct termios saved;
    struct termios quiet;
    int rc;

    if (tcgetattr(tty, &saved) != 0)
        return error_set_errno(&ask->error, ERR_AUTH, errno, "asking for a passphrase");
    quiet = saved;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
        return error_set_errno(&ask->error, ERR_AUTH, errno, "asking for a passphrase");
    rc = dprintf(tty, "%s", ask->prompt) < 0
             ? error_set_errno(&ask->error, ERR_AUTH, errno, "asking for a passphrase")
             : read_keys(ask, tty);
    tcsetattr(tty, TCSAFLUSH, &saved);
    dprintf(tty, "\n");
    return rc;
}
