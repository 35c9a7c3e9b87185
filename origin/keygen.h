/*
 * keygen: certificates and tokens for those who have none: a private CA of P-256 keys, a certificate for the origin and one for a client, in
 * one call.
 */
#ifndef LOCKSTEP_ORIGIN_KEYGEN_H
#define LOCKSTEP_ORIGIN_KEYGEN_H

#include <stddef.h>

struct error;

#define KEYGEN_NAMES_MAX 16

struct keygen_options {
    const char *folder;                   /* made if it is missing */
    const char *hosts[KEYGEN_NAMES_MAX];  /* names and addresses of the origin; up to the first NULL */
    const char *clients[KEYGEN_NAMES_MAX]; /* a certificate for each; up to the first NULL */
    unsigned days;                        /* that certificates are valid for; the CA's ten times as long */
};

/*
 * Write ca.pem, ca.key, origin.pem, origin.key, and for each client NAME.pem and NAME.key into the folder, keys readable by their owner only. A CA that is there is
 * used again, and so is a certificate: nothing is overwritten. ERR_USAGE, ERR_IO, ERR_INTERNAL; what was written stays.
 */
int keygen_run(const struct keygen_options *options, struct error *error);

#define KEYGEN_TOKEN_SIZE 65 /* 64 hexadecimal digits and a NUL */

/* Make a token and the hash that a tokens file has of it. ERR_INTERNAL. */
int keygen_token(char token[KEYGEN_TOKEN_SIZE], char hash[KEYGEN_TOKEN_SIZE], struct error *error);

#endif
