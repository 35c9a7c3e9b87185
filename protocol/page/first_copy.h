/*
 * first_copy: a database file that comes into being page by page, beside the place where it shall stand.
 *
 * The pages go to `<target>.lockstep-partial`, which nobody else reads, and so by plain writes of many (run_writer.h). Only when all are there
 * and proven is it renamed onto the target, which must still be missing or have no bytes. A partial that was left
 * behind by a link that broke is where the next attempt starts: its pages are hashed like those of a database.
 *
 * A -wal or -journal of a database that was deleted would be replayed into the new one. SQLite deletes them when it finds no
 * database to them; here they are renamed to `<target>-wal.lockstep-stale` and the like, with a warning in the log.
 *
 * No connection of this process may have the target open: closing files would drop its locks.
 */
#ifndef LOCKSTEP_PAGE_FIRST_COPY_H
#define LOCKSTEP_PAGE_FIRST_COPY_H

#include <stdint.h>

#include "protocol/page/page_hash.h"

struct error;
struct first_copy;

/*
 * Start on a copy that shall stand at target, or go on with the partial that is there. ERR_BUSY: another process is
 * at it. ERR_MOVED: there is a database at target. ERR_NO_DATABASE: its directory is missing. ERR_NOT_ALLOWED.
 */
int first_copy_open(struct first_copy **copy, const char *target, struct error *error);

/* Close. What was written stays for the next attempt; a partial without pages is removed. NULL is accepted. */
void first_copy_free(struct first_copy *copy);

/*
 * Hash the pages of the partial into *index (which is released first). It is empty where the partial holds nothing that begins
 * a database.
 */
int first_copy_scan(struct first_copy *copy, const struct page_hasher *hasher, struct page_index *index,
                    struct error *error);

/* The partial's, for those who ask the file system something about it; it stays the copy's. */
int first_copy_descriptor(const struct first_copy *copy);

/* Let the file at fd, which the copy closes, get the pages that are written from now on as well. It is emptied should that fail. */
void first_copy_take_twin(struct first_copy *copy, int fd);

/* Copy page pgno to page (page_size bytes). ERR_PROTOCOL where the partial has no such page. */
int first_copy_read_page(struct first_copy *copy, uint32_t pgno, uint8_t *page, struct error *error);

/*
 * Write page pgno, by and by. The first page of a new page size, which must be page 1, drops what the partial held. Page 1 goes as it is, its
 * volatile bytes included, so the copy has the sender's journal mode. Errors: ERR_DISK_FULL, ERR_IO, ERR_PROTOCOL.
 */
int first_copy_write_page(struct first_copy *copy, uint32_t pgno, const uint8_t *page, uint32_t page_size,
                          struct error *error);

/*
 * Cut the partial after page_count pages, make it durable and put it in the place of the target, durably. It has the permissions
 * of a new database (0644 less the umask), or those of the empty file that it replaces. Afterwards the copy can only be freed.
 * ERR_MOVED: there is a database at target now. ERR_BUSY: another program has the empty file locked, or the deleted
 * database still open. ERR_NOT_A_DATABASE: page 1 does not fit page_count. The partial is kept on failure.
 */
int first_copy_finish(struct first_copy *copy, uint32_t page_count, struct error *error);

#endif
