/*
 * page_scan: what one scan of a database found, shared by all who need it: it never changes, and is gone with its last user.
 */
#ifndef LOCKSTEP_SYNC_PAGE_SCAN_H
#define LOCKSTEP_SYNC_PAGE_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/page/database.h"
#include "protocol/page/page_hash.h"
#include "protocol/wire/message.h"

struct error;
struct page_scan;

/* What is to happen when a scan's last user is gone: bytes is page_scan_size. Any thread. */
typedef void page_scan_gone(void *arg, size_t bytes);

/*
 * Make a scan, with one user, of what index holds, which is taken and empty afterwards, also on failure. key: that its pages were hashed with.
 * on_gone, with arg, may be NULL. ERR_INTERNAL: memory ran out.
 */
int page_scan_new_take(struct page_scan **scan, struct page_index *index, const struct database_state *state,
                       const uint8_t key[HASH_KEY_SIZE], page_scan_gone *on_gone, void *arg, struct error *error);

/* One user more, which is returned, and one less. Any thread. NULL is accepted by the latter. */
struct page_scan *page_scan_keep(struct page_scan *scan);
void page_scan_free(struct page_scan *scan);

/* Good as long as the scan. */
const struct page_index *page_scan_index(const struct page_scan *scan);
const struct geometry *page_scan_geometry(const struct page_scan *scan);
const struct database_state *page_scan_state(const struct page_scan *scan);
const uint8_t *page_scan_key(const struct page_scan *scan);

/* Bytes that a scan of so many pages takes. */
size_t page_scan_size(uint32_t page_count);

#endif
