#include "protocol/link/ssh_auth_report.h"

#include <stdio.h>
#include <string.h>
#include <libssh2.h>

#include "protocol/base/error.h"
#include "protocol/link/ssh_config.h"

void ssh_auth_report_key(struct ssh_auth_report *report, const char *key, const char *why)
{
    size_t used = strlen(report->text);

    snprintf(report->text + used, sizeof(report->text) - used, "%s%s: %s", used > 0 ? "; " : "",
             key, why);
}

int ssh_auth_report_refused(const struct ssh_auth_report *report, const struct ssh_config *config,
                            struct error *error)
{
    const char *rsa = "";

    if (report->was_rsa_refused)
        rsa = "; libssh2 " LIBSSH2_VERSION
              " signs with RSA keys by SHA-1 only, which OpenSSH servers "
              "since 8.8 do not take: use an ed25519 key (ssh-keygen -t ed25519), or `--ssh ssh`";
    if (report->text[0] == '\0')
        return error_set(
            error, ERR_AUTH,
            "logging in to %s as %s: there is no key to try: no agent (SSH_AUTH_SOCK), no "
            "~/.ssh/id_ed25519, id_ecdsa or id_rsa; make one with `ssh-keygen -t ed25519` "
            "and add it to the far ~/.ssh/authorized_keys, or name one with -i",
            config->host, config->user);
    return error_set(error, ERR_AUTH,
                     "logging in to %s as %s: no key was accepted (%s)%s; the far "
                     "~/.ssh/authorized_keys must hold one of them, or name another with -i",
                     config->host, config->user, report->text, rsa);
}

/* libssh2 1.10's text for a connection that ended while it waited for the answer to a key. */
static int says_connection_ended(const char *text)
{
    return text != NULL && strncmp(text, "Waiting for", 11) == 0;
}

int ssh_auth_report_broken(const struct ssh_auth_report *report, struct _LIBSSH2_SESSION *session,
                           const struct ssh_config *config, struct error *error)
{
    char *text = NULL;
    int code = libssh2_session_last_error(session, &text, NULL, 0);

    if (report->tried > 1)
        return error_set(
            error, ERR_AUTH,
            "logging in to %s as %s: the server ended the connection after %u keys (%s); "
            "choose one with -i, or with IdentitiesOnly and IdentityFile in ~/.ssh/config",
            config->host, config->user, report->tried, report->text);
    if (says_connection_ended(text))
        return error_set(error, ERR_NO_LINK, "logging in to %s: the server ended the connection",
                         config->host);
    return error_set(error, ERR_NO_LINK, "logging in to %s: %s (libssh2 error %d)", config->host,
                     text != NULL && *text != '\0' ? text : "the connection broke", code);
}

int ssh_auth_is_key_error(struct _LIBSSH2_SESSION *session, int rc)
{
    char *text = NULL;

    libssh2_session_last_error(session, &text, NULL, 0);
    switch (rc) {
    case LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED:
        /* libssh2 1.10 says so of a bad signature, but of a connection that ended meanwhile, too.
         */
        return !says_connection_ended(text);
    case LIBSSH2_ERROR_AUTHENTICATION_FAILED:
    case LIBSSH2_ERROR_FILE:
    case LIBSSH2_ERROR_KEYFILE_AUTH_FAILED:
    case LIBSSH2_ERROR_METHOD_NOT_SUPPORTED:
    case LIBSSH2_ERROR_METHOD_NONE:
    case LIBSSH2_ERROR_INVAL:
    case LIBSSH2_ERROR_PROTO:
    case LIBSSH2_ERROR_ALLOC:
    case LIBSSH2_ERROR_DECRYPT:
        return 1;
    default:
        return 0;
    }
}
