/* samples: one message of every type, each field with a value of its own, so that two swapped fields show. */
#ifndef LOCKSTEP_TESTS_WIRE_SAMPLES_H
#define LOCKSTEP_TESTS_WIRE_SAMPLES_H

#include <stddef.h>

#include "protocol/wire/message.h"

extern const struct message samples[];
extern const size_t sample_count;

#endif
