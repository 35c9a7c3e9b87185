/*
 * compress: a stream of bytes through zstd, or as it is where no compression is wanted.
 *
 * The stream is one byte that says which, 0 for bare and 1 for zstd, then the bytes or one zstd frame. The frame's
 * window is at most LIMIT_ZSTD_WINDOW_LOG, whatever the level; a decompressor refuses one that asks for more.
 * Up to level 5 zstd's own threads do the work, one for each core but at most four, 1 MiB at a time: on two cores twice as
 * fast, and no worse packed. The bytes do not depend on the number.
 * Memory: the decompressor the window and 256 KiB; the compressor 8 MiB at level 3 on two cores, 24 MiB at most up to
 * level 5, 18 MiB at 9, 90 MiB at 19.
 */
#ifndef LOCKSTEP_PAGE_COMPRESS_H
#define LOCKSTEP_PAGE_COMPRESS_H

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct error;
struct compressor;
struct decompressor;

#define COMPRESS_LEVEL_MAX     19
#define COMPRESS_LEVEL_DEFAULT 3
#define COMPRESS_PART      1048576 /* bytes that a thread takes at once, and that may be taken before any come out */

/* level: zstd's (1 to COMPRESS_LEVEL_MAX), 0 for no compression; others are brought into range. */
int compressor_new(struct compressor **compressor, int level, struct error *error);
void compressor_free(struct compressor *compressor);

/* Take len bytes; what comes of them, often nothing yet, is appended to out. ERR_INTERNAL when out is full. */
int compressor_write(struct compressor *compressor, const void *data, size_t len, struct buffer *out,
                     struct error *error);

/* Append to out what was taken and is not out yet. Costs some bytes: what follows is compressed knowing less of what came before. */
int compressor_flush(struct compressor *compressor, struct buffer *out, struct error *error);

/* End the stream; the rest of its bytes is appended to out. Nothing may be written afterwards. */
int compressor_finish(struct compressor *compressor, struct buffer *out, struct error *error);

int decompressor_new(struct decompressor **decompressor, struct error *error);
void decompressor_free(struct decompressor *decompressor);

/* Give it the next bytes of the stream. Borrowed until decompressor_read has taken them, see decompressor_pending. */
void decompressor_feed(struct decompressor *decompressor, const uint8_t *data, size_t len);

/*
 * Append bytes to into until it holds `want` bytes or what was fed gives no more. ERR_PROTOCOL for what is not
 * such a stream, or asks for a larger window than allowed.
 */
int decompressor_read(struct decompressor *decompressor, struct buffer *into, size_t want, struct error *error);

/* Fed bytes that were not taken yet. */
size_t decompressor_pending(const struct decompressor *decompressor);

/* Whether nothing more can come, because the zstd frame is over. A bare stream has no end of its own: 0 there. */
int decompressor_exhausted(const struct decompressor *decompressor);

/* Whether the stream may end here: the zstd frame is over, or the stream is bare. */
int decompressor_may_end(const struct decompressor *decompressor);

#endif
