/*
 * link_ssh: a link over SSH, by libssh2, to the stdin and stdout of a program at the far end.
 *
 * What ssh(1) would do is done where it concerns a plain connection: ~/.ssh/config and
 * /etc/ssh/ssh_config (ssh_config.h says which keywords), known_hosts (ssh_known_hosts.h), the
 * agent and the key files (ssh_auth.h). For the rest (ProxyJump, passwords, host certificates, RSA
 * user keys with SHA-2) an outside ssh is started instead: link_process.h; the errors say so.
 */
#ifndef LOCKSTEP_LINK_LINK_SSH_H
#define LOCKSTEP_LINK_LINK_SSH_H

#include <uv.h>

struct error;
struct link;
struct link_callbacks;

/* NULL and 0 stand for what the configuration says, and then for what ssh would take. */
struct link_ssh_options {
    const char *host; /* needed; a name for Host in the configuration, or an address */
    const char *user;
    int port;
    const char *command; /* needed; for the far shell, its words quoted (ssh_quote.h) */
    const char *program; /* how messages call the far program: "lockstep-origin" */
    const char *const *identity_files; /* as with -i; ends with NULL */
    int accept_new_host_key;           /* trust a host that is met for the first time */
    const char *config_path;           /* as with -F: read this and no other configuration */
    const char *known_hosts_path; /* instead of the user's files, and the system's are not read */
    int connect_timeout_ms;       /* for each address, and then for each step until the login */
    int keepalive_s; /* seconds of silence before the far side is asked for a sign of life */
};

/*
 * Begin. *out is the link, which frees itself after on_close; the options are not used after the
 * call. SIGPIPE is ignored from then on. What the configuration has wrong, and what Lockstep's own
 * SSH cannot do, is returned: ERR_USAGE, ERR_IO, ERR_INTERNAL; then there is no link. All else
 * comes as on_close: ERR_NO_LINK, ERR_TIMEOUT, ERR_AUTH, ERR_NO_PROGRAM.
 */
int link_ssh_new(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                 const struct link_ssh_options *options, struct link **out, struct error *error);

#endif
