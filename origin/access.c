#include "origin/access.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/limits.h"
#include "protocol/link/tls_certificate.h"

#define HASH_SIZE 32 /* SHA-256 */

struct rule {
    struct rule *next;
    char who[ACCESS_NAME_MAX];
    char database[ACCESS_NAME_MAX];
    int may_pull;
    int may_push;
};

struct token {
    struct token *next;
    char who[ACCESS_NAME_MAX];
    uint8_t hash[HASH_SIZE];
};

struct access {
    struct rule *rules;
    struct token *tokens;
};

/* ---- reading ---- */

static int take_name(char out[ACCESS_NAME_MAX], const char *text, size_t len)
{
    if (len == 0 || len >= ACCESS_NAME_MAX)
        return -1;
    memcpy(out, text, len);
    out[len] = '\0';
    return 0;
}

/* Read "pull:", "push:" or "pull,push:". Returns what stands behind; NULL for anything else. */
static const char *read_rights(const char *text, struct rule *rule)
{
    rule->may_pull = rule->may_push = 0;
    for (;; text += 5) {
        if (strncmp(text, "pull", 4) == 0)
            rule->may_pull = 1;
        else if (strncmp(text, "push", 4) == 0)
            rule->may_push = 1;
        else
            return NULL;
        if (text[4] == ':')
            return text + 5;
        if (text[4] != ',')
            return NULL;
    }
}

/* A name of a certificate may have '=' in it: the first '=' with rights behind it is the one that counts. */
static int read_rule(struct access *access, const char *text, struct error *error)
{
    struct rule *rule = calloc(1, sizeof(*rule));
    const char *database = NULL;
    const char *spot = text;

    if (rule == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for --allow");
    while (database == NULL && (spot = strchr(spot, '=')) != NULL)
        database = read_rights(++spot, rule);
    if (database == NULL || take_name(rule->who, text, (size_t)(spot - 1 - text)) != 0 ||
        take_name(rule->database, database, strlen(database)) != 0) {
        free(rule);
        return error_set(error, ERR_USAGE, "\"%s\" is not of the form WHO=pull|push:NAME (pull,push for both)", text);
    }
    rule->next = access->rules;
    access->rules = rule;
    return 0;
}

/* "WHO SHA256", the latter behind the last space. */
static int read_token(struct access *access, const char *text, struct error *error)
{
    struct token *token = calloc(1, sizeof(*token));
    const char *space = strrchr(text, ' ');

    if (token == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for --tokens");
    if (space == NULL || take_name(token->who, text, (size_t)(space - text)) != 0 ||
        hex_decode(space + 1, strlen(space + 1), token->hash, sizeof(token->hash)) != 0) {
        free(token);
        return error_set(error, ERR_USAGE,
                         "this is not a name, a space and the SHA-256 of a token in 64 hexadecimal digits; "
                         "`lockstep-origin token WHO` makes one");
    }
    token->next = access->tokens;
    access->tokens = token;
    return 0;
}

/* Have each line of the file read. */
static int read_lines(struct access *access, const char *path, int (*read_line)(struct access *, const char *, struct error *),
                      struct error *error)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    size_t total = 0;
    unsigned number = 0;
    ssize_t len;
    int rc = 0;

    if (file == NULL)
        return error_set_errno(error, ERR_IO, errno, "reading %s", path);
    while (rc == 0 && (len = getline(&line, &size, file)) >= 0) {
        number++;
        total += (size_t)len;
        while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
            line[--len] = '\0';
        if (total > LIMIT_ACCESS_FILE)
            rc = error_set(error, ERR_USAGE, "it has more than %u bytes", LIMIT_ACCESS_FILE);
        else if (len > 0 && line[0] != '#')
            rc = read_line(access, line, error);
    }
    if (rc == 0 && ferror(file))
        rc = error_set_errno(error, ERR_IO, errno, "reading");
    free(line);
    fclose(file);
    return rc != 0 ? error_wrap(error, "%s, line %u", path, number) : 0;
}

int access_new(struct access **access, const struct access_options *options, struct error *error)
{
    struct access *new = calloc(1, sizeof(*new));
    int rc = 0;

    *access = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    for (int i = 0; rc == 0 && i < ACCESS_RULES_MAX && options->rules[i] != NULL; i++) {
        rc = read_rule(new, options->rules[i], error);
        if (rc != 0)
            error_wrap(error, "--allow");
    }
    if (rc == 0 && options->rules_file != NULL)
        rc = read_lines(new, options->rules_file, read_rule, error);
    if (rc == 0 && options->tokens_file != NULL)
        rc = read_lines(new, options->tokens_file, read_token, error);
    if (rc != 0) {
        access_free(new);
        return rc;
    }
    *access = new;
    return 0;
}

void access_free(struct access *access)
{
    if (access == NULL)
        return;
    while (access->rules != NULL) {
        struct rule *rule = access->rules;

        access->rules = rule->next;
        free(rule);
    }
    while (access->tokens != NULL) {
        struct token *token = access->tokens;

        access->tokens = token->next;
        explicit_bzero(token->hash, sizeof(token->hash));
        free(token);
    }
    free(access);
}

/* ---- asking ---- */

static int has_name(const struct tls_peer *who, const char *name)
{
    for (unsigned i = 0; i < who->count; i++) {
        if (strcmp(who->names[i], name) == 0)
            return 1;
    }
    return 0;
}

/* Every hash is compared, whether one was found or not, and each in constant time. */
static const struct token *find_token(const struct access *access, const char *text)
{
    const struct token *found = NULL;
    uint8_t hash[EVP_MAX_MD_SIZE];

    if (EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL) != 1)
        return NULL;
    for (const struct token *token = access->tokens; token != NULL; token = token->next) {
        if (CRYPTO_memcmp(token->hash, hash, HASH_SIZE) == 0)
            found = token;
    }
    explicit_bzero(hash, sizeof(hash));
    return found;
}

int access_identify(const struct access *access, const char *token, struct tls_peer *who, struct error *error)
{
    const struct token *known = token[0] != '\0' ? find_token(access, token) : NULL;

    if (token[0] != '\0' && known == NULL)
        return error_set(error, ERR_AUTH, "the token is not known");
    if (known != NULL && !has_name(who, known->who)) {
        /* The token's name is never the one that is left out. */
        if (who->count == TLS_PEER_NAMES)
            who->count--;
        snprintf(who->names[who->count++], TLS_PEER_NAME_MAX, "%s", known->who);
    }
    return who->count > 0 ? 0 : error_set(error, ERR_AUTH, "neither a certificate with a name nor a token was shown");
}

static int covers(const char *pattern, const char *database)
{
    size_t len = strlen(pattern);

    if (strcmp(pattern, "*") == 0)
        return 1;
    if (len >= 2 && strcmp(pattern + len - 2, "/*") == 0)
        return strncmp(pattern, database, len - 1) == 0;
    return strcmp(pattern, database) == 0;
}

void access_rights(const struct access *access, const struct tls_peer *who, const char *database, int *may_pull,
                   int *may_push)
{
    *may_pull = *may_push = 0;
    for (const struct rule *rule = access->rules; rule != NULL; rule = rule->next) {
        if (!covers(rule->database, database) || (strcmp(rule->who, "*") != 0 && !has_name(who, rule->who)))
            continue;
        *may_pull |= rule->may_pull;
        *may_push |= rule->may_push;
    }
}
