#include "protocol/link/link_outside_ssh.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/link_process.h"
#include "protocol/link/link_ssh.h"
#include "protocol/link/ssh_quote.h"

/* Words for a command line, and the room for those that have to be made. */
struct arguments {
    const char *argv[24 + 2 * LIMIT_SSH_FILES];
    size_t count;
    char room[LIMIT_PATH * 4];
    size_t used;
    int is_full; /* something did not fit */
};

static void add(struct arguments *arguments, const char *word)
{
    if (arguments->count + 1 < sizeof(arguments->argv) / sizeof(arguments->argv[0]))
        arguments->argv[arguments->count++] = word;
    else
        arguments->is_full = 1;
}

/* As add, for a word of two parts. */
static void add_joined(struct arguments *arguments, const char *first, const char *second)
{
    size_t left = sizeof(arguments->room) - arguments->used;
    char *word = arguments->room + arguments->used;
    size_t len = (size_t)snprintf(word, left, "%s%s", first, second);

    if (len >= left) {
        arguments->is_full = 1;
        return;
    }
    arguments->used += len + 1;
    add(arguments, word);
}

static void add_number(struct arguments *arguments, const char *name, int number)
{
    char text[16];

    if (number <= 0)
        return;
    snprintf(text, sizeof(text), "%d", number);
    add_joined(arguments, name, text);
}

static void add_options(struct arguments *arguments, const struct link_ssh_options *options)
{
    /* No escape character, no terminal there: the stream is bytes. */
    add(arguments, "-e");
    add(arguments, "none");
    add(arguments, "-T");
    add_number(arguments, "-p", options->port);
    add_number(arguments, "-oConnectTimeout=", (options->connect_timeout_ms + 999) / 1000);
    add_number(arguments, "-oServerAliveInterval=", options->keepalive_s);
    if (options->accept_new_host_key)
        add(arguments, "-oStrictHostKeyChecking=accept-new");
    if (options->known_hosts_path != NULL)
        add_joined(arguments, "-oUserKnownHostsFile=", options->known_hosts_path);
    if (options->config_path != NULL)
        add_joined(arguments, "-F", options->config_path);
    if (options->user != NULL)
        add_joined(arguments, "-l", options->user);
    for (size_t i = 0; options->identity_files != NULL && options->identity_files[i] != NULL; i++) {
        add(arguments, "-i");
        add(arguments, options->identity_files[i]);
    }
    add(arguments, "--");
    add(arguments, options->host);
    if (options->command[0] == '/')
        add(arguments, options->command);
    else
        add_joined(arguments, SSH_MORE_PATH, options->command);
}

int link_outside_ssh_new(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                         const char *program, const struct link_ssh_options *options,
                         struct link **out, struct error *error)
{
    struct arguments arguments = {.count = 0};
    struct link_process_options process = {.argv = arguments.argv};
    char name[256];
    char advice[400];

    *out = NULL;
    add(&arguments, program);
    add_options(&arguments, options);
    if (arguments.is_full)
        return error_set(error, ERR_USAGE, "too many or too long arguments for %s", program);
    snprintf(name, sizeof(name), "%s %s%s%s", program, options->user != NULL ? options->user : "",
             options->user != NULL ? "@" : "", options->host);
    snprintf(advice, sizeof(advice),
             "%s was not found at %s: install the lockstep package there, or say where it is with "
             "--exe PATH; if %s itself was not found, say where it is with --ssh PATH",
             options->program != NULL ? options->program : "lockstep-origin", options->host,
             program);
    process.name = name;
    process.missing_advice = advice;
    return link_process_new(loop, callbacks, user, &process, out, error);
}
