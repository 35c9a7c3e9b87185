/*
 * credentials_process: keys from the program that a profile's credential_process names.
 *
 * The command goes to /bin/sh -c, as in AWS's SDK for Go; what it prints on stdout is the JSON that
 * credentials_parse_json reads; its stderr is ours, so that a person sees what it asks for.
 *
 * Where this process is in the foreground of a terminal, the program may ask there, is reached by
 * Ctrl-C as we are, and to kill it means its shell alone: what that started loses the reader of its
 * stdout. Elsewhere it has a session of its own, and is killed with all that it started.
 */
#ifndef LOCKSTEP_LOCKSTORE_CREDENTIALS_PROCESS_H
#define LOCKSTEP_LOCKSTORE_CREDENTIALS_PROCESS_H

#include "lockstore/credentials.h"

struct credentials_process;

/*
 * Start command. done comes once, never from inside this call, as credential_chain_get's does; it
 * may close the process. The program is killed after timeout_ms; what it leaves running at its own
 * end is not. Fails with ERR_STORE_UNUSABLE when it cannot be started.
 */
int credentials_process_start(struct credentials_process **process, struct uv_loop_s *loop,
                              const char *command, uint64_t timeout_ms, credentials_callback *done,
                              void *arg, struct error *error);

/* Kill the program where it still runs, wait for its end, free all, then call closed. */
void credentials_process_close(struct credentials_process *process, void (*closed)(void *arg),
                               void *arg);

#endif
