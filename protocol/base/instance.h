/*
 * instance: the name by which a replica is known in locks, logs and metrics: "NAME" or "REGION/NAME", a text of at most
 * INSTANCE_MAX bytes. What stands before the first '/' is the region; it may be missing.
 */
#ifndef LOCKSTEP_BASE_INSTANCE_H
#define LOCKSTEP_BASE_INSTANCE_H

#include <stddef.h>

#define INSTANCE_MAX 128 /* bytes, without the 0 at the end */

/*
 * The name of this process where nobody gave it one: on Fly.io FLY_REGION/FLY_APP_NAME/FLY_MACHINE_ID, as far as these are set
 * (https://fly.io/docs/machines/runtime-environment/); else host name and process id. Cut to fit. Returns "FLY_MACHINE_ID" in
 * the first case, NULL in the other.
 */
const char *instance_default(char out[INSTANCE_MAX + 1]);

/* The region of an instance, copied to out and cut to fit; "" where it names none. Returns out. */
char *instance_region(const char *instance, char *out, size_t size);

#endif
