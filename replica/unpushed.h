/* unpushed: keeps the changes of a copy that no origin has, when something else comes into its
 * place. */
#ifndef LOCKSTEP_REPLICA_UNPUSHED_H
#define LOCKSTEP_REPLICA_UNPUSHED_H

#include <stdint.h>

struct error;

/* Copy the database at local, as it is, to LOCAL.unpushed-TIME beside it, and say so. timeout_ms:
 * for its lock. */
int unpushed_keep(const char *local, uint32_t timeout_ms, struct error *error);

#endif
