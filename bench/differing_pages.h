/*
 * differing_pages: how far two databases are from each other, page by page, WALs included.
 */
#ifndef LOCKSTEP_BENCH_DIFFERING_PAGES_H
#define LOCKSTEP_BENCH_DIFFERING_PAGES_H

#include <stdint.h>

struct error;

struct page_difference {
    int64_t pages[2];  /* pages of the first and of the second */
    int64_t differing; /* pages of the second that the first does not have at that number */
};

/*
 * Compare the databases at the two paths, each in one read transaction. The bytes of page 1 that
 * differ between equal databases (18-19, 24-27, 92-99: journal mode and change counters) do not
 * count. ERR_IO when one cannot be read, or the page sizes differ.
 */
int differing_pages(const char *const paths[2], struct page_difference *difference,
                    struct error *error);

#endif
