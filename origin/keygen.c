#include "origin/keygen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/random.h"

#define DAY_S         86400L
#define SERIAL_SIZE   16
/* Clocks of other machines may be behind: valid from so long ago on. */
#define BACKDATE_S    3600L

struct identity {
    X509 *certificate;
    EVP_PKEY *key;
};

static void release(struct identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
    *identity = (struct identity){NULL, NULL};
}

static int openssl_failed(struct error *error, const char *what)
{
    char text[160];

    ERR_error_string_n(ERR_peek_error(), text, sizeof(text));
    ERR_clear_error();
    return error_set(error, ERR_INTERNAL, "%s: %s", what, text);
}

/* ---- files ---- */

static int join(char **path, const char *folder, const char *name, const char *ending, struct error *error)
{
    if (asprintf(path, "%s/%s%s", folder, name, ending) >= 0)
        return 0;
    *path = NULL;
    return error_set(error, ERR_INTERNAL, "out of memory");
}

/* Open a new file; mode decides who reads it, whatever the umask. */
static FILE *create(const char *path, int mode, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (file == NULL) {
        error_set_errno(error, ERR_IO, errno, "creating %s", path);
        if (fd >= 0)
            close(fd);
    }
    return file;
}

/* Write the key, then the certificate, so that no certificate is there without its key. */
static int store(const struct identity *identity, const char *certificate_path, const char *key_path, struct error *error)
{
    FILE *file = create(key_path, 0600, error);
    int good;

    if (file == NULL)
        return error->code;
    good = PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL);
    if (fclose(file) != 0 || !good)
        return error_set_errno(error, ERR_IO, errno, "writing %s", key_path);
    file = create(certificate_path, 0644, error);
    if (file == NULL)
        return error->code;
    good = PEM_write_X509(file, identity->certificate);
    if (fclose(file) != 0 || !good)
        return error_set_errno(error, ERR_IO, errno, "writing %s", certificate_path);
    return 0;
}

static int load(struct identity *identity, const char *certificate_path, const char *key_path, struct error *error)
{
    FILE *file = fopen(certificate_path, "re");

    identity->certificate = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    if (file != NULL)
        fclose(file);
    file = fopen(key_path, "re");
    identity->key = file != NULL ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    if (file != NULL)
        fclose(file);
    if (identity->certificate != NULL && identity->key != NULL &&
        X509_check_private_key(identity->certificate, identity->key) == 1)
        return 0;
    release(identity);
    ERR_clear_error();
    return error_set(error, ERR_USAGE, "%s and %s are not a certificate and its key; move them away to have new ones made",
                     certificate_path, key_path);
}

/* ---- certificates ---- */

static int add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX context;
    int good;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    good = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static int set_serial(X509 *certificate)
{
    uint8_t bytes[SERIAL_SIZE];
    BIGNUM *number;
    int good;

    random_bytes(bytes, sizeof(bytes));
    bytes[0] &= 0x7f;
    number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return good;
}

/* What every certificate of ours has. */
static int fill(const struct identity *identity, const struct identity *issuer, const char *name, unsigned days)
{
    X509 *certificate = identity->certificate;
    X509_NAME *subject = X509_get_subject_name(certificate);

    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -BACKDATE_S) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * DAY_S) != NULL &&
           X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate, X509_get_subject_name(issuer->certificate)) == 1 &&
           X509_set_pubkey(certificate, identity->key) == 1 &&
           add_extension(certificate, issuer->certificate, NID_subject_key_identifier, "hash");
}

/* issuer NULL: a CA, which signs itself. alternatives: for subjectAltName, or NULL. */
static int make(struct identity *identity, const struct identity *issuer, const char *name, const char *usage,
                const char *alternatives, unsigned days, struct error *error)
{
    const struct identity *signer = issuer != NULL ? issuer : identity;
    X509 *certificate = identity->certificate = X509_new();
    int good;

    identity->key = EVP_EC_gen("P-256");
    good = certificate != NULL && identity->key != NULL && fill(identity, signer, name, days);
    if (good && issuer == NULL)
        good = add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
               add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
    else if (good)
        good = add_extension(certificate, issuer->certificate, NID_basic_constraints, "critical,CA:FALSE") &&
               add_extension(certificate, issuer->certificate, NID_key_usage, "critical,digitalSignature") &&
               add_extension(certificate, issuer->certificate, NID_authority_key_identifier, "keyid") &&
               add_extension(certificate, issuer->certificate, NID_ext_key_usage, usage);
    if (good && alternatives != NULL)
        good = add_extension(certificate, signer->certificate, NID_subject_alt_name, alternatives);
    if (good && X509_sign(certificate, signer->key, EVP_sha256()) > 0)
        return 0;
    release(identity);
    return openssl_failed(error, "making a certificate");
}

/* ---- the folder ---- */

/* What is in the folder by that name, else a new one, which is put there. */
static int load_or_make(struct identity *identity, const struct identity *issuer, const struct keygen_options *options,
                        const char *file_name, const char *name, const char *usage, const char *alternatives,
                        struct error *error)
{
    unsigned days = issuer != NULL ? options->days : 10 * options->days;
    char *certificate_path = NULL;
    char *key_path = NULL;
    int rc = join(&certificate_path, options->folder, file_name, ".pem", error);

    if (rc == 0)
        rc = join(&key_path, options->folder, file_name, ".key", error);
    if (rc == 0 && access(certificate_path, F_OK) == 0) {
        rc = load(identity, certificate_path, key_path, error);
        if (rc == 0)
            printf("%s is there already\n", certificate_path);
    } else if (rc == 0) {
        rc = make(identity, issuer, name, usage, alternatives, days, error);
        if (rc == 0)
            rc = store(identity, certificate_path, key_path, error);
        if (rc == 0)
            printf("%s and %s\n", certificate_path, key_path);
    }
    free(certificate_path);
    free(key_path);
    return rc;
}

/* A name that goes into a certificate's list of names and into a file name as it stands. */
static int check_name(const char *name, struct error *error)
{
    if (name[0] == '\0' || name[0] == '.' || name[0] == '-' || strlen(name) > 64 || strpbrk(name, ",/\\ \t\n") != NULL)
        return error_set(error, ERR_USAGE, "\"%s\" cannot be a name here: 1 to 64 characters, no space, comma or slash", name);
    return 0;
}

/* "DNS:origin.internal,IP:fdaa::3" */
static int list_hosts(const struct keygen_options *options, char *out, size_t size, struct error *error)
{
    size_t used = 0;

    for (int i = 0; i < KEYGEN_NAMES_MAX && options->hosts[i] != NULL; i++) {
        const char *host = options->hosts[i];
        struct in6_addr address;
        int is_address = inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;

        if (check_name(host, error) != 0)
            return error->code;
        used += (size_t)snprintf(out + used, size - used, "%s%s:%s", i > 0 ? "," : "", is_address ? "IP" : "DNS", host);
    }
    return 0;
}

static int make_clients(const struct keygen_options *options, const struct identity *ca, struct error *error)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < KEYGEN_NAMES_MAX && options->clients[i] != NULL; i++) {
        const char *name = options->clients[i];
        struct identity client = {NULL, NULL};

        rc = check_name(name, error);
        if (rc == 0 && (strcmp(name, "ca") == 0 || strcmp(name, "origin") == 0))
            rc = error_set(error, ERR_USAGE, "a client cannot be called %s: that is another file's name", name);
        if (rc == 0)
            rc = load_or_make(&client, ca, options, name, name, "clientAuth", NULL, error);
        release(&client);
    }
    return rc;
}

int keygen_run(const struct keygen_options *options, struct error *error)
{
    struct identity ca = {NULL, NULL};
    struct identity origin = {NULL, NULL};
    char hosts[KEYGEN_NAMES_MAX * 72] = "";
    int rc = list_hosts(options, hosts, sizeof(hosts), error);

    if (rc == 0 && mkdir(options->folder, 0700) != 0 && errno != EEXIST)
        rc = error_set_errno(error, ERR_IO, errno, "making the folder %s", options->folder);
    if (rc == 0)
        rc = load_or_make(&ca, NULL, options, "ca", "lockstep private CA", NULL, NULL, error);
    if (rc == 0)
        rc = load_or_make(&origin, &ca, options, "origin", options->hosts[0], "serverAuth", hosts, error);
    if (rc == 0)
        rc = make_clients(options, &ca, error);
    release(&origin);
    release(&ca);
    return rc;
}

int keygen_token(char token[KEYGEN_TOKEN_SIZE], char hash[KEYGEN_TOKEN_SIZE], struct error *error)
{
    uint8_t bytes[KEYGEN_TOKEN_SIZE / 2];
    uint8_t digest[EVP_MAX_MD_SIZE];

    random_bytes(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), token);
    explicit_bzero(bytes, sizeof(bytes));
    if (EVP_Digest(token, strlen(token), digest, NULL, EVP_sha256(), NULL) != 1)
        return openssl_failed(error, "hashing a token");
    hex_encode(digest, sizeof(bytes), hash);
    return 0;
}
