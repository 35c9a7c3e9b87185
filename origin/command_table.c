#include "origin/commands.h"

#include <string.h>

#include "protocol/base/completion.h"

const struct origin_command origin_commands[] = {
    {"serve", command_serve, serve_options, check_serve, "serve --listen ADDRESS --cert FILE … --allow RULE {--db NAME=PATH | --root DIR}",
     "serve databases to many replicas over TLS, as tls://HOST[:7433]/NAME", NULL},
    {"keygen", command_keygen, keygen_options, check_keygen, "keygen DIR [OPTIONS]",
     "make a private CA, the origin's certificate and one for each client, in DIR", NULL},
    {"token", command_token, token_options, NULL, "token WHO", "make a token for a client, and the line with its hash for --tokens", NULL},
    {"config", command_config, config_options, NULL, "config [serve|keygen] [OPTIONS]",
     "show the settings of a command, and where each comes from", "serve|keygen"},
    {"completion", command_completion, completion_options, NULL, "completion " COMPLETION_SHELLS, "print what makes that shell complete command lines",
     COMPLETION_SHELLS},
    {NULL, command_stdio, stdio_options, check_stdio, "--stdio [OPTIONS] PATH",
     "serve the SQLite database at PATH to a `lockstep` on the other end of stdin and stdout", NULL},
};

const struct origin_command *origin_command_find(const char *name)
{
    const struct origin_command *row = origin_commands;

    while (row->name != NULL && (name == NULL || strcmp(row->name, name) != 0))
        row++;
    return row;
}
