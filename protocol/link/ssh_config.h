/*
 * ssh_config: what ~/.ssh/config and /etc/ssh/ssh_config say about a host (ssh_config(5)).
 *
 * The keywords that concern a plain connection are understood: Host, Match (all, host,
 * originalhost, user, localuser), Include, HostName, User, Port, IdentityFile, IdentitiesOnly,
 * IdentityAgent, UserKnownHostsFile, GlobalKnownHostsFile, HostKeyAlias, HashKnownHosts,
 * StrictHostKeyChecking, ConnectTimeout, ServerAliveInterval, ServerAliveCountMax, AddressFamily.
 * ProxyJump and ProxyCommand are noticed; all others are passed over. The first value that is found
 * wins, but IdentityFile adds up.
 *
 * The order is: what the caller knows from the command line is put into the struct after
 * ssh_config_init; then the user's file is read (ssh_config_reader.h), then the system's, then
 * ssh_config_finish.
 */
#ifndef LOCKSTEP_LINK_SSH_CONFIG_H
#define LOCKSTEP_LINK_SSH_CONFIG_H

#include <stddef.h>

#include "protocol/base/limits.h"

struct error;

/*
 * StrictHostKeyChecking. "ask", the default, is yes: there may be nobody to ask. "no" lets in a
 * host that is met for the first time, as accept-new does, but never one whose key has changed.
 */
enum ssh_strict { SSH_STRICT_UNSET, SSH_STRICT_YES, SSH_STRICT_ACCEPT_NEW, SSH_STRICT_NO };

struct ssh_file_list {
    char *paths[LIMIT_SSH_FILES]; /* owned */
    size_t count;
    int is_set; /* a keyword gave it, be it "none" */
};

/* Numbers are -1, and strings NULL, while nothing gave them. */
struct ssh_config {
    char *host;      /* as the user wrote it */
    char *home;      /* the user's home directory */
    char *host_name; /* where to connect to */
    char *user;
    int port;
    struct ssh_file_list identity_files;
    int identities_only;
    char *identity_agent; /* path of a socket, or "none" */
    struct ssh_file_list user_known_hosts;
    struct ssh_file_list global_known_hosts;
    char *host_key_alias;
    int hash_known_hosts;
    enum ssh_strict strict;
    int connect_timeout_s;
    int alive_interval_s;
    int alive_count_max;
    int address_family; /* AF_UNSPEC, AF_INET or AF_INET6 */
    char *proxy;        /* "ProxyJump at FILE:LINE", where one applies */
};

/* For host as the user wrote it; home: the user's home directory. ERR_INTERNAL when memory ran out.
 */
int ssh_config_init(struct ssh_config *config, const char *host, const char *home,
                    struct error *error);

void ssh_config_release(struct ssh_config *config);

/*
 * Fill what nobody gave with the defaults, expand ~, %-tokens and ${VARIABLES}. Afterwards
 * host_name, user, the lists and all numbers are set. ERR_USAGE for a token that is not known, and
 * where proxy is set.
 */
int ssh_config_finish(struct ssh_config *config, struct error *error);

#endif
