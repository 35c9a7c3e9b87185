/* random: unpredictable bytes from the kernel. */
#ifndef LOCKSTEP_BASE_RANDOM_H
#define LOCKSTEP_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fill out with len bytes fit for keys and ids. Aborts where the kernel has none to give: nothing goes on without. */
void random_bytes(void *out, size_t len);

/* A number below bound (bound > 0), each as likely. */
uint64_t random_below(uint64_t bound);

#endif
