/*
 * history_packs: pages out of the packs of the page-version log, as a pull asks for them.
 *
 * The packs that were needed last are in memory, unpacked. One that has to be unpacked a second
 * time is kept, unpacked, in a file without a name beside the log: after a VACUUM a page of an
 * index resembles old pages from all over the database, and each of those would be a pack to be
 * unpacked. A pull that asks in page order, as most do, unpacks each pack once and makes no such
 * file.
 *
 * Measured on the vacuum and the vacuum-head of bench/README.md, 3,253 packs: 27,900 and 27,000
 * unpackings without the file, 3.2 of the 6.6 s of the vacuum's pull, which takes 4.4 s with it.
 * More packs in memory do not help, as those pages come in no order.
 */
#ifndef LOCKSTEP_SYNC_HISTORY_PACKS_H
#define LOCKSTEP_SYNC_HISTORY_PACKS_H

#include <stddef.h>
#include <stdint.h>

struct history_file;
struct history_packs;

#define HISTORY_PACK_BYTES 131072u /* of pages in a pack, at most */

/* Of a log that is connected. file: borrowed; where it is damaged it is thrown away, here and
 * below. NULL: memory ran out. */
struct history_packs *history_packs_new(struct history_file *file);
void history_packs_free(struct history_packs *packs);

/*
 * The page that begins `offset` bytes into the pack, size bytes; NULL where it cannot be had. Good
 * until the next call. Whether the bytes are right is for the caller to prove.
 */
const uint8_t *history_packs_read(struct history_packs *packs, int64_t pack, size_t offset,
                                  uint32_t size);

#endif
