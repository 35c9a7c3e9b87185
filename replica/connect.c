#include "replica/connect.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/link/endpoint.h"
#include "protocol/link/link_outside_ssh.h"
#include "protocol/link/link_process.h"
#include "protocol/link/link_ssh.h"
#include "protocol/link/ssh_quote.h"
#include "replica/daemon_link.h"

#define ORIGIN_PROGRAM "lockstep-origin"
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
static char *far_command(const struct endpoint *endpoint, const struct connect_options *options)
{
    char *program = ssh_quote(options->exe != NULL ? options->exe : ORIGIN_PROGRAM);
    char *path = ssh_quote(endpoint->path);
    char *command = NULL;

    if (program != NULL && path != NULL &&
        asprintf(&command, "%s --timeout %ums --stdio -- %s", program, options->database_timeout_ms, path) < 0)
        command = NULL;
    free(program);
    free(path);
    return command;
}

static int connect_ssh(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options,
                       const struct link_callbacks *callbacks, void *user, struct link **link, struct error *error)
{
    char *command = far_command(endpoint, options);
    const struct link_ssh_options ssh = {.host = endpoint->host,
                                         .user = endpoint->user,
                                         .port = options->port > 0 ? options->port : endpoint->port,
                                         .command = command,
                                         .program = ORIGIN_PROGRAM,
                                         .identity_files = options->identities,
                                         .accept_new_host_key = options->accept_new_host_key,
                                         .config_path = options->ssh_config,
                                         .connect_timeout_ms = (int)options->connect_timeout_ms};
    int rc;

    if (command == NULL)
        rc = error_set(error, ERR_INTERNAL, "out of memory");
    else if (options->ssh_program != NULL)
        rc = link_outside_ssh_new(loop, callbacks, user, options->ssh_program, &ssh, link, error);
    else
        rc = link_ssh_new(loop, callbacks, user, &ssh, link, error);
    free(command);
    return rc;
}

/* The daemon that endpoint and options name. */
static struct daemon_link_options daemon_of(const struct endpoint *endpoint, const struct connect_options *options)
{
    return (struct daemon_link_options){.host = endpoint->host,
                                        .port = options->port > 0 ? options->port : endpoint->port,
                                        .database = endpoint->path,
                                        .instance = options->instance,
                                        .tls = {options->ca, options->pin, options->cert, options->key},
                                        .token_file = options->token_file,
                                        .timeout_ms = options->connect_timeout_ms};
}

static int connect_tls(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options,
                       const struct link_callbacks *callbacks, void *user, struct link **link, struct error *error)
{
    const struct daemon_link_options daemon = daemon_of(endpoint, options);

    return daemon_link_new(loop, callbacks, user, &daemon, link, error);
}

int connect_to_line(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options, uint64_t waited_ms,
                    const struct link_callbacks *callbacks, void *user, struct link **link, struct error *error)
{
    struct daemon_link_options daemon = daemon_of(endpoint, options);

    daemon.is_line = 1;
    daemon.waited_ms = waited_ms;
    return daemon_link_new(loop, callbacks, user, &daemon, link, error);
}

int connect_start(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options,
                  const struct link_callbacks *callbacks, void *user, struct link **link, struct error *error)
{
    switch (endpoint->kind) {
    case ENDPOINT_LOCAL:
        return connect_local(loop, endpoint, options, callbacks, user, link, error);
    case ENDPOINT_SSH:
        return connect_ssh(loop, endpoint, options, callbacks, user, link, error);
    default:
        return connect_tls(loop, endpoint, options, callbacks, user, link, error);
    }
}
