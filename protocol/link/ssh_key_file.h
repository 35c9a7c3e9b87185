/*
 * ssh_key_file: what can be told of a private key's file without its passphrase: whether it needs
 * one, and, where the format shows it, the public key. Formats: OpenSSH's own (PROTOCOL.key in its
 * source), the PEM ones of RFC 1421 and RFC 5208, and the one line of a public key.
 */
#ifndef LOCKSTEP_LINK_SSH_KEY_FILE_H
#define LOCKSTEP_LINK_SSH_KEY_FILE_H

#include <stddef.h>
#include <stdint.h>

struct error;

struct ssh_key_file {
    int is_public;    /* there is no private key in it: only an agent can sign for it */
    int is_encrypted; /* a passphrase is needed */
    uint8_t *blob; /* the public key, from the file or from FILE.pub; owned; NULL where unknown */
    size_t blob_len;
    char type[32]; /* of blob: "ssh-ed25519"; "" where unknown */
};

/*
 * Read the file at path. ERR_NO_DATABASE where there is none; ERR_AUTH, with what to do, for one
 * that others may read, and for one that is no key; ERR_IO where it cannot be read.
 */
int ssh_key_file_read(struct ssh_key_file *key, const char *path, struct error *error);

/* The same for text, len bytes of it, without a look at FILE.pub and at the file's mode. */
int ssh_key_file_parse(struct ssh_key_file *key, const char *text, size_t len, struct error *error);

void ssh_key_file_release(struct ssh_key_file *key);

#endif
