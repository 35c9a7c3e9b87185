/* ssh_host_key: whether a host's key is to be trusted, and what to say where it is not. */
#ifndef LOCKSTEP_LINK_SSH_HOST_KEY_H
#define LOCKSTEP_LINK_SSH_HOST_KEY_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct ssh_config;
struct ssh_known_hosts;

/* Read what the configured files know of the host. The caller releases known, after a failure, too.
 */
int ssh_host_key_load(const struct ssh_config *config, struct ssh_known_hosts *known,
                      struct error *error);

/*
 * The host key algorithms to ask for, separated by commas, into out: of those that the library has
 * (supported, count of them), and those first of which a key is known, so that a host that has
 * several shows the one that can be checked. "" where none is left.
 */
void ssh_host_key_preference(const struct ssh_known_hosts *known, const char *const *supported,
                             size_t count, char *out, size_t out_size);

/*
 * Judge the key that the host showed. accept_new: one of a host of which nothing is known is added
 * to the user's file, and a line is logged. 0, or ERR_AUTH with its fingerprint and what to do.
 */
int ssh_host_key_check(const struct ssh_config *config, const struct ssh_known_hosts *known,
                       int accept_new, const uint8_t *blob, size_t blob_len, struct error *error);

#endif
