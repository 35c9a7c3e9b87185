/*
 * copy_guard: one `lockstep run` at a time on one copy, its job included.
 *
 * The lock in the store keeps machines apart, but it is a lease: when a run is killed and its job lives on, the lease goes stale and
 * the next run on this machine would pull over, and work beside, a job that still writes to the copy. So a run holds an flock on
 * "<copy>-lockstep-run" and lets the job inherit the descriptor: the kernel lets go of it when the last of the two is gone.
 * A run that ends as it should unlocks it, whatever the job may have left running.
 *
 * The file is empty and stays. It is not the database or the sidecar, whose locks SQLite would lose when a descriptor of them is closed.
 */
#ifndef LOCKSTEP_REPLICA_COPY_GUARD_H
#define LOCKSTEP_REPLICA_COPY_GUARD_H

struct error;

/*
 * Take it, without waiting. *fd, for job_start and copy_guard_release, is closed on exec. ERR_BUSY: another run or what one left
 * behind has it, *fd is -1. ERR_IO, ERR_NOT_ALLOWED.
 */
int copy_guard_take(const char *local, int *fd, struct error *error);

/* Give it back, for all that inherited it, too. Accepts -1. */
void copy_guard_release(int fd);

#endif
