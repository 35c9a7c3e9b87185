/*
 * tls_context: what the connections of one side have in common: certificate, key, whom to trust,
 * and what makes the next handshake shorter. TLS 1.3 only.
 *
 * A server's tickets are sealed with keys of its context, so a new context, after a change of
 * certificates or CAs, takes nobody's word from before. A client keeps the last ticket of its
 * server.
 */
#ifndef LOCKSTEP_LINK_TLS_CONTEXT_H
#define LOCKSTEP_LINK_TLS_CONTEXT_H

struct error;
struct ssl_st; /* OpenSSL's SSL */
struct tls_context;

struct tls_client_options {
    const char *ca; /* PEM file: who may have signed the server's certificate; NULL: the system's */
    const char *pin;  /* tls_pin_parse; instead of ca, or, with ca, as well; NULL: none */
    const char *cert; /* PEM file: our certificate and what leads to its CA; NULL: none */
    const char *key;  /* PEM file; NULL: in cert */
};

struct tls_server_options {
    const char *cert;      /* PEM file: our certificate and what leads to its CA */
    const char *key;       /* PEM file; NULL: in cert */
    const char *client_ca; /* PEM file: who may have signed a client's certificate; NULL: clients
                              need none */
    int is_cert_needed;    /* a client without a certificate is refused in the handshake */
};

/*
 * Read the files. *context is freed by tls_context_free. It must stay until the handshakes of its
 * connections are through: it is counted (tls_context_keep), so that a server can replace it at any
 * time. ERR_USAGE for options or files that are of no use, each named, ERR_IO for a file that
 * cannot be read.
 */
int tls_context_new_client(struct tls_context **context, const struct tls_client_options *options,
                           struct error *error);
int tls_context_new_server(struct tls_context **context, const struct tls_server_options *options,
                           struct error *error);

/* One more user of the context, who calls tls_context_free as well. Returns context. One thread
 * only. */
struct tls_context *tls_context_keep(struct tls_context *context);

/* One user less; the last one frees it. NULL is allowed. */
void tls_context_free(struct tls_context *context);

/*
 * A new connection: to the server at host (a name or an address, which its certificate must be for,
 * unless it is pinned), or, with host NULL, of a server. NULL, with error set, when memory ran out.
 * SSL_free frees it, before the context goes. Its app data, if it is set, points to an X509 * that
 * takes a certificate which is refused.
 */
struct ssl_st *tls_context_connection(struct tls_context *context, const char *host,
                                      struct error *error);

#endif
