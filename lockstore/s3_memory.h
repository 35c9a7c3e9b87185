/*
 * s3_memory: what was learned of a store, kept in a small file between runs.
 *
 * $XDG_CACHE_HOME/lockstep/s3-DIGEST (~/.cache/… without that variable), DIGEST being the first 16
 * bytes of SHA-256 over endpoint and bucket, holds lines "name value". Nothing in it is secret, and
 * nothing in it is trusted further than to save requests: a quoting that is wrong by now is learned
 * anew. Where no file can be written, everything works, with up to four more requests a run.
 */
#ifndef LOCKSTEP_LOCKSTORE_S3_MEMORY_H
#define LOCKSTEP_LOCKSTORE_S3_MEMORY_H

#include "lockstore/s3_settings.h"

struct s3_memory {
    int bare_etags; /* If-Match wants the ETag without its quotes */
    int proven;     /* the store was seen to refuse both kinds of write whose condition is false */
    char region[S3_REGION_MAX]; /* the bucket's, as the store told; "" for what the settings say */
};

/* Fill memory with what is known, or with the assumptions for an unknown store. Never fails. */
void s3_memory_load(struct s3_memory *memory, const char *endpoint, const char *bucket);

/* Keep it. Failures are logged at LOG_DEBUG and otherwise ignored. */
void s3_memory_save(const struct s3_memory *memory, const char *endpoint, const char *bucket);

#endif
