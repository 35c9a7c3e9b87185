#include "lockstore/credentials_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "lockstore/credentials.h"
#include "lockstore/secret.h"
#include "lockstore/xml_text.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"

static int copy_text(const char *text, const char *what, char **out, struct error *error);
static const char *json_text(const json_t *object, const char *key);

int credentials_fill(struct credentials *credentials, const char *access_key,
                     const char *secret_key, const char *session_token, const char *expiration,
                     struct error *error)
{
    int rc;

    *credentials = (struct credentials){0};
    rc = copy_text(access_key, "access key id", &credentials->access_key, error);
    if (rc == 0)
        rc = copy_text(secret_key, "secret access key", &credentials->secret_key, error);
    if (rc == 0 && session_token != NULL && session_token[0] != '\0')
        rc = copy_text(session_token, "session token", &credentials->session_token, error);
    if (rc == 0 && expiration != NULL &&
        credentials_parse_time(expiration, &credentials->expires) != 0)
        rc = error_set(error, ERR_STORE_UNUSABLE, "their expiration is not a date");
    if (rc != 0)
        credentials_release(credentials);
    return rc;
}

/* The text itself is never part of an error. */
static int copy_text(const char *text, const char *what, char **out, struct error *error)
{
    size_t len = text != NULL ? strlen(text) : 0;

    if (len == 0)
        return error_set(error, ERR_STORE_UNUSABLE, "the %s is missing", what);
    if (len > LIMIT_CREDENTIAL)
        return error_set(error, ERR_STORE_UNUSABLE, "the %s has more than %u bytes", what,
                         LIMIT_CREDENTIAL);
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return error_set(error, ERR_STORE_UNUSABLE,
                             "the %s has a space or another character that no key has (byte %zu)",
                             what, i + 1);
    }
    *out = secret_copy(text, len);
    return *out != NULL ? 0 : error_set(error, ERR_INTERNAL, "out of memory for the %s", what);
}

void credentials_release(struct credentials *credentials)
{
    secret_free(credentials->access_key);
    secret_free(credentials->secret_key);
    secret_free(credentials->session_token);
    *credentials = (struct credentials){0};
}

int credentials_parse_json(const char *text, size_t len, struct credentials *credentials,
                           struct error *error)
{
    json_malloc_t old_malloc;
    json_free_t old_free;
    const char *code;
    const json_t *version;
    json_t *root;
    char clean[128];
    int rc;

    *credentials = (struct credentials){0};
    json_get_alloc_funcs(&old_malloc, &old_free);
    json_set_alloc_funcs(malloc, secret_heap_free);
    root = json_loadb(text, len, 0, NULL);
    version = json_object_get(root, "Version");
    code = json_text(root, "Code");
    if (!json_is_object(root)) {
        rc = error_set(error, ERR_STORE_UNUSABLE, "the answer is not a JSON object");
    } else if (version != NULL && json_integer_value(version) != 1) {
        rc = error_set(error, ERR_STORE_UNUSABLE, "the answer's Version is not 1");
    } else if (code != NULL && strcmp(code, "Success") != 0) {
        log_sanitize(code, strlen(code), clean, sizeof(clean));
        rc = error_set(error, ERR_STORE_UNUSABLE, "the answer is the error %s", clean);
    } else {
        const char *token = json_text(root, "SessionToken");

        rc = credentials_fill(
            credentials, json_text(root, "AccessKeyId"), json_text(root, "SecretAccessKey"),
            token != NULL ? token : json_text(root, "Token"), json_text(root, "Expiration"), error);
    }
    json_decref(root);
    json_set_alloc_funcs(old_malloc, old_free);
    return rc;
}

static const char *json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

int credentials_parse_sts(const char *text, size_t len, struct credentials *credentials,
                          struct error *error)
{
    char access_key[256];
    char secret_key[256];
    char token[4096];
    char expiration[64];
    int rc;

    xml_text(text, len, "AccessKeyId", access_key, sizeof(access_key));
    xml_text(text, len, "SecretAccessKey", secret_key, sizeof(secret_key));
    xml_text(text, len, "SessionToken", token, sizeof(token));
    if (!xml_text(text, len, "Expiration", expiration, sizeof(expiration)))
        rc = error_set(error, ERR_STORE_UNUSABLE, "STS answered without an expiration");
    else
        rc = credentials_fill(credentials, access_key, secret_key, token, expiration, error);
    explicit_bzero(access_key, sizeof(access_key));
    explicit_bzero(secret_key, sizeof(secret_key));
    explicit_bzero(token, sizeof(token));
    if (rc != 0)
        *credentials = (struct credentials){0};
    return rc;
}

int credentials_parse_time(const char *text, int64_t *seconds)
{
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    unsigned hours = 0;
    unsigned minutes = 0;
    int64_t offset;
    char sign;

    if (rest == NULL)
        return -1;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    *seconds = timegm(&parts);
    if (strcmp(rest, "Z") == 0 || strcmp(rest, "UTC") == 0)
        return 0;
    if (sscanf(rest, "%c%2u:%2u", &sign, &hours, &minutes) != 3 || (sign != '+' && sign != '-'))
        return -1;
    offset = (int64_t)hours * 3600 + (int64_t)minutes * 60;
    *seconds += sign == '+' ? -offset : offset;
    return 0;
}
