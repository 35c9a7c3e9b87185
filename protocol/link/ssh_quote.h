/* ssh_quote: words for the command line that a far shell will read. */
#ifndef LOCKSTEP_LINK_SSH_QUOTE_H
#define LOCKSTEP_LINK_SSH_QUOTE_H

/*
 * In front of a command: has a POSIX shell look for it where programs are put that a shell without
 * a login profile does not look.
 */
#define SSH_MORE_PATH                                                                              \
    "PATH=\"$PATH:$HOME/bin:$HOME/.local/bin:/usr/local/bin:/usr/bin:/opt/homebrew/bin:"           \
    "/opt/local/bin\" "

/*
 * word as one word of a POSIX shell, in single quotes where it needs any; csh and fish read the
 * same, but for
 * '!' in csh. A word that begins with "~/" is left open to the far shell's home directory, as in
 * ~/'a b'. From malloc, the caller frees it; NULL when memory ran out.
 */
char *ssh_quote(const char *word);

#endif
