#include "protocol/link/tls_stream.h"

#include <assert.h>
#include <stdlib.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "protocol/base/error.h"
#include "protocol/link/tls_certificate.h"
#include "protocol/link/tls_context.h"

struct tls_stream {
    struct tls_context *context; /* kept */
    SSL *ssl;
    BIO *in;          /* from the network; owned by ssl, as is out */
    BIO *out;         /* to the network */
    X509 *refused;    /* the other side's certificate, if it was not taken */
    const char *host; /* of the server; NULL: we are it. Owned by the user, as is peer */
    const char *peer;
};

int tls_stream_new(struct tls_stream **stream, struct tls_context *context, const char *host,
                   const char *peer, struct error *error)
{
    struct tls_stream *new = calloc(1, sizeof(*new));
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());

    *stream = NULL;
    if (new == NULL || in == NULL || out == NULL) {
        error_set(error, ERR_INTERNAL, "out of memory for a TLS connection");
        goto fail;
    }
    new->ssl = tls_context_connection(context, host, error);
    if (new->ssl == NULL)
        goto fail;
    /* No bytes now means: later. */
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(new->ssl, in, out);
    SSL_set_app_data(new->ssl, &new->refused);
    new->context = tls_context_keep(context);
    new->in = in;
    new->out = out;
    new->host = host;
    new->peer = peer;
    *stream = new;
    return 0;
fail:
    BIO_free(in);
    BIO_free(out);
    free(new);
    return ERR_INTERNAL;
}

void tls_stream_free(struct tls_stream *stream)
{
    if (stream == NULL)
        return;
    /* However the connection ended: the ticket stays good. */
    SSL_set_shutdown(stream->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(stream->ssl);
    X509_free(stream->refused);
    tls_context_free(stream->context);
    free(stream);
}

int tls_stream_feed(struct tls_stream *stream, const uint8_t *data, size_t len, struct error *error)
{
    size_t done = 0;

    if (BIO_write_ex(stream->in, data, len, &done) == 1 && done == len)
        return 0;
    ERR_clear_error();
    return error_set(error, ERR_INTERNAL, "out of memory for what came from %s", stream->peer);
}

/* Whether an alert of this kind means that it was us, and not the bytes, that was refused. */
static int is_refusal(int reason)
{
    switch (reason) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        return 1;
    default:
        return 0;
    }
}

/* Set error to what OpenSSL's queue says, and empty it. */
static int failed(struct tls_stream *stream, struct error *error)
{
    unsigned long reason = ERR_peek_error();
    const char *text = ERR_reason_error_string(reason);
    long verified = SSL_get_verify_result(stream->ssl);

    ERR_clear_error();
    if (ERR_GET_REASON(reason) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        tls_certificate_refused(stream->refused, verified, stream->host, error);
        return error_wrap(error, "%s", stream->peer);
    }
    if (ERR_GET_REASON(reason) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        return error_set(error, ERR_AUTH, "%s showed no certificate", stream->peer);
    if (is_refusal(ERR_GET_REASON(reason)))
        return error_set(
            error, ERR_AUTH, "%s refused our certificate (%s)%s", stream->peer, text,
            stream->host != NULL
                ? "; show one that it knows with --cert and --key, and see that it has not expired"
                : "");
    return error_set(error, ERR_NO_LINK,
                     "TLS with %s: %s; is it a lockstep-origin that listens there?", stream->peer,
                     text != NULL ? text : "it broke off");
}

/* A resumed client's certificate was verified at some earlier time: it may be over by now. */
static int check_time(struct tls_stream *stream, struct error *error)
{
    X509 *certificate;
    int is_expired;

    if (stream->host != NULL || !SSL_session_reused(stream->ssl))
        return 0;
    certificate = SSL_get1_peer_certificate(stream->ssl);
    is_expired = certificate != NULL && tls_certificate_is_expired(certificate);
    X509_free(certificate);
    return is_expired
               ? error_set(error, ERR_AUTH, "the certificate of %s expired since", stream->peer)
               : 0;
}

int tls_stream_handshake(struct tls_stream *stream, int *done, struct error *error)
{
    int result = SSL_do_handshake(stream->ssl);

    *done = result == 1;
    if (*done)
        return check_time(stream, error);
    return SSL_get_error(stream->ssl, result) == SSL_ERROR_WANT_READ ? 0 : failed(stream, error);
}

int tls_stream_read(struct tls_stream *stream, uint8_t *out, size_t size, size_t *len, int *ended,
                    struct error *error)
{
    int result = SSL_read_ex(stream->ssl, out, size, len);

    *ended = 0;
    if (result == 1)
        return 0;
    *len = 0;
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        *ended = 1;
        return 0;
    default:
        return failed(stream, error);
    }
}

int tls_stream_write(struct tls_stream *stream, const uint8_t *data, size_t len,
                     struct error *error)
{
    size_t done = 0;

    assert(len > 0 && len <= TLS_RECORD);
    if (SSL_write_ex(stream->ssl, data, len, &done) == 1 && done == len)
        return 0;
    return failed(stream, error);
}

void tls_stream_finish(struct tls_stream *stream)
{
    SSL_shutdown(stream->ssl);
    ERR_clear_error();
}

const uint8_t *tls_stream_output(struct tls_stream *stream, size_t *len)
{
    char *data = NULL;
    long pending = BIO_get_mem_data(stream->out, &data);

    *len = pending > 0 ? (size_t)pending : 0;
    return (const uint8_t *)data;
}

void tls_stream_taken(struct tls_stream *stream)
{
    (void)BIO_reset(stream->out);
}

void tls_stream_peer(const struct tls_stream *stream, struct tls_peer *peer)
{
    X509 *certificate = SSL_get1_peer_certificate(stream->ssl);

    *peer = (struct tls_peer){0};
    if (certificate != NULL)
        tls_certificate_names(certificate, peer);
    X509_free(certificate);
}

int tls_stream_is_resumed(const struct tls_stream *stream)
{
    return SSL_session_reused(stream->ssl);
}
