/* hex: bytes as lower-case hexadecimal digits and back. */
#ifndef LOCKSTEP_BASE_HEX_H
#define LOCKSTEP_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Write 2 * len digits and a NUL to out, which has room for them. Returns out. */
char *hex_encode(const void *data, size_t len, char *out);

/* Read exactly 2 * len digits, of either case, from text. Returns 0, or -1 where something else stands. */
int hex_decode(const char *text, size_t text_len, void *out, size_t len);

#endif
