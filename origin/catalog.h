/*
 * catalog: the databases of a daemon, by name: those that --db names, and those below --root.
 */
#ifndef LOCKSTEP_ORIGIN_CATALOG_H
#define LOCKSTEP_ORIGIN_CATALOG_H

#include <stddef.h>

struct error;

#define CATALOG_MAX 256 /* --db of one command line */

struct catalog {
    const char *entries[CATALOG_MAX]; /* NAME=PATH, in the order that they were given in; borrowed */
    size_t count;
    const char *root; /* --root; NULL: none; borrowed */
};

/* Add a --db. ERR_USAGE. */
int catalog_add(struct catalog *catalog, const char *name_and_path, struct error *error);

/*
 * Whether name can be a database's: parts divided by '/', none of them empty, none that begins with '.', and not what Lockstep or SQLite
 * keeps beside a database. So a name that is allowed by its beginning does not lead elsewhere.
 */
int catalog_name_is_good(const char *name);

/*
 * The path of the database, freed by the caller. Below the root, symbolic links are followed, but not out of it; the file may be
 * missing, its folder not. ERR_NO_DATABASE, ERR_NOT_ALLOWED.
 */
int catalog_find(const struct catalog *catalog, const char *name, char **path, struct error *error);

#endif
