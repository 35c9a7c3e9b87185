/* unpushed: keeps the changes of a copy that no origin has, when something else comes into its
 * place. */
#ifndef LOCKSTEP_REPLICA_UNPUSHED_H
#define LOCKSTEP_REPLICA_UNPUSHED_H

#include <stddef.h>
#include <stdint.h>

struct error;

/* Room for the name of such a file. */
#define UNPUSHED_PATH_MAX 4200

/*
 * Copy the database at local, as it is, to LOCAL.KIND-TIME beside it, or LOCAL.KIND-TIME-2 and so on; path gets that name. timeout_ms: for its lock. ERR_USAGE for a name
 * that is too long; the errors of database_open and database_copy.
 */
int unpushed_copy(const char *local, const char *kind, uint32_t timeout_ms, char *path, size_t path_size, struct error *error);

/* Copy the database at local, as it is, to LOCAL.unpushed-TIME beside it, and say so. timeout_ms:
 * for its lock. */
int unpushed_keep(const char *local, uint32_t timeout_ms, struct error *error);

#endif
