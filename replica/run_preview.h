/* run_preview: what `lockstep run --dry-run` tells: the pull that the run would begin with. No lock is taken and no job started. */
#ifndef LOCKSTEP_REPLICA_RUN_PREVIEW_H
#define LOCKSTEP_REPLICA_RUN_PREVIEW_H

struct settings;

/* The arguments are checked. Tells, and changes nothing on either side. Returns the exit status. */
int run_preview(const struct settings *settings);

#endif
