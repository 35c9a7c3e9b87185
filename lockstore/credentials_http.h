/*
 * credentials_http: keys over HTTP: from STS for a web identity, from a container's endpoint, from
 * the machine by IMDSv2.
 *
 * Sources: "AssumeRoleWithWebIdentity" in the STS API reference; "Container credential provider" in
 * the SDKs and tools reference; "Use IMDSv2" in the EC2 user guide.
 */
#ifndef LOCKSTEP_LOCKSTORE_CREDENTIALS_HTTP_H
#define LOCKSTEP_LOCKSTORE_CREDENTIALS_HTTP_H

#include "lockstore/credentials.h"

struct credentials_http;

/*
 * Start one of the three. done comes once, never from inside this call, as credential_chain_get's
 * does, and self is freed behind it; credentials_http_abort before that frees it too. Start fails
 * with ERR_USAGE or ERR_STORE_UNUSABLE where what is configured cannot be used.
 */
int credentials_http_start_web_identity(struct credentials_http **self, struct http_client *http,
                                        const struct s3_settings *settings, const char *role_arn,
                                        const char *token_file, const char *session_name,
                                        credentials_callback *done, void *arg, struct error *error);
int credentials_http_start_container(struct credentials_http **self, struct http_client *http,
                                     const struct s3_settings *settings, credentials_callback *done,
                                     void *arg, struct error *error);
int credentials_http_start_machine(struct credentials_http **self, struct http_client *http,
                                   const struct s3_settings *settings, credentials_callback *done,
                                   void *arg, struct error *error);

void credentials_http_abort(struct credentials_http *self);

#endif
