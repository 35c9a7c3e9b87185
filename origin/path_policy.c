#include "origin/path_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"

static int is_below(const char *path, const char *root)
{
    size_t len = strlen(root);

    if (strcmp(root, "/") == 0)
        return 1;
    return strncmp(path, root, len) == 0 && path[len] == '/';
}

/* Resolve symbolic links in path; its last part may be missing. NULL with errno set. */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    char *folder;
    char *name;
    char *joined = NULL;

    if (real != NULL || errno != ENOENT)
        return real;
    folder = strdup(path);
    name = folder != NULL ? strrchr(folder, '/') : NULL;
    if (name != NULL && name[1] != '\0' && strcmp(name + 1, ".") != 0 && strcmp(name + 1, "..") != 0) {
        *name = '\0';
        real = realpath(folder[0] != '\0' ? folder : "/", NULL);
        if (real != NULL && asprintf(&joined, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name + 1) < 0)
            joined = NULL;
        free(real);
    }
    free(folder);
    return joined;
}

int path_policy_resolve(const char *root, const char *asked, char **path, struct error *error)
{
    char *real_root = NULL;
    char *joined = NULL;
    int rc = 0;

    *path = NULL;
    if (root == NULL) {
        *path = strdup(asked);
        return *path != NULL ? 0 : error_set(error, ERR_INTERNAL, "out of memory");
    }
    real_root = realpath(root, NULL);
    if (real_root == NULL)
        return error_set_errno(error, ERR_USAGE, errno, "--root %s", root);
    if (asprintf(&joined, "%s/%s", asked[0] == '/' ? "" : real_root, asked) < 0)
        joined = NULL;
    *path = joined != NULL ? resolve(joined) : NULL;
    if (*path == NULL) {
        rc = error_set_errno(error, ERR_NO_DATABASE, errno, "looking for %s below %s", asked, root);
    } else if (!is_below(*path, real_root)) {
        rc = error_set(error, ERR_NOT_ALLOWED, "%s is not below %s, where this key may go", asked, root);
        free(*path);
        *path = NULL;
    }
    free(joined);
    free(real_root);
    return rc;
}

/* Take the next word of a command apart as sh would, without any expansion. Returns where to go on; NULL at the end or for what sh would expand. */
static const char *next_word(const char *spot, char *word, size_t *len)
{
    char quote = '\0';

    while (*spot == ' ')
        spot++;
    if (*spot == '\0')
        return NULL;
    for (*len = 0; *spot != '\0' && (quote != '\0' || *spot != ' '); spot++) {
        if (quote == '\'' ? *spot == '\'' : *spot == '"' || (*spot == '\'' && quote == '\0')) {
            quote = quote != '\0' ? '\0' : *spot;
        } else if (*spot == '\\' && quote != '\'' && spot[1] != '\0') {
            word[(*len)++] = *++spot;
        } else {
            word[(*len)++] = *spot;
        }
    }
    word[*len] = '\0';
    return quote == '\0' ? spot : NULL;
}

int path_policy_from_command(const char *command, char **path, struct error *error)
{
    char *word = malloc(strlen(command) + 1);
    const char *spot = command;
    int is_stdio = 0;
    size_t len = 0;

    *path = NULL;
    if (word == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    while ((spot = next_word(spot, word, &len)) != NULL) {
        if (is_stdio && strcmp(word, "--") == 0)
            continue;
        if (is_stdio && *spot == '\0' && len > 0) {
            *path = word;
            return 0;
        }
        if (is_stdio)
            break;
        is_stdio = strcmp(word, "--stdio") == 0;
    }
    free(word);
    return error_set(error, ERR_NOT_ALLOWED, "this key may only sync databases, and the command that was asked for does not");
}
