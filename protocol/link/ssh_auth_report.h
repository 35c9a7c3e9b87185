/*
 * ssh_auth_report: what became of each key that a login tried, and what a person is told where none
 * did it.
 */
#ifndef LOCKSTEP_LINK_SSH_AUTH_REPORT_H
#define LOCKSTEP_LINK_SSH_AUTH_REPORT_H

struct _LIBSSH2_SESSION;
struct error;
struct ssh_config;

/* Zeroed: nothing was tried. */
struct ssh_auth_report {
    char text[600];      /* "KEY: why; KEY: why", as much as fits */
    unsigned tried;      /* keys that the server was shown */
    int was_rsa_refused; /* perhaps only for its SHA-1 signature */
};

/* Add a key, or where keys could have been, and why it was of no use. */
void ssh_auth_report_key(struct ssh_auth_report *report, const char *key, const char *why);

/* All was tried. ERR_AUTH. */
int ssh_auth_report_refused(const struct ssh_auth_report *report, const struct ssh_config *config,
                            struct error *error);

/* The connection broke: the last error of the session says how. ERR_AUTH where the server may have
 * had enough of our keys, else ERR_NO_LINK. */
int ssh_auth_report_broken(const struct ssh_auth_report *report, struct _LIBSSH2_SESSION *session,
                           const struct ssh_config *config, struct error *error);

/* Whether rc, of a libssh2 call that shows a key, says that the key is of no use, and not that the
 * connection is. */
int ssh_auth_is_key_error(struct _LIBSSH2_SESSION *session, int rc);

#endif
