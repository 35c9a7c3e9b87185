#include "protocol/link/tls_context.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "protocol/base/error.h"
#include "protocol/link/tls_certificate.h"

struct tls_context {
    SSL_CTX *ssl;
    unsigned users;
    int is_pinned;
    int is_ca_given;
    uint8_t pin[TLS_PIN_SIZE];
    SSL_SESSION *session; /* client: what the server's last ticket resumes; NULL: none came */
    char *session_host;   /* whose ticket it is */
};

/* Set error from OpenSSL's queue, which is emptied. */
static int failed(struct error *error, int code, const char *what, const char *file)
{
    unsigned long reason = ERR_peek_error();
    char text[160];

    ERR_error_string_n(reason, text, sizeof(text));
    ERR_clear_error();
    return error_set(error, code, "%s %s: %s", what, file, reason != 0 ? text : "it does not fit");
}

static int check_readable(const char *file, struct error *error)
{
    if (access(file, R_OK) != 0)
        return error_set_errno(error, ERR_IO, errno, "reading %s", file);
    return 0;
}

/* Nobody is there to type a passphrase. */
static int no_passphrase(char *out, int size, int for_writing, void *user)
{
    (void)out;
    (void)size;
    (void)for_writing;
    (void)user;
    return -1;
}

static int use_identity(SSL_CTX *ssl, const char *cert, const char *key, struct error *error)
{
    int rc = check_readable(cert, error);

    if (key == NULL)
        key = cert;
    if (rc == 0)
        rc = check_readable(key, error);
    if (rc != 0)
        return rc;
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ssl, cert) != 1)
        return failed(error, ERR_USAGE, "there is no usable PEM certificate in", cert);
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
        return failed(error, ERR_USAGE,
                      "there is no PEM key without passphrase, that fits the certificate, in", key);
    return 0;
}

static int trust(SSL_CTX *ssl, const char *ca, struct error *error)
{
    int rc = check_readable(ca, error);

    if (rc != 0)
        return rc;
    if (SSL_CTX_load_verify_file(ssl, ca) != 1)
        return failed(error, ERR_USAGE, "there is no usable PEM certificate of a CA in", ca);
    return 0;
}

/* Whether the certificate is the pinned one, or where there is no pin, is vouched for by a CA. */
static int is_trusted(const struct tls_context *context, X509_STORE_CTX *store,
                      const X509 *certificate)
{
    if (!context->is_pinned)
        return X509_verify_cert(store) == 1;
    if (context->is_ca_given && X509_verify_cert(store) != 1)
        return 0;
    if (certificate != NULL && tls_certificate_has_pin(certificate, context->pin))
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* Called by OpenSSL; keeps a certificate that is refused, so that the error can name it. */
static int verify(X509_STORE_CTX *store, void *user)
{
    SSL *connection = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 **refused = SSL_get_app_data(connection);
    X509 *certificate = X509_STORE_CTX_get0_cert(store);

    if (is_trusted(user, store, certificate))
        return 1;
    if (certificate != NULL && refused != NULL && *refused == NULL && X509_up_ref(certificate))
        *refused = certificate;
    return 0;
}

static int make(struct tls_context **context, const SSL_METHOD *method, struct error *error)
{
    struct tls_context *new = calloc(1, sizeof(*new));

    *context = NULL;
    if (new == NULL || (new->ssl = SSL_CTX_new(method)) == NULL) {
        free(new);
        return failed(error, ERR_INTERNAL, "preparing", "TLS");
    }
    new->users = 1;
    SSL_CTX_set_min_proto_version(new->ssl, TLS1_3_VERSION);
    SSL_CTX_set_cert_verify_callback(new->ssl, verify, new);
    /* Connections that are idle hold no buffers for records. */
    SSL_CTX_set_mode(new->ssl, SSL_MODE_RELEASE_BUFFERS);
    *context = new;
    return 0;
}

/* ---- the client ---- */

/* The server's ticket came: the next connection to it resumes from there. */
static int keep_session(SSL *connection, SSL_SESSION *session)
{
    struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection));

    SSL_SESSION_free(context->session);
    context->session = session;
    return 1;
}

static int use_client_options(struct tls_context *context, const struct tls_client_options *options,
                              struct error *error)
{
    SSL_CTX *ssl = context->ssl;
    int rc = 0;

    if (options->pin != NULL)
        rc = tls_pin_parse(options->pin, context->pin, error);
    context->is_pinned = options->pin != NULL;
    context->is_ca_given = options->ca != NULL;
    if (rc == 0 && options->ca != NULL)
        rc = trust(ssl, options->ca, error);
    else if (rc == 0)
        SSL_CTX_set_default_verify_paths(ssl);
    if (rc == 0 && options->cert != NULL)
        rc = use_identity(ssl, options->cert, options->key, error);
    else if (rc == 0 && options->key != NULL)
        rc = error_set(error, ERR_USAGE, "--key is of no use without --cert");
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_app_data(ssl, context);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ssl, keep_session);
    return rc;
}

int tls_context_new_client(struct tls_context **context, const struct tls_client_options *options,
                           struct error *error)
{
    int rc = make(context, TLS_client_method(), error);

    if (rc == 0)
        rc = use_client_options(*context, options, error);
    if (rc != 0) {
        tls_context_free(*context);
        *context = NULL;
    }
    return rc;
}

/* ---- the server ---- */

static int use_server_options(SSL_CTX *ssl, const struct tls_server_options *options,
                              struct error *error)
{
    static const unsigned char id[] = "lockstep";
    int rc = use_identity(ssl, options->cert, options->key, error);

    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ssl, id, sizeof(id) - 1);
    SSL_CTX_set_num_tickets(ssl, 1);
    if (rc != 0 || options->client_ca == NULL)
        return rc;
    SSL_CTX_set_verify(
        ssl, SSL_VERIFY_PEER | (options->is_cert_needed ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    rc = trust(ssl, options->client_ca, error);
    if (rc == 0)
        SSL_CTX_set_client_CA_list(ssl, SSL_load_client_CA_file(options->client_ca));
    return rc;
}

int tls_context_new_server(struct tls_context **context, const struct tls_server_options *options,
                           struct error *error)
{
    int rc = make(context, TLS_server_method(), error);

    if (rc == 0)
        rc = use_server_options((*context)->ssl, options, error);
    if (rc != 0) {
        tls_context_free(*context);
        *context = NULL;
    }
    return rc;
}

struct tls_context *tls_context_keep(struct tls_context *context)
{
    context->users++;
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL || --context->users > 0)
        return;
    SSL_CTX_free(context->ssl);
    SSL_SESSION_free(context->session);
    free(context->session_host);
    free(context);
}

/* ---- connections ---- */

/* Have the certificate checked against host, and resume what the host's ticket is for. */
static int aim(struct tls_context *context, SSL *connection, const char *host)
{
    struct in6_addr address;
    int is_address =
        inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    int is_named = !context->is_pinned || context->is_ca_given;

    if (!is_address && SSL_set_tlsext_host_name(connection, host) != 1)
        return 0;
    if (is_named && is_address &&
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), host) != 1)
        return 0;
    if (is_named && !is_address && SSL_set1_host(connection, host) != 1)
        return 0;
    SSL_set_hostflags(connection, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (context->session_host != NULL && strcmp(context->session_host, host) != 0) {
        SSL_SESSION_free(context->session);
        context->session = NULL;
        free(context->session_host);
        context->session_host = NULL;
    }
    if (context->session_host == NULL)
        context->session_host = strdup(host);
    if (context->session != NULL)
        SSL_set_session(connection, context->session);
    return 1;
}

SSL *tls_context_connection(struct tls_context *context, const char *host, struct error *error)
{
    SSL *connection = SSL_new(context->ssl);

    if (connection == NULL || (host != NULL && !aim(context, connection, host))) {
        failed(error, ERR_INTERNAL, "preparing a TLS connection with",
               host != NULL ? host : "a client");
        SSL_free(connection);
        return NULL;
    }
    if (host != NULL)
        SSL_set_connect_state(connection);
    else
        SSL_set_accept_state(connection);
    return connection;
}
