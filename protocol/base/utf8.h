/* utf8: where characters end in bytes that may or may not be UTF-8 (RFC 3629). */
#ifndef LOCKSTEP_BASE_UTF8_H
#define LOCKSTEP_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed character that begins at text[0]; 0 where none does. len is at least 1.
 */
size_t utf8_length(const uint8_t *text, size_t len);

#endif
