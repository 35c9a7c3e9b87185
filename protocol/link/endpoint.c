#include "protocol/link/endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/limits.h"

/* A piece of the text that is being read. */
struct span {
    const char *text;
    size_t len;
};

static int parse_url(struct endpoint *endpoint, struct span rest, struct error *error);
static int parse_host_path(struct endpoint *endpoint, const char *text, const char *separator,
                           struct error *error);
static const char *host_separator(const char *text);

int endpoint_parse(struct endpoint *endpoint, const char *text, struct error *error)
{
    const char *scheme_end = strstr(text, "://");
    const char *separator = host_separator(text);
    int rc = 0;

    *endpoint = (struct endpoint){.kind = ENDPOINT_LOCAL};
    if (text[0] == '\0')
        return error_set(error, ERR_USAGE, "an empty path names no database");
    if (strlen(text) > LIMIT_PATH)
        return error_set(error, ERR_USAGE, "a path of more than %u bytes names no database",
                         LIMIT_PATH);
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return error_set(error, ERR_USAGE,
                             "an endpoint with control characters is not taken (byte %d)",
                             (int)(c - text) + 1);
    }
    if (strncmp(text, "ssh://", 6) == 0) {
        endpoint->kind = ENDPOINT_SSH;
        rc = parse_url(endpoint, (struct span){text + 6, strlen(text + 6)}, error);
    } else if (strncmp(text, "tls://", 6) == 0) {
        endpoint->kind = ENDPOINT_TLS;
        rc = parse_url(endpoint, (struct span){text + 6, strlen(text + 6)}, error);
    } else if (separator != NULL && separator == scheme_end) {
        rc = error_set(error, ERR_USAGE,
                       "the scheme \"%.*s://\" is not known: write a path, [user@]host:path, "
                       "ssh://host/path or tls://host/name",
                       (int)(scheme_end - text), text);
    } else if (separator != NULL) {
        endpoint->kind = ENDPOINT_SSH;
        rc = parse_host_path(endpoint, text, separator, error);
    } else if ((endpoint->path = strdup(text)) == NULL) {
        rc = error_set(error, ERR_INTERNAL, "out of memory for a path");
    }
    if (rc != 0) {
        endpoint_release(endpoint);
        error_wrap(error, "reading \"%s\"", text);
    }
    return rc;
}

void endpoint_release(struct endpoint *endpoint)
{
    free(endpoint->user);
    free(endpoint->host);
    free(endpoint->path);
    *endpoint = (struct endpoint){.kind = ENDPOINT_LOCAL};
}

/*
 * The ':' that ends the host, NULL where text is a local path: the first one with neither '/' nor
 * '\' before it, as in sqlite3_rsync; behind the ']' where the host stands in brackets.
 */
static const char *host_separator(const char *text)
{
    size_t before_slash = strcspn(text, "/\\");
    const char *bracket = text;
    const char *colon;

    for (const char *c = text; c < text + before_slash && *c != ':'; c++) {
        if (*c == '@')
            bracket = c + 1;
    }
    if (*bracket == '[') {
        colon = strstr(bracket, "]:");
        if (colon != NULL && (size_t)(colon + 1 - text) < before_slash)
            return colon + 1;
    }
    colon = memchr(text, ':', before_slash);
    return colon;
}

static int take_string(char **out, struct span span, const char *what, struct error *error)
{
    *out = strndup(span.text, span.len);
    return *out != NULL ? 0 : error_set(error, ERR_INTERNAL, "out of memory for a %s", what);
}

/*
 * A user or host that may stand as an argument of a program and in the command lines of other
 * people's ssh_config: the characters that OpenSSH 9.6 refuses (CVE-2023-51385) are refused here,
 * too.
 */
static int check_name(struct span name, const char *what, struct error *error)
{
    static const char bad[] = " \"'`$\\;&<>|(){}[]*?!#";

    if (name.len == 0)
        return error_set(error, ERR_USAGE,
                         "the %s is empty (a file with a ':' in its name is written ./NAME)", what);
    if (name.text[0] == '-')
        return error_set(error, ERR_USAGE, "a %s that begins with '-' is not taken", what);
    for (size_t i = 0; i < name.len; i++) {
        if (strchr(bad, name.text[i]) != NULL)
            return error_set(error, ERR_USAGE, "a %s with '%c' in it is not taken", what,
                             name.text[i]);
    }
    return 0;
}

/* Read "[user@]host" or "[user@][IPv6 address]" into user and host. */
static int parse_authority(struct endpoint *endpoint, struct span text, struct error *error)
{
    struct span host = text;
    int rc;

    for (size_t i = text.len; i > 0; i--) {
        struct span user = {text.text, i - 1};

        if (text.text[i - 1] != '@')
            continue;
        host = (struct span){text.text + i, text.len - i};
        rc = check_name(user, "user name", error);
        if (rc == 0)
            rc = take_string(&endpoint->user, user, "user name", error);
        if (rc != 0)
            return rc;
        break;
    }
    if (host.len >= 2 && host.text[0] == '[' && host.text[host.len - 1] == ']')
        host = (struct span){host.text + 1, host.len - 2};
    rc = check_name(host, "host", error);
    return rc == 0 ? take_string(&endpoint->host, host, "host", error) : rc;
}

/* "[user@]host:path", whose ':' is at separator. */
static int parse_host_path(struct endpoint *endpoint, const char *text, const char *separator,
                           struct error *error)
{
    struct span authority = {text, (size_t)(separator - text)};
    struct span path = {separator + 1, strlen(separator + 1)};
    int rc = parse_authority(endpoint, authority, error);

    if (rc == 0 && path.len == 0)
        rc = error_set(error, ERR_USAGE, "there is no path behind the ':'");
    return rc == 0 ? take_string(&endpoint->path, path, "path", error) : rc;
}

/* Cut ":PORT" off the end of *authority, where one stands. */
static int parse_port(struct endpoint *endpoint, struct span *authority, struct error *error)
{
    size_t digits = 0;
    long port = 0;

    while (digits < authority->len &&
           strchr("0123456789", authority->text[authority->len - 1 - digits]) != NULL)
        digits++;
    if (digits == authority->len || authority->text[authority->len - 1 - digits] != ':') {
        if (memchr(authority->text, ':', authority->len) == NULL ||
            (authority->len > 0 && authority->text[authority->len - 1] == ']'))
            return 0;
        return error_set(error, ERR_USAGE, "what stands behind the ':' is not a port number");
    }
    for (size_t i = authority->len - digits; i < authority->len && port <= 65535; i++)
        port = port * 10 + (authority->text[i] - '0');
    authority->len -= digits + 1;
    if (digits == 0 || port < 1 || port > 65535)
        return error_set(error, ERR_USAGE, "a port is a number from 1 to 65535");
    if (authority->len > 0 && authority->text[authority->len - 1] != ']' &&
        memchr(authority->text, ':', authority->len) != NULL)
        return error_set(error, ERR_USAGE, "an IPv6 address is written in brackets: [2001:db8::1]");
    endpoint->port = (int)port;
    return 0;
}

/* Replace each %XX of text by its byte (RFC 3986, section 2.1), in place. */
static int decode_percent(char *text, struct error *error)
{
    char *out = text;

    for (char *in = text; *in != '\0'; in++) {
        unsigned char byte = (unsigned char)*in;

        if (*in == '%') {
            if (strlen(in) < 3 || hex_decode(in + 1, 2, &byte, 1) != 0)
                return error_set(error, ERR_USAGE, "a '%%' in a URL is written %%25");
            if (byte < 0x20 || byte == 0x7f)
                return error_set(error, ERR_USAGE, "the path has control characters");
            in += 2;
        }
        *out++ = (char)byte;
    }
    *out = '\0';
    return 0;
}

/* What stands behind "ssh://" or "tls://": "[user@]host[:port]/path". */
static int parse_url(struct endpoint *endpoint, struct span rest, struct error *error)
{
    const char *slash = memchr(rest.text, '/', rest.len);
    struct span authority = {rest.text, slash != NULL ? (size_t)(slash - rest.text) : rest.len};
    struct span path = {rest.text + authority.len, rest.len - authority.len};
    int rc;

    if (path.len <= 1)
        return error_set(error, ERR_USAGE, "the URL names a host, but no database behind it");
    /* A daemon's databases have names, and a path below the home directory begins with its '~'. */
    if (endpoint->kind == ENDPOINT_TLS || strncmp(path.text, "/~/", 3) == 0)
        path = (struct span){path.text + 1, path.len - 1};
    rc = parse_port(endpoint, &authority, error);
    if (rc == 0)
        rc = parse_authority(endpoint, authority, error);
    if (rc == 0)
        rc = take_string(&endpoint->path, path, "path", error);
    if (rc == 0)
        rc = decode_percent(endpoint->path, error);
    if (rc == 0 && endpoint->kind == ENDPOINT_TLS && endpoint->user != NULL)
        rc = error_set(error, ERR_USAGE, "tls:// takes no user name");
    return rc;
}
