#include "origin/lock_urls.h"

#include <stdlib.h>
#include <string.h>

#include "lockstore/lock.h"
#include "origin/catalog.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

#define PLACEHOLDER "{name}"

static int append_name(struct buffer *out, const char *name, int is_file, struct error *error)
{
    int rc = 0;

    for (; rc == 0 && *name != '\0'; name++) {
        /* A path in a URL has its '%' as %25; a key of a bucket is taken as it is. */
        if (is_file && *name == '%')
            rc = buffer_append(out, "%25", 3, error);
        else
            rc = buffer_append(out, name, 1, error);
    }
    return rc;
}

/* The pattern with name for each placeholder. *url is freed by the caller. */
static int fill_in(const char *pattern, const char *name, char **url, struct error *error)
{
    int is_file = strncmp(pattern, "file:", 5) == 0;
    struct buffer out;
    const char *spot;
    size_t len;
    int rc = 0;

    buffer_init(&out, LIMIT_PATH);
    while (rc == 0 && (spot = strstr(pattern, PLACEHOLDER)) != NULL) {
        rc = buffer_append(&out, pattern, (size_t)(spot - pattern), error);
        if (rc == 0)
            rc = append_name(&out, name, is_file, error);
        pattern = spot + strlen(PLACEHOLDER);
    }
    if (rc == 0)
        rc = buffer_append(&out, pattern, strlen(pattern) + 1, error);
    *url = rc == 0 ? (char *)buffer_detach(&out, &len) : NULL;
    buffer_release(&out);
    return rc;
}

/* The '=' between a name and a URL; NULL where text is a URL alone. */
static const char *end_of_name(const char *text)
{
    if (strncmp(text, "s3:", 3) == 0 || strncmp(text, "file:", 5) == 0)
        return NULL;
    return strchr(text, '=');
}

int lock_urls_add(struct lock_urls *urls, const char *text, struct error *error)
{
    const char *equals = end_of_name(text);
    char *example;
    int rc;

    if (equals != NULL) {
        if (equals == text)
            return error_set(error, ERR_USAGE, "--lock-url: \"%s\" has no name before the =", text);
        if (urls->count == LOCK_URLS_MAX)
            return error_set(error, ERR_USAGE,
                             "--lock-url: at most %d with a name; a URL with " PLACEHOLDER
                             " is for all",
                             LOCK_URLS_MAX);
        urls->entries[urls->count++] = text;
        return lock_check_url(equals + 1, error);
    }
    if (urls->general != NULL)
        return error_set(error, ERR_USAGE,
                         "--lock-url: %s and %s are both for all databases; NAME=URL is for one",
                         urls->general, text);
    urls->general = text;
    rc = fill_in(text, "name", &example, error);
    if (rc == 0)
        rc = lock_check_url(example, error);
    free(example);
    return rc;
}

int lock_urls_check(const struct lock_urls *urls, const struct catalog *catalog,
                    struct error *error)
{
    if (urls->general != NULL && strstr(urls->general, PLACEHOLDER) == NULL &&
        (catalog->root != NULL || catalog->count > 1))
        return error_set(error, ERR_USAGE,
                         "--lock-url %s would be one lock for several databases: write " PLACEHOLDER
                         " where the name of the database goes, "
                         "as in s3://bucket/" PLACEHOLDER ".lock, or NAME=URL",
                         urls->general);
    return 0;
}

int lock_urls_find(const struct lock_urls *urls, const char *name, char **url, struct error *error)
{
    size_t len = strlen(name);

    *url = NULL;
    for (size_t i = 0; i < urls->count; i++) {
        const char *entry = urls->entries[i];

        if (strncmp(entry, name, len) != 0 || entry[len] != '=')
            continue;
        *url = strdup(entry + len + 1);
        return *url != NULL ? 0 : error_set(error, ERR_INTERNAL, "out of memory");
    }
    return urls->general != NULL ? fill_in(urls->general, name, url, error) : 0;
}
