#include "protocol/link/ssh_expand.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/link/ssh_config.h"

static int expand(const struct ssh_config *config, const char *host, char **value,
                  struct error *error);

int ssh_expand(const struct ssh_config *config, char **path, struct error *error)
{
    return expand(config, config->host_name, path, error);
}

int ssh_expand_host_name(struct ssh_config *config, struct error *error)
{
    return expand(config, config->host, &config->host_name, error);
}

/* What %token stands for; NULL where it is not known. scratch holds numbers. */
static const char *token_value(const struct ssh_config *config, const char *host, char token,
                               char scratch[16])
{
    struct passwd *me = getpwuid(getuid());

    switch (token) {
    case '%':
        return "%";
    case 'd':
        return config->home;
    case 'h':
        return host;
    case 'i':
        snprintf(scratch, 16, "%u", (unsigned)getuid());
        return scratch;
    case 'n':
        return config->host;
    case 'p':
        snprintf(scratch, 16, "%d", config->port);
        return scratch;
    case 'r':
        return config->user;
    case 'u':
        return me != NULL ? me->pw_name : NULL;
    default:
        return NULL;
    }
}

/* Append what stands at *text to out, and move *text behind it. */
static int expand_one(const struct ssh_config *config, const char *host, const char **text,
                      struct buffer *out, struct error *error)
{
    char scratch[16];
    char name[128];
    const char *at = *text;
    const char *value;
    size_t len;

    if (at[0] == '%' && at[1] != '\0') {
        value = token_value(config, host, at[1], scratch);
        *text += 2;
        if (value == NULL)
            return error_set(error, ERR_USAGE, "the token %%%c is not known here", at[1]);
        return buffer_append(out, value, strlen(value), error);
    }
    if (at[0] == '$' && at[1] == '{') {
        len = strcspn(at + 2, "}");
        if (at[2 + len] != '}' || len >= sizeof(name))
            return error_set(error, ERR_USAGE, "a \"${\" has no \"}\"");
        memcpy(name, at + 2, len);
        name[len] = '\0';
        value = getenv(name);
        *text += len + 3;
        if (value == NULL)
            return error_set(error, ERR_USAGE, "the environment variable %s is not set", name);
        return buffer_append(out, value, strlen(value), error);
    }
    *text += 1;
    return buffer_append(out, at, 1, error);
}

static int expand(const struct ssh_config *config, const char *host, char **value,
                  struct error *error)
{
    struct buffer out;
    const char *text = *value;
    size_t len;
    int rc = 0;

    buffer_init(&out, LIMIT_PATH);
    if (strncmp(text, "~/", 2) == 0) {
        rc = buffer_append(&out, config->home, strlen(config->home), error);
        text++;
    }
    while (rc == 0 && *text != '\0')
        rc = expand_one(config, host, &text, &out, error);
    if (rc == 0)
        rc = buffer_append(&out, "", 1, error);
    if (rc == 0) {
        free(*value);
        *value = (char *)buffer_detach(&out, &len);
    } else {
        error_wrap(error, "the SSH configuration's value \"%s\"", *value);
    }
    buffer_release(&out);
    return rc;
}
