/*
 * page_feed: reads the pages that a sender puts into its stream ahead of it, on a thread, each with the receiver's old page.
 *
 * To read both, with their system calls, and the page-version log's unpacking, take 40 % of the time of a stream of scattered changes; the encoder needs
 * the rest, and would otherwise do one after the other. The bytes of the stream do not depend on how far ahead the thread is.
 */
#ifndef LOCKSTEP_SYNC_PAGE_FEED_H
#define LOCKSTEP_SYNC_PAGE_FEED_H

#include <stdint.h>

struct error;
struct page_feed;

/* Where the pages come from; called from the thread, one at a time, between page_feed_lock and page_feed_unlock. */
struct page_feed_source {
    /* The number of the next page; 0 after the last. */
    uint32_t (*next)(void *arg);
    /* Page pgno to page. */
    int (*read)(void *arg, uint32_t pgno, uint8_t *page, struct error *error);
    /* Old page pgno to old, page being the new one; *known 0: it cannot be had. */
    int (*read_old)(void *arg, uint32_t pgno, const uint8_t *page, uint8_t *old, int *known, struct error *error);
    void *arg;
};

enum fed_old { FED_OLD_NOT_READ, FED_OLD_UNKNOWN, FED_OLD_KNOWN };

/* Good until the next page_feed_next. */
struct fed_page {
    uint32_t pgno; /* 0: there are no more */
    const uint8_t *page;
    enum fed_old has_old;
    const uint8_t *old; /* if FED_OLD_KNOWN */
};

/* source is copied. wants_old: as by page_feed_want_old, from the first page on. ERR_INTERNAL: memory ran out, or no thread can be had. */
int page_feed_new(struct page_feed **feed, uint32_t page_size, const struct page_feed_source *source, int wants_old,
                  struct error *error);

/* Stops the thread: nothing of the source is called any more. NULL is accepted. */
void page_feed_free(struct page_feed *feed);

/* The next page. The error is that of the source for the page that would be next. */
int page_feed_next(struct page_feed *feed, struct fed_page *page, struct error *error);

/* Whether the pages that are read from now on come with their old ones. */
void page_feed_want_old(struct page_feed *feed, int wanted);

/* Who uses what the source uses holds this lock meanwhile. */
void page_feed_lock(struct page_feed *feed);
void page_feed_unlock(struct page_feed *feed);

#endif
