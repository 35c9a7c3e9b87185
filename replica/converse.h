/* converse: one transfer from its start to its end, with its progress, for the commands that hold one conversation after the other. */
#ifndef LOCKSTEP_REPLICA_CONVERSE_H
#define LOCKSTEP_REPLICA_CONVERSE_H

#include "replica/transfer.h"

struct settings;

/* The endpoint as the user wrote it, the local database (NULL where none takes part). Returns outcome->error.code. */
int converse(enum transfer_kind kind, const struct settings *settings, const char *origin, const char *local,
             struct transfer_outcome *outcome);

#endif
