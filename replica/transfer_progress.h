/* transfer_progress: where a transfer stands, in the words of progress.h. */
#ifndef LOCKSTEP_REPLICA_TRANSFER_PROGRESS_H
#define LOCKSTEP_REPLICA_TRANSFER_PROGRESS_H

#include "replica/transfer.h"

struct progress_view;

void transfer_progress(const struct transfer *transfer, enum transfer_kind kind, struct progress_view *view);

#endif
