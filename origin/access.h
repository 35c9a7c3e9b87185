/*
 * access: who may do what with which database of a daemon: what --allow, --allow-file and --tokens say.
 *
 *   WHO=RIGHTS:NAME    RIGHTS: pull, push or pull,push. WHO: a name of a client's certificate or of a token, or "*" for everybody who has
 *                      shown one of the two. NAME: of a database, "*" for all, or FOLDER/ and a "*" for all below.
 *
 * A file has one such rule a line; a tokens file has "WHO SHA256", the SHA-256 of the token in hexadecimal digits. Empty lines and those
 * that begin with '#' are passed over. Nobody may do anything that no rule says.
 *
 * One is made at the start and one at each reload; it does not change, so any thread may ask it.
 */
#ifndef LOCKSTEP_ORIGIN_ACCESS_H
#define LOCKSTEP_ORIGIN_ACCESS_H

#include <stddef.h>

struct access;
struct error;
struct tls_peer;

#define ACCESS_RULES_MAX 64  /* of one command line */
#define ACCESS_NAME_MAX  129 /* bytes of WHO and of NAME, with the NUL */

struct access_options {
    const char *rules[ACCESS_RULES_MAX]; /* --allow; up to the first NULL */
    const char *rules_file;              /* --allow-file; NULL: none */
    const char *tokens_file;             /* --tokens; NULL: none */
};

/* Read it all. ERR_USAGE naming file and line for what cannot be understood, ERR_IO for a file that cannot be read. */
int access_new(struct access **access, const struct access_options *options, struct error *error);

/* NULL is allowed. */
void access_free(struct access *access);

/*
 * Add the name that token belongs to, if any, to *who, which holds those of the certificate. ERR_AUTH where *who is then empty, or there
 * is a token that is not known: half a proof is none. Takes as long for every token.
 */
int access_identify(const struct access *access, const char *token, struct tls_peer *who, struct error *error);

/* What whoever has these names may do with the database. */
void access_rights(const struct access *access, const struct tls_peer *who, const char *database, int *may_pull,
                   int *may_push);

#endif
