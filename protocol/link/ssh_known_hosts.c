#include "protocol/link/ssh_known_hosts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/hmac.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/random.h"
#include "protocol/link/ssh_blob.h"
#include "protocol/link/ssh_file.h"
#include "protocol/link/ssh_pattern.h"

#define HASH_LEN 20 /* of HMAC-SHA1, and of its salt */

struct span {
    const char *text;
    size_t len;
};

static int read_line(struct ssh_known_hosts *known, struct span line, const char *file, int number,
                     struct error *error);
static int names_host(const struct ssh_known_hosts *known, struct span names);

int ssh_known_hosts_init(struct ssh_known_hosts *known, const char *host, int port,
                         struct error *error)
{
    int rc;

    *known = (struct ssh_known_hosts){.count = 0};
    if (port == 22)
        rc = asprintf(&known->name, "%s", host);
    else
        rc = asprintf(&known->name, "[%s]:%d", host, port);
    if (rc < 0) {
        known->name = NULL;
        return error_set(error, ERR_INTERNAL, "out of memory for a host name");
    }
    for (char *c = known->name; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return 0;
}

void ssh_known_hosts_release(struct ssh_known_hosts *known)
{
    for (size_t i = 0; i < known->count; i++) {
        free(known->keys[i].blob);
        free(known->keys[i].where);
    }
    free(known->keys);
    free(known->name);
    *known = (struct ssh_known_hosts){.count = 0};
}

int ssh_known_hosts_read_text(struct ssh_known_hosts *known, const char *text, const char *file,
                              struct error *error)
{
    int rc = 0;

    for (int number = 1; rc == 0 && *text != '\0'; number++) {
        size_t len = strcspn(text, "\n");

        rc = read_line(known, (struct span){text, len}, file, number, error);
        text += len + (text[len] == '\n');
    }
    return rc;
}

int ssh_known_hosts_read_file(struct ssh_known_hosts *known, const char *path, struct error *error)
{
    char *text = NULL;
    int rc = ssh_file_read(path, LIMIT_SSH_FILE, &text, NULL, error);

    if (rc == ERR_NO_DATABASE) {
        error_set(error, ERR_NONE, "%s", "");
        return 0;
    }
    if (rc == 0)
        rc = ssh_known_hosts_read_text(known, text, path, error);
    free(text);
    return rc;
}

/* Cut the next word off *line; its length is 0 where none is left. */
static struct span next_word(struct span *line)
{
    struct span word;
    size_t len = 0;

    while (line->len > 0 && isspace((unsigned char)*line->text)) {
        line->text++;
        line->len--;
    }
    while (len < line->len && !isspace((unsigned char)line->text[len]))
        len++;
    word = (struct span){line->text, len};
    line->text += len;
    line->len -= len;
    return word;
}

static int is_word(struct span word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

static int keep(struct ssh_known_hosts *known, struct ssh_known_key key, const char *file,
                int number, struct error *error)
{
    if (known->count == known->cap) {
        size_t cap = known->cap == 0 ? 4 : 2 * known->cap;
        struct ssh_known_key *keys = reallocarray(known->keys, cap, sizeof(*keys));

        if (keys == NULL)
            return error_set(error, ERR_INTERNAL, "out of memory for known hosts");
        known->keys = keys;
        known->cap = cap;
    }
    if (asprintf(&key.where, "%s:%d", file, number) < 0)
        return error_set(error, ERR_INTERNAL, "out of memory for known hosts");
    known->keys[known->count++] = key;
    return 0;
}

/* "[@mark] names type base64 [comment]" */
static int read_line(struct ssh_known_hosts *known, struct span line, const char *file, int number,
                     struct error *error)
{
    struct ssh_known_key key = {.mark = SSH_KEY_TRUSTED};
    struct span names = next_word(&line);
    struct span type;
    struct span base64;
    int rc;

    if (is_word(names, "@revoked") || is_word(names, "@cert-authority")) {
        key.mark = is_word(names, "@revoked") ? SSH_KEY_REVOKED : SSH_KEY_AUTHORITY;
        names = next_word(&line);
    }
    type = next_word(&line);
    base64 = next_word(&line);
    if (base64.len == 0 || names.text[0] == '#' || names.text[0] == '@' ||
        !names_host(known, names))
        return 0;
    key.blob = ssh_base64_decode(base64.text, base64.len, &key.blob_len);
    if (key.blob == NULL)
        return 0;
    ssh_key_type(key.blob, key.blob_len, key.type, sizeof(key.type));
    if (!is_word(type, key.type)) {
        free(key.blob);
        return 0;
    }
    rc = keep(known, key, file, number, error);
    if (rc != 0)
        free(key.blob);
    return rc;
}

/* HMAC-SHA1 of the host's name. 0, or -1 where OpenSSL has none (it can be forbidden by a policy).
 */
static int hash_name(const struct ssh_known_hosts *known, const uint8_t salt[HASH_LEN],
                     uint8_t hash[HASH_LEN])
{
    unsigned int len = 0;

    if (HMAC(EVP_sha1(), salt, HASH_LEN, (const unsigned char *)known->name, strlen(known->name),
             hash, &len) == NULL ||
        len != HASH_LEN)
        return -1;
    return 0;
}

/* names is "|1|salt|hash". */
static int matches_hash(const struct ssh_known_hosts *known, struct span names)
{
    struct span salt64 = {names.text + 3, names.len - 3};
    const char *bar = memchr(salt64.text, '|', salt64.len);
    uint8_t found[HASH_LEN];
    uint8_t *salt = NULL;
    uint8_t *hash = NULL;
    size_t salt_len = 0;
    size_t hash_len = 0;
    int is_match = 0;

    if (bar == NULL)
        return 0;
    salt64.len = (size_t)(bar - salt64.text);
    salt = ssh_base64_decode(salt64.text, salt64.len, &salt_len);
    hash = ssh_base64_decode(bar + 1, names.len - 3 - salt64.len - 1, &hash_len);
    if (salt != NULL && hash != NULL && salt_len == HASH_LEN && hash_len == HASH_LEN &&
        hash_name(known, salt, found) == 0)
        is_match = memcmp(hash, found, HASH_LEN) == 0;
    free(salt);
    free(hash);
    return is_match;
}

static int names_host(const struct ssh_known_hosts *known, struct span names)
{
    if (names.len > 3 && memcmp(names.text, "|1|", 3) == 0)
        return matches_hash(known, names);
    return ssh_pattern_match_list(known->name, names.text, names.len, ",");
}

static int is_same_key(const struct ssh_known_key *key, const uint8_t *blob, size_t blob_len)
{
    return key->blob_len == blob_len && memcmp(key->blob, blob, blob_len) == 0;
}

enum ssh_host_verdict ssh_known_hosts_check(const struct ssh_known_hosts *known,
                                            const uint8_t *blob, size_t blob_len,
                                            const struct ssh_known_key **key)
{
    const struct ssh_known_key *same = NULL;
    const struct ssh_known_key *other = NULL; /* another key, best of the same type */
    const struct ssh_known_key *authority = NULL;
    char type[32];

    ssh_key_type(blob, blob_len, type, sizeof(type));
    for (size_t i = 0; i < known->count; i++) {
        const struct ssh_known_key *at = &known->keys[i];
        int is_same = is_same_key(at, blob, blob_len);

        if (at->mark == SSH_KEY_REVOKED && is_same) {
            *key = at;
            return SSH_HOST_REVOKED;
        }
        if (at->mark == SSH_KEY_AUTHORITY)
            authority = at;
        else if (at->mark == SSH_KEY_TRUSTED && is_same)
            same = at;
        else if (at->mark == SSH_KEY_TRUSTED && (other == NULL || strcmp(at->type, type) == 0))
            other = at;
    }
    if (same != NULL) {
        *key = same;
        return SSH_HOST_KNOWN;
    }
    if (other != NULL) {
        *key = other;
        return SSH_HOST_CHANGED;
    }
    *key = authority;
    return authority != NULL ? SSH_HOST_AUTHORITY : SSH_HOST_UNKNOWN;
}

int ssh_known_hosts_has_type(const struct ssh_known_hosts *known, const char *type, size_t type_len)
{
    for (size_t i = 0; i < known->count; i++) {
        if (known->keys[i].mark == SSH_KEY_TRUSTED && strlen(known->keys[i].type) == type_len &&
            memcmp(known->keys[i].type, type, type_len) == 0)
            return 1;
    }
    return 0;
}

/* The line's first word, from malloc; NULL when that failed. */
static char *name_for_file(const struct ssh_known_hosts *known, int is_hashed)
{
    uint8_t salt[HASH_LEN];
    uint8_t hash[HASH_LEN];
    char *salt64 = NULL;
    char *hash64 = NULL;
    char *name = NULL;

    if (!is_hashed)
        return strdup(known->name);
    random_bytes(salt, sizeof(salt));
    if (hash_name(known, salt, hash) != 0)
        return NULL;
    salt64 = ssh_base64_encode(salt, sizeof(salt));
    hash64 = ssh_base64_encode(hash, sizeof(hash));
    if (salt64 == NULL || hash64 == NULL || asprintf(&name, "|1|%s|%s", salt64, hash64) < 0)
        name = NULL;
    free(salt64);
    free(hash64);
    return name;
}

/* Make the folder that path is in, if it is not there; opening the file says whether that was
 * enough. */
static void make_folder(const char *path)
{
    char *copy = strdup(path);

    if (copy != NULL)
        mkdir(dirname(copy), 0700);
    free(copy);
}

/* Whether the file's last byte is something other than a newline, so that a line must be ended
 * first. */
static int lacks_newline(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char last = '\n';

    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

int ssh_known_hosts_append(const struct ssh_known_hosts *known, const char *path,
                           const uint8_t *blob, size_t blob_len, int is_hashed, struct error *error)
{
    char type[32];
    char *name = name_for_file(known, is_hashed);
    char *base64 = ssh_base64_encode(blob, blob_len);
    char *line = NULL;
    int fd = -1;
    int len;
    int rc = 0;

    ssh_key_type(blob, blob_len, type, sizeof(type));
    make_folder(path);
    fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = error_set_errno(error, ERR_IO, errno, "adding a host key to %s", path);
        goto out;
    }
    if (name == NULL || base64 == NULL ||
        (len = asprintf(&line, "%s%s %s %s\n", lacks_newline(fd) ? "\n" : "", name, type, base64)) <
            0) {
        line = NULL;
        rc = error_set(error, ERR_INTERNAL, "adding a host key to %s: no memory, or no HMAC-SHA1",
                       path);
        goto out;
    }
    /* One write, so that lines of two processes do not mix. */
    if (write(fd, line, (size_t)len) != len)
        rc = error_set_errno(error, ERR_IO, errno, "adding a host key to %s", path);
out:
    free(name);
    free(base64);
    free(line);
    if (fd >= 0 && close(fd) != 0 && rc == 0)
        rc = error_set_errno(error, ERR_IO, errno, "adding a host key to %s", path);
    return rc;
}
