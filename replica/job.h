/*
 * job: the user's command inside `lockstep run`: started, signalled, stopped, reaped.
 */
#ifndef LOCKSTEP_REPLICA_JOB_H
#define LOCKSTEP_REPLICA_JOB_H

#include <stdint.h>

struct error;
struct job;
struct uv_loop_s;

struct job_options {
    char **argv;          /* COMMAND and its arguments, ends with NULL; found on the PATH */
    const char *database; /* LOCKSTEP_DB */
    int guard;            /* a descriptor that the job gets as its number 3 and keeps (copy_guard.h); -1: none */
    uint64_t token;       /* LOCKSTEP_TOKEN; 0: not set */
    uint64_t version;     /* LOCKSTEP_VERSION */
    /* The job has ended: its exit status, or the signal that killed it, else 0. Last call; the job is freed afterwards. */
    void (*on_exit)(void *user, int status, int signal);
    void *user;
};

/*
 * Start it, with this process's stdin, stdout and stderr. ERR_JOB_FAILED where it cannot be started: there will be no on_exit, and
 * *exit_status is 127 for a command that is not there, 126 for one that cannot be executed, as a shell has it, and ERR_JOB_FAILED's
 * where processes or memory ran out.
 */
int job_start(struct job **job, struct uv_loop_s *loop, const struct job_options *options, int *exit_status, struct error *error);

/*
 * Pass a signal on: to the job and what it started, which have a process group of their own unless stdin is a terminal. There Ctrl-C
 * reaches them by itself, and SIGINT is not sent a second time.
 */
void job_signal(struct job *job, int signal);

/* SIGTERM now, SIGKILL after kill_after_ms unless it has ended by then. */
void job_stop(struct job *job, uint64_t kill_after_ms);

#endif
