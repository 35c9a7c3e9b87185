#include "protocol/link/ssh_key_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/ssh_blob.h"
#include "protocol/link/ssh_file.h"

#define OPENSSH_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define OPENSSH_END   "-----END OPENSSH PRIVATE KEY-----"

static int parse_openssh(struct ssh_key_file *key, const char *text, struct error *error);
static int parse_public(struct ssh_key_file *key, const char *text);
static int check_mode(const char *path, struct error *error);

static void read_public_beside(struct ssh_key_file *key, const char *path)
{
    char *pub_path = NULL;
    char *text = NULL;

    if (asprintf(&pub_path, "%s.pub", path) >= 0 &&
        ssh_file_read(pub_path, LIMIT_SSH_KEY_FILE, &text, NULL, NULL) == 0)
        parse_public(key, text);
    free(pub_path);
    free(text);
}

int ssh_key_file_read(struct ssh_key_file *key, const char *path, struct error *error)
{
    char *text = NULL;
    size_t len = 0;
    int rc = ssh_file_read(path, LIMIT_SSH_KEY_FILE, &text, &len, error);

    *key = (struct ssh_key_file){.blob = NULL};
    if (rc != 0)
        return rc;
    rc = ssh_key_file_parse(key, text, len, error);
    explicit_bzero(text, len);
    free(text);
    if (rc == 0 && !key->is_public)
        rc = check_mode(path, error);
    if (rc != 0) {
        ssh_key_file_release(key);
        error_wrap(error, "the key file %s", path);
        return rc;
    }
    if (key->blob == NULL)
        read_public_beside(key, path);
    return 0;
}

void ssh_key_file_release(struct ssh_key_file *key)
{
    free(key->blob);
    *key = (struct ssh_key_file){.blob = NULL};
}

/* As ssh: a private key that others may read is not used, so that the mistake is seen. */
static int check_mode(const char *path, struct error *error)
{
    struct stat info;

    if (stat(path, &info) == 0 && info.st_uid == getuid() && (info.st_mode & 077) != 0)
        return error_set(error, ERR_AUTH,
                         "others may read it (mode %03o): make a new key if they may have, else "
                         "`chmod 600` it",
                         (unsigned)(info.st_mode & 0777));
    return 0;
}

int ssh_key_file_parse(struct ssh_key_file *key, const char *text, size_t len, struct error *error)
{
    const char *begin;

    *key = (struct ssh_key_file){.blob = NULL};
    if (strlen(text) != len)
        return error_set(error, ERR_AUTH, "it is not a key in a text format");
    if ((begin = strstr(text, OPENSSH_BEGIN)) != NULL)
        return parse_openssh(key, begin + strlen(OPENSSH_BEGIN), error);
    if (strstr(text, "-----BEGIN ") != NULL && strstr(text, "PRIVATE KEY-----") != NULL) {
        key->is_encrypted = strstr(text, "-----BEGIN ENCRYPTED PRIVATE KEY-----") != NULL ||
                            strstr(text, "Proc-Type: 4,ENCRYPTED") != NULL;
        return 0;
    }
    if (parse_public(key, text) == 0) {
        key->is_public = 1;
        return 0;
    }
    return error_set(error, ERR_AUTH, "it is not a private key in a format that is known here");
}

static int keep_blob(struct ssh_key_file *key, const uint8_t *blob, size_t len)
{
    key->blob = malloc(len);
    if (key->blob == NULL)
        return -1;
    memcpy(key->blob, blob, len);
    key->blob_len = len;
    ssh_key_type(blob, len, key->type, sizeof(key->type));
    return 0;
}

/*
 * What stands in the clear at the start of OpenSSH's format: "openssh-key-v1\0", the names of the
 * cipher and of the key derivation, its options, the number of keys, the first public key.
 */
static int parse_openssh(struct ssh_key_file *key, const char *text, struct error *error)
{
    static const char magic[] = "openssh-key-v1";
    const char *end = strstr(text, OPENSSH_END);
    struct ssh_reader reader;
    const uint8_t *cipher = NULL;
    const uint8_t *string;
    const uint8_t *blob;
    uint8_t *data = NULL;
    size_t data_len = 0;
    size_t cipher_len = 0;
    size_t len;
    size_t blob_len;
    uint32_t count;
    int rc = 0;

    if (end != NULL)
        data = ssh_base64_decode(text, (size_t)(end - text), &data_len);
    if (data == NULL || data_len < sizeof(magic) || memcmp(data, magic, sizeof(magic)) != 0) {
        rc = error_set(error, ERR_AUTH, "it begins as an OpenSSH key, but is not a whole one");
        goto out;
    }
    reader = (struct ssh_reader){data + sizeof(magic), data_len - sizeof(magic)};
    if (ssh_read_string(&reader, &cipher, &cipher_len) != 0 ||
        ssh_read_string(&reader, &string, &len) != 0 ||
        ssh_read_string(&reader, &string, &len) != 0 || ssh_read_u32(&reader, &count) != 0 ||
        count != 1 || ssh_read_string(&reader, &blob, &blob_len) != 0) {
        rc = error_set(error, ERR_AUTH, "it begins as an OpenSSH key, but is damaged");
        goto out;
    }
    key->is_encrypted = cipher_len != 4 || memcmp(cipher, "none", 4) != 0;
    if (keep_blob(key, blob, blob_len) != 0)
        rc = error_set(error, ERR_INTERNAL, "out of memory for a key");
out:
    if (data != NULL)
        explicit_bzero(data, data_len);
    free(data);
    return rc;
}

/* "ssh-ed25519 AAAA... comment". Returns 0, or -1 where text is none. */
static int parse_public(struct ssh_key_file *key, const char *text)
{
    size_t type_len = strcspn(text, " \t\n");
    const char *base64 = text + type_len + strspn(text + type_len, " \t");
    char type[32];
    uint8_t *blob;
    size_t len = 0;
    int rc = -1;

    blob = ssh_base64_decode(base64, strcspn(base64, " \t\r\n"), &len);
    if (blob == NULL)
        return -1;
    ssh_key_type(blob, len, type, sizeof(type));
    if (type[0] != '\0' && strlen(type) == type_len && memcmp(type, text, type_len) == 0)
        rc = keep_blob(key, blob, len);
    free(blob);
    return rc;
}
