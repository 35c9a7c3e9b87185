/*
 * ssh_pattern: the patterns of ssh_config(5) and of known_hosts in sshd(8): '*', '?', and lists
 * with
 * '!' for exceptions.
 */
#ifndef LOCKSTEP_LINK_SSH_PATTERN_H
#define LOCKSTEP_LINK_SSH_PATTERN_H

#include <stddef.h>

/* Whether text matches the pattern of pattern_len bytes, letters of either case being equal. */
int ssh_pattern_match(const char *text, const char *pattern, size_t pattern_len);

/*
 * Whether text matches a list of patterns, of which the separators (a set of bytes) stand between:
 * at least one that is not negated, and none that is.
 */
int ssh_pattern_match_list(const char *text, const char *list, size_t list_len,
                           const char *separators);

#endif
