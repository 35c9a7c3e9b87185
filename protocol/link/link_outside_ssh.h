/*
 * link_outside_ssh: a link over SSH by the installed ssh program (`--ssh ssh`), for all that
 * link_ssh does not do: ProxyJump, passwords, host certificates, RSA user keys. It is a
 * link_process with the right arguments.
 */
#ifndef LOCKSTEP_LINK_LINK_OUTSIDE_SSH_H
#define LOCKSTEP_LINK_LINK_OUTSIDE_SSH_H

#include <uv.h>

struct error;
struct link;
struct link_callbacks;
struct link_ssh_options;

/*
 * Start program ("ssh", or a path) for what options say. The far shell looks for the command in the
 * usual places, too (SSH_MORE_PATH), unless it is given by an absolute path. The link keeps the
 * terminal, so that ssh can ask there. Errors as link_process_new: one that ends with 127 is taken
 * for a far program that is missing.
 */
int link_outside_ssh_new(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                         const char *program, const struct link_ssh_options *options,
                         struct link **out, struct error *error);

#endif
