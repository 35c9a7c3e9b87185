#include "replica/connect.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/link/endpoint.h"
#include "protocol/link/link_process.h"
#include "protocol/link/link_ssh.h"
#include "protocol/link/ssh_quote.h"

#define ORIGIN_PROGRAM "lockstep-origin"
/* Where the far program is looked for when the far PATH does not have it: the places that an SSH command's short PATH leaves out. */
#define USUAL_PLACES                                                                                                   \
    "PATH=\"$PATH:$HOME/bin:$HOME/.local/bin:/usr/local/bin:/usr/bin:/opt/homebrew/bin:/opt/local/bin\" "

/* The lockstep-origin beside this program, else the one on the PATH. */
static const char *local_program(char *out, size_t out_size)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (len > 0) {
        self[len] = '\0';
        slash = strrchr(self, '/');
        if (slash != NULL) {
            slash[1] = '\0';
            if ((size_t)snprintf(out, out_size, "%s%s", self, ORIGIN_PROGRAM) < out_size && access(out, X_OK) == 0)
                return out;
        }
    }
    return ORIGIN_PROGRAM;
}

static int connect_local(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options,
                         const struct link_callbacks *callbacks, void *user, struct link **link, struct error *error)
{
    char program[PATH_MAX];
    char timeout[32];
    const char *argv[] = {options->exe != NULL ? options->exe : local_program(program, sizeof(program)),
                          "--timeout",
                          timeout,
                          "--stdio",
                          "--",
                          endpoint->path,
                          NULL};
    const struct link_process_options process = {
        .argv = argv,
        .name = "a local " ORIGIN_PROGRAM,
        .own_session = 1,
        .missing_advice = "install it beside lockstep, or say where it is with --exe PATH"};

    snprintf(timeout, sizeof(timeout), "%ums", options->database_timeout_ms);
    return link_process_new(loop, callbacks, user, &process, link, error);
}

/* The command line that the far shell runs. To be freed; NULL: memory ran out. */
static char *far_command(const struct endpoint *endpoint, const struct connect_options *options, int with_path)
{
    char *program = ssh_quote(options->exe != NULL ? options->exe : ORIGIN_PROGRAM);
    char *path = ssh_quote(endpoint->path);
    char *command = NULL;

    if (program != NULL && path != NULL &&
        asprintf(&command, "%s%s --timeout %ums --stdio -- %s", with_path ? USUAL_PLACES : "", program,
                 options->database_timeout_ms, path) < 0)
        command = NULL;
    free(program);
    free(path);
    return command;
}

/* Through the user's own ssh program, with the options that sqlite3_rsync gives it. */
static int connect_outside_ssh(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options,
                               const char *command, const struct link_callbacks *callbacks, void *user, struct link **link,
                               struct error *error)
{
    const char *argv[12 + 2 * CONNECT_IDENTITIES_MAX];
    struct link_process_options process = {
        .argv = argv, .missing_advice = "install it, or give --ssh another program; without --ssh none is needed"};
    int port = options->port > 0 ? options->port : endpoint->port;
    char port_text[16];
    char name[300];
    int count = 0;

    argv[count++] = options->ssh_program;
    if (port > 0) {
        snprintf(port_text, sizeof(port_text), "%d", port);
        argv[count++] = "-p";
        argv[count++] = port_text;
    }
    for (int i = 0; options->identities[i] != NULL; i++) {
        argv[count++] = "-i";
        argv[count++] = options->identities[i];
    }
    if (options->accept_new_host_key) {
        argv[count++] = "-o";
        argv[count++] = "StrictHostKeyChecking=accept-new";
    }
    argv[count++] = "-e";
    argv[count++] = "none";
    if (endpoint->user != NULL) {
        argv[count++] = "-l";
        argv[count++] = endpoint->user;
    }
    argv[count++] = endpoint->host;
    argv[count++] = command;
    argv[count] = NULL;
    snprintf(name, sizeof(name), "%s %s", options->ssh_program, endpoint->host);
    process.name = name;
    return link_process_new(loop, callbacks, user, &process, link, error);
}

static int connect_own_ssh(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options,
                           const char *command, const struct link_callbacks *callbacks, void *user, struct link **link,
                           struct error *error)
{
    const struct link_ssh_options ssh = {.host = endpoint->host,
                                         .user = endpoint->user,
                                         .port = options->port > 0 ? options->port : endpoint->port,
                                         .command = command,
                                         .program = ORIGIN_PROGRAM,
                                         .identity_files = options->identities,
                                         .accept_new_host_key = options->accept_new_host_key,
                                         .config_path = options->ssh_config,
                                         .connect_timeout_ms = (int)options->connect_timeout_ms};

    return link_ssh_new(loop, callbacks, user, &ssh, link, error);
}

int connect_start(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options, int with_path,
                  const struct link_callbacks *callbacks, void *user, struct link **link, struct error *error)
{
    char *command;
    int rc;

    if (endpoint->kind == ENDPOINT_LOCAL)
        return connect_local(loop, endpoint, options, callbacks, user, link, error);
    if (endpoint->kind != ENDPOINT_SSH)
        return error_set(error, ERR_USAGE, "this program cannot reach that kind of endpoint; use a path, host:path or ssh://");
    command = far_command(endpoint, options, with_path);
    if (command == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    if (options->ssh_program != NULL)
        rc = connect_outside_ssh(loop, endpoint, options, command, callbacks, user, link, error);
    else
        rc = connect_own_ssh(loop, endpoint, options, command, callbacks, user, link, error);
    free(command);
    return rc;
}
