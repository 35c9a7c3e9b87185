/*
 * path_policy: which databases an origin that was started over SSH may open.
 *
 * Without a root any path is as good as the user's own permissions. With one, as in a forced command of
 * authorized_keys, only what lies below it, symbolic links followed, is.
 */
#ifndef LOCKSTEP_ORIGIN_PATH_POLICY_H
#define LOCKSTEP_ORIGIN_PATH_POLICY_H

#include <stddef.h>

struct error;

/*
 * The path to open for what was asked. root NULL: asked itself, as it is. Else: asked, taken as below root when relative, must be
 * below root once symbolic links are resolved; the file may be missing, its folder not. *path is freed by the caller.
 * ERR_NOT_ALLOWED outside of root, ERR_NO_DATABASE where a folder is missing.
 */
int path_policy_resolve(const char *root, const char *asked, char **path, struct error *error);

/*
 * The path in the command that an SSH client asked for (SSH_ORIGINAL_COMMAND), which a forced command replaces: its last word, sh's quotes
 * removed, when the command is one that Lockstep sends: "[PATH=…] PROGRAM … --stdio [--] PATH". Nothing is executed or expanded. *path is freed
 * by the caller. ERR_NOT_ALLOWED for any other command.
 */
int path_policy_from_command(const char *command, char **path, struct error *error);

#endif
