#include "origin/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "origin/path_policy.h"
#include "protocol/base/error.h"

int catalog_add(struct catalog *catalog, const char *name_and_path, struct error *error)
{
    const char *equals = strchr(name_and_path, '=');

    if (equals == NULL || equals == name_and_path || equals[1] == '\0')
        return error_set(error, ERR_USAGE, "--db: \"%s\" is not of the form NAME=PATH", name_and_path);
    if (catalog->count == CATALOG_MAX)
        return error_set(error, ERR_USAGE, "--db: at most %d; --root DIR serves all below a folder", CATALOG_MAX);
    catalog->entries[catalog->count++] = name_and_path;
    return 0;
}

static int ends_with(const char *text, const char *ending)
{
    size_t len = strlen(text);
    size_t ending_len = strlen(ending);

    return len >= ending_len && strcmp(text + len - ending_len, ending) == 0;
}

int catalog_name_is_good(const char *name)
{
    static const char *const beside[] = {"-wal", "-shm", "-journal"};

    for (const char *part = name;; part++) {
        if (*part == '\0' || *part == '/' || *part == '.')
            return 0;
        part = strchr(part, '/');
        if (part == NULL)
            break;
    }
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        if (ends_with(name, beside[i]))
            return 0;
    }
    return strstr(name, "-lockstep") == NULL && strstr(name, ".lockstep-") == NULL;
}

int catalog_find(const struct catalog *catalog, const char *name, char **path, struct error *error)
{
    size_t len = strlen(name);

    *path = NULL;
    for (size_t i = 0; i < catalog->count; i++) {
        const char *entry = catalog->entries[i];

        if (strncmp(entry, name, len) != 0 || entry[len] != '=')
            continue;
        *path = strdup(entry + len + 1);
        return *path != NULL ? 0 : error_set(error, ERR_INTERNAL, "out of memory");
    }
    if (catalog->root == NULL || !catalog_name_is_good(name))
        return error_set(error, ERR_NO_DATABASE, "this origin has no database by the name %s", name);
    return path_policy_resolve(catalog->root, name, path, error);
}
