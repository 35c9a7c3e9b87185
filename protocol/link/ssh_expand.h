/* ssh_expand: ~, the %-tokens and ${VARIABLES} in the values of an ssh_config (ssh_config(5),
 * TOKENS). */
#ifndef LOCKSTEP_LINK_SSH_EXPAND_H
#define LOCKSTEP_LINK_SSH_EXPAND_H

struct error;
struct ssh_config;

/*
 * Replace *path by what it stands for: ~/ at its start, ${NAME}, and %d (home), %h (host name), %i
 * (user id), %n (host as written), %p (port), %r (far user), %u (local user), %%. config's
 * host_name, user and port are set. ERR_USAGE for another token or a variable that is not set.
 */
int ssh_expand(const struct ssh_config *config, char **path, struct error *error);

/* The same for config->host_name itself, where %h is the host as the user wrote it. */
int ssh_expand_host_name(struct ssh_config *config, struct error *error);

#endif
