/*
 * credentials: the key that requests are signed with, found where the AWS tools find it.
 *
 * The first of these that is configured is the one; if it fails, that is the error, and the next is
 * not tried (a run under other rights than meant is worse than none):
 *   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   2. a web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's
 *      web_identity_token_file and role_arn, traded at STS
 *   3. the profile's aws_access_key_id and aws_secret_access_key
 *   4. the profile's credential_process
 *   5. a container's endpoint: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
 *   6. the machine's own role, by IMDSv2, unless AWS_EC2_METADATA_DISABLED is true
 * A profile that needs sso or another profile's role is refused with the way out
 * (credential_process).
 *
 * Keys that expire are fetched anew five minutes before; if that fails while they are still good,
 * they are used to their end.
 */
#ifndef LOCKSTEP_LOCKSTORE_CREDENTIALS_H
#define LOCKSTEP_LOCKSTORE_CREDENTIALS_H

#include <stddef.h>
#include <stdint.h>

struct credential_chain;
struct error;
struct http_client;
struct s3_settings;
struct uv_loop_s;

/* All texts are owned, printable ASCII without spaces, and wiped by credentials_release. */
struct credentials {
    char *access_key;
    char *secret_key;
    char *session_token; /* NULL for keys that are for good */
    int64_t expires;     /* seconds since 1970 by our clock; 0: never */
};

void credentials_release(struct credentials *credentials);

/* A chain on loop that asks through http. Both pointers and settings must outlive it. */
int credential_chain_new(struct credential_chain **chain, struct uv_loop_s *loop,
                         struct http_client *http, const struct s3_settings *settings,
                         struct error *error);

/*
 * done comes once, never from inside this call: with credentials that are good during the callback,
 * or with NULL and why (ERR_STORE_UNUSABLE, ERR_USAGE; ERR_TIMEOUT where trying again may help).
 * One question at a time.
 */
typedef void credentials_callback(void *arg, const struct credentials *credentials,
                                  const struct error *error);
void credential_chain_get(struct credential_chain *chain, credentials_callback *done, void *arg);

/* The question's done does not come any more. What was started goes on and is kept. */
void credential_chain_cancel(struct credential_chain *chain);

/* The store says that they are no good any more: the next question reads the sources again. */
void credential_chain_forget(struct credential_chain *chain);

/* Let chain use the credentials that other has now, if it has any, until they need to be renewed.
 */
void credential_chain_copy(struct credential_chain *chain, const struct credential_chain *other);

/* Where the last ones came from, for messages: "environment variables". "" before the first. */
const char *credential_chain_source(const struct credential_chain *chain);

/* Stop all, wipe and free, then call closed. */
void credential_chain_close(struct credential_chain *chain, void (*closed)(void *arg), void *arg);

#endif
