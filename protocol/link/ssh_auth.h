/*
 * ssh_auth: logging in with a key, on an SSH session whose host is verified.
 *
 * First the agent's keys, then the identity files that were given or configured, or the default
 * ones; with IdentitiesOnly, of the agent's keys only those that the files name. A key that needs a
 * passphrase is first shown to the server, and the passphrase asked for only if the server would
 * take the key.
 *
 *   methods -> agent list -> agent key ... -> file -> [show -> passphrase] -> sign -> ... -> done
 * or refused
 *
 * ssh_auth_tick is called whenever the socket moved or on_wake was called.
 */
#ifndef LOCKSTEP_LINK_SSH_AUTH_H
#define LOCKSTEP_LINK_SSH_AUTH_H

#include <uv.h>

struct _LIBSSH2_SESSION;
struct error;
struct ssh_auth;
struct ssh_config;

/* What ssh_auth_tick returns while there is something to wait for. */
#define SSH_AUTH_AGAIN (-1)

typedef void ssh_auth_cb(void *user);

/*
 * session and config stay the caller's and live longer. on_wake: tick again, something that is not
 * the socket moved. Returns NULL when memory ran out.
 */
struct ssh_auth *ssh_auth_new(uv_loop_t *loop, struct _LIBSSH2_SESSION *session,
                              const struct ssh_config *config, ssh_auth_cb *on_wake, void *user);

/*
 * Go on. 0: logged in. SSH_AUTH_AGAIN: call again when the socket can be read or written, or after
 * on_wake. ERR_AUTH, with what was tried and what to do, or ERR_NO_LINK where the connection broke.
 */
int ssh_auth_tick(struct ssh_auth *auth, struct error *error);

/* Whether it waits for a person or an agent, and not for the far side: no time-out should count
 * then. */
int ssh_auth_waits_for_person(const struct ssh_auth *auth);

/* Stop and free; on_closed(user) comes later, once. The session must not be used for it after this
 * call. */
void ssh_auth_close(struct ssh_auth *auth, ssh_auth_cb *on_closed);

#endif
