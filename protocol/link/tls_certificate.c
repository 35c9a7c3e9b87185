#include "protocol/link/tls_certificate.h"

#include <stdio.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/log.h"

/* ---- names ---- */

/* Add the len bytes of UTF-8 at text, if they are a name that can be compared as it stands. */
static void add_name(struct tls_peer *peer, const unsigned char *text, int len)
{
    char name[TLS_PEER_NAME_MAX];

    if (len <= 0 || len >= TLS_PEER_NAME_MAX || peer->count == TLS_PEER_NAMES)
        return;
    if (log_sanitize((const char *)text, (size_t)len, name, sizeof(name)) != (size_t)len ||
        memcmp(name, text, (size_t)len) != 0 || strpbrk(name, "\n\t") != NULL)
        return;
    for (unsigned i = 0; i < peer->count; i++) {
        if (strcmp(peer->names[i], name) == 0)
            return;
    }
    memcpy(peer->names[peer->count++], name, (size_t)len + 1);
}

static void add_string(struct tls_peer *peer, const ASN1_STRING *string)
{
    unsigned char *text = NULL;
    int len = string != NULL ? ASN1_STRING_to_UTF8(&text, string) : -1;

    if (len >= 0)
        add_name(peer, text, len);
    OPENSSL_free(text);
}

void tls_certificate_names(const X509 *certificate, struct tls_peer *peer)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int spot = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    memset(peer, 0, sizeof(*peer));
    if (spot >= 0)
        add_string(peer, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, spot)));
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_EMAIL)
            add_string(peer, name->d.ia5);
    }
    GENERAL_NAMES_free(names);
}

/* ---- pins ---- */

int tls_pin_parse(const char *text, uint8_t pin[TLS_PIN_SIZE], struct error *error)
{
    const char *digits = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;
    char plain[2 * TLS_PIN_SIZE + 1];
    size_t len = 0;

    for (const char *spot = digits; *spot != '\0' && len < sizeof(plain); spot++) {
        if (*spot != ':')
            plain[len++] = *spot;
    }
    if (len != 2 * TLS_PIN_SIZE || hex_decode(plain, len, pin, TLS_PIN_SIZE) != 0)
        return error_set(error, ERR_USAGE,
                         "a pin is the SHA-256 of the origin's certificate or of its public key, "
                         "64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256 -in "
                         "FILE` prints them");
    return 0;
}

int tls_certificate_has_pin(const X509 *certificate, const uint8_t pin[TLS_PIN_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char *key = NULL;
    unsigned len = 0;
    int key_len;
    int has = 0;

    if (X509_digest(certificate, EVP_sha256(), digest, &len) == 1)
        has = len == TLS_PIN_SIZE && memcmp(digest, pin, TLS_PIN_SIZE) == 0;
    key_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
    if (!has && key_len > 0 &&
        EVP_Digest(key, (size_t)key_len, digest, &len, EVP_sha256(), NULL) == 1)
        has = len == TLS_PIN_SIZE && memcmp(digest, pin, TLS_PIN_SIZE) == 0;
    OPENSSL_free(key);
    return has;
}

int tls_certificate_is_expired(const X509 *certificate)
{
    return X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0;
}

/* ---- refusals ---- */

/* "2026-11-21T20:04:06Z" for one of a certificate's times. */
static const char *format_time(const ASN1_TIME *when, char *out, size_t size)
{
    struct tm tm = {0};

    if (ASN1_TIME_to_tm(when, &tm) != 1 || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, size, "an unreadable time");
    return out;
}

/* "a, b, c" */
static const char *list_names(const X509 *certificate, char *out, size_t size)
{
    struct tls_peer peer;
    size_t used = 0;

    tls_certificate_names(certificate, &peer);
    snprintf(out, size, "nobody");
    for (unsigned i = 0; i < peer.count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "", peer.names[i]);
    return out;
}

int tls_certificate_refused(const X509 *certificate, long reason, const char *host,
                            struct error *error)
{
    const char *whose = host != NULL ? "the origin's certificate" : "the client's certificate";
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "unknown";
    char text[512];
    unsigned len = 0;

    if (certificate == NULL)
        return error_set(error, ERR_AUTH, "%s: %s", whose, X509_verify_cert_error_string(reason));
    switch (reason) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return error_set(error, ERR_AUTH,
                         "%s, for %s, expired at %s by this machine's clock; have it renewed",
                         whose, list_names(certificate, text, sizeof(text)),
                         format_time(X509_get0_notAfter(certificate), hex, sizeof(hex)));
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return error_set(error, ERR_AUTH,
                         "%s is valid only from %s on, by this machine's clock; compare the clocks",
                         whose, format_time(X509_get0_notBefore(certificate), hex, sizeof(hex)));
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return error_set(
            error, ERR_AUTH,
            "%s is for %s, not for %s: use a name that is in it, or have one made with "
            "that name",
            whose, list_names(certificate, text, sizeof(text)), host);
    case X509_V_ERR_APPLICATION_VERIFICATION:
        X509_digest(certificate, EVP_sha256(), digest, &len);
        return error_set(
            error, ERR_AUTH,
            "%s is not the one that --pin names: it has the SHA-256 %s. Either the origin "
            "has a new one, which somebody there can tell, or something stands between",
            whose, hex_encode(digest, len, hex));
    default:
        break;
    }
    if (host == NULL)
        return error_set(error, ERR_AUTH, "%s, for %s: %s", whose,
                         list_names(certificate, text, sizeof(text)),
                         X509_verify_cert_error_string(reason));
    if (X509_digest(certificate, EVP_sha256(), digest, &len) == 1)
        hex_encode(digest, len, hex);
    return error_set(
        error, ERR_AUTH,
        "%s is not trusted here: %s; give the file of the CA that made it with --ca, or, "
        "if the machine that it is on says the same, --pin %s",
        whose, X509_verify_cert_error_string(reason), hex);
}
