/* ssh_file: small files of the user's, read whole. */
#ifndef LOCKSTEP_LINK_SSH_FILE_H
#define LOCKSTEP_LINK_SSH_FILE_H

#include <stddef.h>

struct error;

/*
 * Read the regular file at path, of at most max bytes, into *text: from malloc, a NUL behind it,
 * *len (may be NULL) its length. The caller frees it, and wipes it if it is a secret.
 * ERR_NO_DATABASE where there is no such file, ERR_IO where it cannot be read, is no regular file,
 * or is larger.
 */
int ssh_file_read(const char *path, size_t max, char **text, size_t *len, struct error *error);

#endif
