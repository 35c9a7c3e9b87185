/*
 * noise: what to say of a stream that does not begin as Lockstep's does.
 *
 * Most often a shell on the far machine printed something before lockstep-origin was started, or
 * another program was: a greeting in ~/.bashrc, "This account is currently not available.", an SMTP
 * banner. A person sees at once what it is when the first bytes are shown.
 */
#ifndef LOCKSTEP_WIRE_NOISE_H
#define LOCKSTEP_WIRE_NOISE_H

#include <stddef.h>
#include <stdint.h>

struct error;

/*
 * Set ERR_PROTOCOL with a text that shows the beginning of the len bytes at data, made safe for a
 * terminal, in hexadecimal where there is nothing to read in them. far_side: "the origin"; advice:
 * what may be done about it, or NULL. Returns the code.
 */
int noise_refuse(const uint8_t *data, size_t len, const char *far_side, const char *advice,
                 struct error *error);

#endif
