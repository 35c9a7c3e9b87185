#include "protocol/link/ssh_auth.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libssh2.h>

#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/link/ssh_agent.h"
#include "protocol/link/ssh_auth_report.h"
#include "protocol/link/ssh_blob.h"
#include "protocol/link/ssh_config.h"
#include "protocol/link/ssh_key_file.h"
#include "protocol/link/ssh_passphrase.h"

#define PASSPHRASE_TRIES 3

enum auth_state {
    AUTH_METHODS,    /* ask the server which methods it takes */
    AUTH_AGENT_LIST, /* wait for the agent's keys */
    AUTH_AGENT_KEY,  /* the agent's key number agent_index */
    AUTH_FILE,       /* begin with the file number file_index */
    AUTH_FILE_SHOW,  /* show its public key, to learn whether the passphrase is worth asking for */
    AUTH_FILE_ASK,   /* wait for the passphrase */
    AUTH_FILE_SIGN,  /* log in with it */
    AUTH_REFUSED,
    AUTH_DONE,
};

struct ssh_auth {
    LIBSSH2_SESSION *session;
    const struct ssh_config *config;
    uv_loop_t *loop;
    ssh_auth_cb *on_wake;
    ssh_auth_cb *on_closed;
    void *user;
    enum auth_state state;
    struct ssh_agent agent;
    int has_agent; /* agent is to be closed */
    size_t agent_index;
    size_t file_index;
    struct ssh_key_file file; /* number file_index */
    int was_asked_to_sign;    /* during AUTH_FILE_SHOW: the server would take the key */
    struct ssh_passphrase passphrase;
    int is_asking;        /* its callback is still to come */
    int passphrase_tries; /* for this file */
    struct ssh_auth_report report;
};

static int tick_methods(struct ssh_auth *auth, struct error *error);
static int tick_agent_key(struct ssh_auth *auth, struct error *error);
static void start_files(struct ssh_auth *auth);
static void start_file(struct ssh_auth *auth);
static int tick_file_show(struct ssh_auth *auth, struct error *error);
static int tick_file_sign(struct ssh_auth *auth, struct error *error);
static void agent_done_cb(struct ssh_agent *agent, const struct error *error);
static void passphrase_cb(struct ssh_passphrase *ask, const struct error *error);

struct ssh_auth *ssh_auth_new(uv_loop_t *loop, struct _LIBSSH2_SESSION *session,
                              const struct ssh_config *config, ssh_auth_cb *on_wake, void *user)
{
    struct ssh_auth *auth = calloc(1, sizeof(*auth));

    if (auth == NULL)
        return NULL;
    auth->loop = loop;
    auth->session = session;
    auth->config = config;
    auth->on_wake = on_wake;
    auth->user = user;
    return auth;
}

int ssh_auth_waits_for_person(const struct ssh_auth *auth)
{
    return auth->is_asking || (auth->has_agent && auth->agent.is_busy);
}

int ssh_auth_tick(struct ssh_auth *auth, struct error *error)
{
    int rc = 0;

    /* Each step returns 0 when it moved to another state, SSH_AUTH_AGAIN where it waits, or an
     * error. */
    while (rc == 0) {
        switch (auth->state) {
        case AUTH_METHODS:
            rc = tick_methods(auth, error);
            break;
        case AUTH_AGENT_LIST:
        case AUTH_FILE_ASK:
            return SSH_AUTH_AGAIN;
        case AUTH_AGENT_KEY:
            rc = tick_agent_key(auth, error);
            break;
        case AUTH_FILE:
            start_file(auth);
            break;
        case AUTH_FILE_SHOW:
            rc = tick_file_show(auth, error);
            break;
        case AUTH_FILE_SIGN:
            rc = tick_file_sign(auth, error);
            break;
        case AUTH_REFUSED:
            return ssh_auth_report_refused(&auth->report, auth->config, error);
        case AUTH_DONE:
            return 0;
        }
    }
    return rc;
}

/* ---- the methods ---- */

static int tick_methods(struct ssh_auth *auth, struct error *error)
{
    const struct ssh_config *config = auth->config;
    char *methods =
        libssh2_userauth_list(auth->session, config->user, (unsigned)strlen(config->user));
    const char *socket = config->identity_agent;

    if (methods == NULL) {
        if (libssh2_userauth_authenticated(auth->session)) {
            auth->state = AUTH_DONE;
            return 0;
        }
        return libssh2_session_last_errno(auth->session) == LIBSSH2_ERROR_EAGAIN
                   ? SSH_AUTH_AGAIN
                   : ssh_auth_report_broken(&auth->report, auth->session, auth->config, error);
    }
    if (strstr(methods, "publickey") == NULL) {
        char clean[200];

        log_sanitize(methods, strlen(methods), clean, sizeof(clean));
        return error_set(
            error, ERR_AUTH,
            "logging in to %s as %s: the server takes only %s, and Lockstep, made to run "
            "unattended, logs in with keys only: allow PubkeyAuthentication there, or use "
            "`--ssh ssh`",
            config->host, config->user, clean);
    }
    if (socket == NULL || strcmp(socket, "SSH_AUTH_SOCK") == 0)
        socket = getenv("SSH_AUTH_SOCK");
    if (socket == NULL || *socket == '\0' || strcasecmp(socket, "none") == 0) {
        start_files(auth);
        return 0;
    }
    ssh_agent_init(&auth->agent, auth->loop, socket, agent_done_cb, auth);
    auth->has_agent = 1;
    auth->state = AUTH_AGENT_LIST;
    ssh_agent_list(&auth->agent);
    return SSH_AUTH_AGAIN;
}

/* ---- keys of the agent ---- */

static void agent_done_cb(struct ssh_agent *agent, const struct error *error)
{
    struct ssh_auth *auth = agent->user;

    if (error->code != ERR_NONE)
        ssh_auth_report_key(&auth->report, "agent", error->text);
    if (auth->state == AUTH_AGENT_LIST) {
        if (error->code == ERR_NONE)
            auth->state = AUTH_AGENT_KEY;
        else
            start_files(auth);
    }
    auth->on_wake(auth->user);
}

/*
 * Which hash the algorithm in the data to be signed asks of an RSA key. The data is (RFC 4252,
 * section 7): the session id, a byte, user, service, "publickey", a byte, the algorithm, the key.
 */
static uint32_t sign_flags(const uint8_t *data, size_t len)
{
    struct ssh_reader reader = {data, len};
    const uint8_t *string;
    size_t string_len;

    for (int i = 0; i < 5; i++) {
        if (i == 1 || i == 4) {
            if (reader.len < 1)
                return 0;
            reader.data++;
            reader.len--;
        }
        if (ssh_read_string(&reader, &string, &string_len) != 0)
            return 0;
    }
    if (string_len == 12 && memcmp(string, "rsa-sha2-256", 12) == 0)
        return 2;
    if (string_len == 12 && memcmp(string, "rsa-sha2-512", 12) == 0)
        return 4;
    return 0;
}

/* Called by libssh2 once the server would take the key: first asks the agent, then, called again,
 * has its answer. */
static int agent_sign_cb(LIBSSH2_SESSION *session, unsigned char **signature, size_t *signature_len,
                         const unsigned char *data, size_t data_len, void **abstract)
{
    struct ssh_auth *auth = *abstract;
    struct ssh_agent *agent = &auth->agent;

    (void)session;
    if (!auth->was_asked_to_sign) {
        auth->was_asked_to_sign = 1;
        ssh_agent_sign(agent, &agent->keys[auth->agent_index], data, data_len,
                       sign_flags(data, data_len));
        return LIBSSH2_ERROR_EAGAIN;
    }
    if (agent->is_busy)
        return LIBSSH2_ERROR_EAGAIN;
    if (agent->signature == NULL)
        return -1;
    /* libssh2 frees it with free(), as the session was made without allocators of our own. */
    *signature = agent->signature;
    *signature_len = agent->signature_len;
    agent->signature = NULL;
    return 0;
}

/* Whether the configuration allows this key of the agent's: with IdentitiesOnly, one that a file
 * names. */
static int is_key_wanted(const struct ssh_auth *auth, const struct ssh_agent_key *key)
{
    const struct ssh_file_list *files = &auth->config->identity_files;
    int is_wanted = 0;

    if (!auth->config->identities_only)
        return 1;
    for (size_t i = 0; i < files->count && !is_wanted; i++) {
        struct ssh_key_file file;

        if (ssh_key_file_read(&file, files->paths[i], NULL) != 0)
            continue;
        is_wanted =
            file.blob_len == key->blob_len && memcmp(file.blob, key->blob, key->blob_len) == 0;
        ssh_key_file_release(&file);
    }
    return is_wanted;
}

static void next_agent_key(struct ssh_auth *auth)
{
    auth->was_asked_to_sign = 0;
    auth->agent_index++;
    if (auth->agent.is_dead)
        start_files(auth);
}

static int tick_agent_key(struct ssh_auth *auth, struct error *error)
{
    struct ssh_agent_key *key = &auth->agent.keys[auth->agent_index];
    void *abstract = auth;
    char name[200];
    int rc;

    if (auth->agent_index >= auth->agent.key_count) {
        start_files(auth);
        return 0;
    }
    if (!is_key_wanted(auth, key)) {
        next_agent_key(auth);
        return 0;
    }
    rc = libssh2_userauth_publickey(auth->session, auth->config->user, key->blob, key->blob_len,
                                    agent_sign_cb, &abstract);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return SSH_AUTH_AGAIN;
    auth->report.tried++;
    if (rc == 0) {
        auth->state = AUTH_DONE;
        return 0;
    }
    if (!ssh_auth_is_key_error(auth->session, rc))
        return ssh_auth_report_broken(&auth->report, auth->session, auth->config, error);
    snprintf(name, sizeof(name), "agent's %s %s", key->type, key->comment);
    ssh_auth_report_key(&auth->report, name, auth->was_asked_to_sign ? "not signed" : "refused");
    auth->report.was_rsa_refused |= strcmp(key->type, "ssh-rsa") == 0;
    next_agent_key(auth);
    return 0;
}

/* ---- keys in files ---- */

static void start_files(struct ssh_auth *auth)
{
    auth->state = AUTH_FILE;
    auth->file_index = 0;
}

static void next_file(struct ssh_auth *auth)
{
    ssh_key_file_release(&auth->file);
    auth->file_index++;
    auth->state = AUTH_FILE;
}

static const char *file_path(const struct ssh_auth *auth)
{
    return auth->config->identity_files.paths[auth->file_index];
}

/* Whether the agent had this key, so that the server has seen it. */
static int was_in_agent(const struct ssh_auth *auth)
{
    for (size_t i = 0; auth->has_agent && i < auth->agent_index && i < auth->agent.key_count; i++) {
        const struct ssh_agent_key *key = &auth->agent.keys[i];

        if (auth->file.blob_len == key->blob_len &&
            memcmp(auth->file.blob, key->blob, key->blob_len) == 0)
            return 1;
    }
    return 0;
}

/* Look at the next file, and choose how to go on with it. */
static void start_file(struct ssh_auth *auth)
{
    struct error error;
    int rc;

    if (auth->file_index >= auth->config->identity_files.count) {
        auth->state = AUTH_REFUSED;
        return;
    }
    auth->passphrase_tries = 0;
    auth->was_asked_to_sign = 0;
    rc = ssh_key_file_read(&auth->file, file_path(auth), &error);
    if (rc != 0) {
        /* Default files that are not there are nothing to talk about. */
        if (rc != ERR_NO_DATABASE)
            ssh_auth_report_key(&auth->report, "file", error.text);
        else if (auth->config->identity_files.is_set)
            ssh_auth_report_key(&auth->report, file_path(auth), "there is no such file");
        next_file(auth);
        return;
    }
    if (auth->file.is_public || was_in_agent(auth)) {
        if (auth->file.is_public && !was_in_agent(auth))
            ssh_auth_report_key(&auth->report, file_path(auth),
                                "a public key, and the agent has no private one for it");
        next_file(auth);
        return;
    }
    auth->state = auth->file.is_encrypted ? AUTH_FILE_SHOW : AUTH_FILE_SIGN;
}

/* Called by libssh2 when the server would take the key: that is all we want to know. */
static int note_sign_cb(LIBSSH2_SESSION *session, unsigned char **signature, size_t *signature_len,
                        const unsigned char *data, size_t data_len, void **abstract)
{
    struct ssh_auth *auth = *abstract;

    (void)session;
    (void)signature;
    (void)signature_len;
    (void)data;
    (void)data_len;
    auth->was_asked_to_sign = 1;
    return -1;
}

static void ask_passphrase(struct ssh_auth *auth)
{
    struct error error;
    char prompt[512];

    snprintf(prompt, sizeof(prompt), "Enter passphrase for key '%s': ", file_path(auth));
    auth->passphrase_tries++;
    auth->state = AUTH_FILE_ASK;
    if (ssh_passphrase_ask(&auth->passphrase, auth->loop, prompt, passphrase_cb, auth, &error) ==
        0) {
        auth->is_asking = 1;
        return;
    }
    ssh_auth_report_key(&auth->report, file_path(auth), error.text);
    next_file(auth);
}

static int tick_file_show(struct ssh_auth *auth, struct error *error)
{
    void *abstract = auth;
    int rc;

    if (auth->file.blob != NULL) {
        rc = libssh2_userauth_publickey(auth->session, auth->config->user, auth->file.blob,
                                        auth->file.blob_len, note_sign_cb, &abstract);
        if (rc == LIBSSH2_ERROR_EAGAIN)
            return SSH_AUTH_AGAIN;
        if (!ssh_auth_is_key_error(auth->session, rc))
            return ssh_auth_report_broken(&auth->report, auth->session, auth->config, error);
        if (!auth->was_asked_to_sign) {
            auth->report.tried++;
            ssh_auth_report_key(&auth->report, file_path(auth), "refused");
            auth->report.was_rsa_refused |= strcmp(auth->file.type, "ssh-rsa") == 0;
            next_file(auth);
            return 0;
        }
    }
    ask_passphrase(auth);
    return 0;
}

static void passphrase_cb(struct ssh_passphrase *ask, const struct error *error)
{
    struct ssh_auth *auth = ask->user;

    auth->is_asking = 0;
    if (auth->on_closed != NULL) {
        ssh_auth_close(auth, auth->on_closed);
        return;
    }
    if (error->code == ERR_NONE) {
        auth->state = AUTH_FILE_SIGN;
    } else {
        ssh_auth_report_key(&auth->report, file_path(auth), error->text);
        next_file(auth);
    }
    auth->on_wake(auth->user);
}

static int tick_file_sign(struct ssh_auth *auth, struct error *error)
{
    /* Never NULL: libssh2 1.10 hands it to OpenSSL's callback, which takes its length. */
    const char *passphrase = auth->file.is_encrypted ? auth->passphrase.answer : "";
    int rc = libssh2_userauth_publickey_fromfile_ex(auth->session, auth->config->user,
                                                    (unsigned)strlen(auth->config->user), NULL,
                                                    file_path(auth), passphrase);
    char *text = NULL;
    int is_unreadable;

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return SSH_AUTH_AGAIN;
    ssh_passphrase_wipe(&auth->passphrase);
    auth->report.tried++;
    if (rc == 0) {
        auth->state = AUTH_DONE;
        return 0;
    }
    if (!ssh_auth_is_key_error(auth->session, rc))
        return ssh_auth_report_broken(&auth->report, auth->session, auth->config, error);
    libssh2_session_last_error(auth->session, &text, NULL, 0);
    is_unreadable = rc == LIBSSH2_ERROR_FILE || rc == LIBSSH2_ERROR_KEYFILE_AUTH_FAILED ||
                    rc == LIBSSH2_ERROR_METHOD_NOT_SUPPORTED || rc == LIBSSH2_ERROR_METHOD_NONE ||
                    rc == LIBSSH2_ERROR_PROTO || rc == LIBSSH2_ERROR_DECRYPT;
    if (is_unreadable && auth->file.is_encrypted && auth->passphrase_tries < PASSPHRASE_TRIES) {
        ask_passphrase(auth);
        return 0;
    }
    if (is_unreadable && auth->file.is_encrypted)
        ssh_auth_report_key(&auth->report, file_path(auth), "wrong passphrase");
    else if (is_unreadable)
        ssh_auth_report_key(
            &auth->report, file_path(auth),
            "libssh2 cannot read this kind of key (an agent can: ssh-add, or use `--ssh ssh`)");
    else
        ssh_auth_report_key(&auth->report, file_path(auth),
                            rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED ? "refused" : text);
    if (!is_unreadable)
        auth->report.was_rsa_refused |=
            auth->file.blob == NULL || strcmp(auth->file.type, "ssh-rsa") == 0;
    next_file(auth);
    return 0;
}

/* ---- the end ---- */

static void finish(struct ssh_auth *auth)
{
    ssh_auth_cb *on_closed = auth->on_closed;
    void *user = auth->user;

    ssh_key_file_release(&auth->file);
    ssh_passphrase_wipe(&auth->passphrase);
    free(auth);
    on_closed(user);
}

static void agent_closed_cb(struct ssh_agent *agent)
{
    finish(agent->user);
}

static void finish_cb(uv_handle_t *handle)
{
    finish(handle->data);
}

void ssh_auth_close(struct ssh_auth *auth, ssh_auth_cb *on_closed)
{
    auth->on_closed = on_closed;
    if (auth->is_asking) {
        ssh_passphrase_cancel(&auth->passphrase);
        return;
    }
    if (auth->has_agent) {
        ssh_agent_close(&auth->agent, agent_closed_cb);
        return;
    }
    /* Nothing is open: the agent's timer serves to come back later. */
    uv_timer_init(auth->loop, &auth->agent.timer);
    auth->agent.timer.data = auth;
    uv_close((uv_handle_t *)&auth->agent.timer, finish_cb);
}
