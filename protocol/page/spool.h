/*
 * spool: bytes that came over the link and wait on disk until they are applied.
 *
 * They are in a file without a name, so that nothing is left behind however the process ends. One pass writes, then
 * any number of passes read.
 */
#ifndef LOCKSTEP_PAGE_SPOOL_H
#define LOCKSTEP_PAGE_SPOOL_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct spool;

/*
 * An empty spool of at most max bytes, in `directory`, or where that is NULL in the directory of the file `beside`,
 * where the space will be needed anyway. Errors of this and of spool_append name the directory. ERR_NOT_ALLOWED: no
 * file can be made there.
 */
int spool_new(struct spool **spool, const char *beside, const char *directory, uint64_t max, struct error *error);

/*
 * The same, but in the file at path, which outlives the process, with the bytes that an earlier process left in it. It is locked (flock)
 * until spool_free. ERR_BUSY: another process is at it. ERR_NOT_ALLOWED: it cannot be opened, or is no file.
 */
int spool_open(struct spool **spool, const char *path, uint64_t max, struct error *error);

/* Its bytes are gone with it, unless spool_open opened it. NULL is accepted. */
void spool_free(struct spool *spool);

/*
 * Write len bytes behind those that are there, wherever reading stands. ERR_PROTOCOL: they would be more than max; ERR_DISK_FULL. After a
 * failure the size is as before.
 */
int spool_append(struct spool *spool, const void *data, size_t len, struct error *error);

/* Read from the first byte on, or from byte `at`, which must be there or be the end. A new spool stands at the first. */
void spool_rewind(struct spool *spool);
void spool_seek(struct spool *spool, uint64_t at);

/* Drop what is behind the first size bytes, which must be there. ERR_IO. */
int spool_truncate(struct spool *spool, uint64_t size, struct error *error);

/* Read up to len bytes; *got says how many, 0 only at the end. */
int spool_read(struct spool *spool, void *data, size_t len, size_t *got, struct error *error);

/* Bytes appended so far. */
uint64_t spool_size(const struct spool *spool);

#endif
