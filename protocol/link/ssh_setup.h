/* ssh_setup: what a link over SSH goes by: the options of its user, then the configuration files,
 * then defaults. */
#ifndef LOCKSTEP_LINK_SSH_SETUP_H
#define LOCKSTEP_LINK_SSH_SETUP_H

struct error;
struct link_ssh_options;
struct ssh_config;

/*
 * Fill config, which needs no init, from options and the files that they or ssh name. The caller
 * releases it, after a failure, too. Errors as ssh_config_read_file and ssh_config_finish.
 */
int ssh_setup(struct ssh_config *config, const struct link_ssh_options *options,
              struct error *error);

#endif
