/*
 * page_delta: what differs between two pages of one size, as runs of bytes, for keeping pages on the disk of one machine.
 *
 * Not what crosses a link: that is a patch (patch.h), which finds what moved, and is compressed. This one is made and undone in less than a
 * microsecond a page: of the scattered updates of bench/ 25,733 pages became 4.9 MB instead of 105, 172 of them whole.
 *
 * Format: for each run how many bytes are the same before it, how many it has (16 bits each, in the machine's byte order), and these.
 */
#ifndef LOCKSTEP_PAGE_PAGE_DELTA_H
#define LOCKSTEP_PAGE_PAGE_DELTA_H

#include <stddef.h>
#include <stdint.h>

/*
 * Write what turns `old` into `page`, of page_size bytes (a multiple of 8, at most 65536) each, to delta, which has room for max bytes, less than
 * page_size. Returns 1 and *len, 0 for equal pages; or 0 where it would be more than max.
 */
int page_delta_make(const uint8_t *old, const uint8_t *page, uint32_t page_size, uint8_t *delta, size_t max, size_t *len);

/* Turn the old page at `page` into the new one. Returns 1; 0 where the delta is none for a page of this size: `page` is then neither. */
int page_delta_apply(uint8_t *page, uint32_t page_size, const uint8_t *delta, size_t len);

#endif
