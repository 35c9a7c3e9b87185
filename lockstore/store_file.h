/*
 * store_file: a lock object that is a local file, file:///path, with an object store's semantics.
 *
 * Conditional writes are atomic between the processes of one machine: they happen under an flock on
 * the file PATH.guard, which is never deleted (but beside the doctor's own probes). The new content is written to PATH.new, synced, and
 * renamed, so that a crash at any point leaves the old content or the new, and a reader needs no
 * lock. (One flock on the folder would leave no second file, but NFS refuses it; link() and
 * rename() alone make a create atomic but no compare-and-swap.)
 *
 * The ETag is the SHA-256 of the content, in quotes. The store's clock is the file system's: a read
 * touches the guard and compares its time of modification with the record's.
 *
 * The work is done on libuv's thread pool. A guard that stays locked for STORE_FILE_TIMEOUT_MS (a
 * stopped process has it) makes the answer STORE_UNKNOWN.
 */
#ifndef LOCKSTEP_LOCKSTORE_STORE_FILE_H
#define LOCKSTEP_LOCKSTORE_STORE_FILE_H

#include "protocol/base/error.h"

struct store;
struct uv_loop_s;

#define STORE_FILE_TIMEOUT_MS 5000u

/* As store_open, for a URL that begins with file:. The path must be absolute; %XX is decoded. */
int store_file_open(struct store **store, struct uv_loop_s *loop, const char *url,
                    struct error *error);

#endif
