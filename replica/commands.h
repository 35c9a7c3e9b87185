/* commands: what lockstep does, one function a command; each prints its outcome and returns the exit status. */
#ifndef LOCKSTEP_REPLICA_COMMANDS_H
#define LOCKSTEP_REPLICA_COMMANDS_H

struct settings;

int command_pull(const struct settings *settings);
int command_push(const struct settings *settings);
int command_status(const struct settings *settings);
int command_verify(const struct settings *settings);
int command_diff(const struct settings *settings);
int command_resolve(const struct settings *settings);
int command_history(const struct settings *settings);
int command_run(const struct settings *settings);
int command_lock(const struct settings *settings);

/* These read their command line, argv[2] on, themselves. */
int command_config(int argc, char **argv);
int command_completion(int argc, char **argv);

/* The sqlite3_rsync form: ORIGIN REPLICA, one of which may be remote. */
int command_sync(const struct settings *settings);

#endif
