/*
 * ssh_blob: SSH's strings (RFC 4251, section 5: a length of four bytes, then the bytes) and what is
 * shown of public keys.
 */
#ifndef LOCKSTEP_LINK_SSH_BLOB_H
#define LOCKSTEP_LINK_SSH_BLOB_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that are still to be read. */
struct ssh_reader {
    const uint8_t *data;
    size_t len;
};

/* Read a number of four bytes, or one string, which then points into the data. 0, or -1 where there
 * is none. */
int ssh_read_u32(struct ssh_reader *reader, uint32_t *value);
int ssh_read_string(struct ssh_reader *reader, const uint8_t **data, size_t *len);

/* Write four bytes at out. Returns what is behind them. */
uint8_t *ssh_put_u32(uint8_t *out, uint32_t value);

/* Copy a key's type, its first string, into type: "" where the blob is none or the name is longer.
 */
void ssh_key_type(const uint8_t *blob, size_t blob_len, char *type, size_t type_size);

#define SSH_FINGERPRINT_SIZE 64

/* "SHA256:" and the unpadded base64 of the hash, as ssh-keygen -l shows it. */
void ssh_fingerprint(const uint8_t *blob, size_t blob_len, char out[SSH_FINGERPRINT_SIZE]);

/* Base64 of len bytes, from malloc; NULL when memory ran out. */
char *ssh_base64_encode(const uint8_t *data, size_t len);

/*
 * Bytes of the text_len characters of base64 at text, whitespace passed over; from malloc, *len
 * their number. NULL where it is not base64 or memory ran out.
 */
uint8_t *ssh_base64_decode(const char *text, size_t text_len, size_t *len);

#endif
