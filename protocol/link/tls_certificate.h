/*
 * tls_certificate: what a certificate says: whose it is, which pin it has, and why one was not
 * taken, in words.
 */
#ifndef LOCKSTEP_LINK_TLS_CERTIFICATE_H
#define LOCKSTEP_LINK_TLS_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct x509_st;           /* OpenSSL's X509 */
struct x509_store_ctx_st; /* OpenSSL's X509_STORE_CTX */

#define TLS_PIN_SIZE      32  /* bytes of a SHA-256 */
#define TLS_PEER_NAMES    8   /* names of one certificate that are looked at */
#define TLS_PEER_NAME_MAX 129 /* bytes of one, with its NUL */

/* Who is on the other side, as its certificate says, which was verified. */
struct tls_peer {
    unsigned count; /* 0: it showed no certificate */
    char names[TLS_PEER_NAMES]
              [TLS_PEER_NAME_MAX]; /* common name of the subject first; no doubles */
};

/*
 * The common name of the subject, then the names of subjectAltName (DNS, URI, e-mail). A name that
 * is too long, or has control characters or bytes that are not UTF-8, is left out, never cut.
 */
void tls_certificate_names(const struct x509_st *certificate, struct tls_peer *peer);

/*
 * Read a pin: 64 hexadecimal digits, ':' between them allowed, "sha256:" before them allowed.
 * ERR_USAGE for anything else.
 */
int tls_pin_parse(const char *text, uint8_t pin[TLS_PIN_SIZE], struct error *error);

/* Whether pin is the SHA-256 of the certificate (DER), or of its public key (SubjectPublicKeyInfo).
 */
int tls_certificate_has_pin(const struct x509_st *certificate, const uint8_t pin[TLS_PIN_SIZE]);

/* Whether the certificate's time is over by this machine's clock. */
int tls_certificate_is_expired(const struct x509_st *certificate);

/*
 * Set error (ERR_AUTH) to why the far side's certificate was not taken: reason is OpenSSL's
 * X509_V_…; certificate may be NULL; host is the one that was meant, NULL for a client's
 * certificate.
 */
int tls_certificate_refused(const struct x509_st *certificate, long reason, const char *host,
                            struct error *error);

#endif
