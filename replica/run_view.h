/* run_view: the steps of `lockstep run` beside its transfers, in the words of progress.h. */
#ifndef LOCKSTEP_REPLICA_RUN_VIEW_H
#define LOCKSTEP_REPLICA_RUN_VIEW_H

#include <stdint.h>

struct lock_holder;
struct progress_view;

/* Waiting for another run on this copy, or for its job. */
void run_view_waiting(const char *local, struct progress_view *view);

/* Taking the lock; holder: who was seen to have it, seen_ms ago; NULL: nobody was. */
void run_view_locking(const char *url, const struct lock_holder *holder, uint64_t seen_ms, struct progress_view *view);

/* In the line at the origin. */
void run_view_in_line(uint32_t place, struct progress_view *view);

/* Before another attempt to reach the origin. */
void run_view_pause(const char *doing, struct progress_view *view);

void run_view_job(const char *command, struct progress_view *view);
void run_view_releasing(const char *url, struct progress_view *view);

#endif
