/*
 * link_process: a link over the stdin and stdout of a program that is started for it: a local
 * lockstep-origin, or an outside ssh.
 *
 * Its stderr comes as on_far_line. on_close waits for the program's exit and for both of its
 * streams to end. After link_close its stdin is closed; if it does not end by that, it gets SIGTERM
 * after LIMIT_PROCESS_GRACE_MS and SIGKILL after as long again. One that closed its stdout by itself
 * has LIMIT_PROCESS_LAST_WORK_MS: an origin then closes its database, and with it checkpoints the WAL.
 */
#ifndef LOCKSTEP_LINK_LINK_PROCESS_H
#define LOCKSTEP_LINK_LINK_PROCESS_H

#include <uv.h>

struct error;
struct link;
struct link_callbacks;

struct link_process_options {
    const char *const
        *argv; /* the program, found on the PATH, and its arguments; ends with NULL; no shell */
    const char *name; /* link_name: "a local lockstep-origin" */
    int own_session;  /* out of reach of a terminal's Ctrl-C, and of the terminal: ssh could not ask
                         there */
    const char
        *missing_advice; /* what to do where it cannot be found: "install ... or give --exe PATH" */
};

/*
 * Start the program. *out is the link, which frees itself after on_close; the options are not used
 * after the call. SIGPIPE is ignored in this process from then on (not in the program).
 *
 * Only ERR_INTERNAL, for memory and descriptors, is returned; then there is no link. A program that
 * cannot be started comes as on_close with ERR_NO_PROGRAM, and so does one that exits with 126 or
 * 127 before any byte. Any other status than 0, and a signal, is ERR_NO_LINK with the last line of
 * its stderr.
 */
int link_process_new(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                     const struct link_process_options *options, struct link **out,
                     struct error *error);

#endif
