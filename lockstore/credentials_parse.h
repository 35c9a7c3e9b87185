/* credentials_parse: the JSON and XML in which processes, containers, machines and STS hand out
 * keys. */
#ifndef LOCKSTEP_LOCKSTORE_CREDENTIALS_PARSE_H
#define LOCKSTEP_LOCKSTORE_CREDENTIALS_PARSE_H

#include <stddef.h>
#include <stdint.h>

struct credentials;
struct error;

/*
 * Fill credentials with copies of texts, which may be NULL where they are absent. expiration is
 * "2026-11-21T20:04:06Z" with a fraction or an offset allowed, or NULL for never.
 * ERR_STORE_UNUSABLE when a key is missing or cannot stand in an HTTP header, or the date cannot be
 * read; credentials is then empty.
 */
int credentials_fill(struct credentials *credentials, const char *access_key,
                     const char *secret_key, const char *session_token, const char *expiration,
                     struct error *error);

/*
 * A JSON object with AccessKeyId, SecretAccessKey, Token or SessionToken, and Expiration, as a
 * credential_process prints it (where Version has to be 1) and as the endpoints of containers and
 * machines answer. Fails as credentials_fill does.
 */
int credentials_parse_json(const char *text, size_t len, struct credentials *credentials,
                           struct error *error);

/* STS's answer to AssumeRoleWithWebIdentity. Fails as credentials_fill does. */
int credentials_parse_sts(const char *text, size_t len, struct credentials *credentials,
                          struct error *error);

/* Seconds since 1970 of such a date; 0, or -1 when it is none. */
int credentials_parse_time(const char *text, int64_t *seconds);

#endif
