/*
 * page_record: the numbers that the records of a page stream begin with, for its two halves. page_stream.h explains them.
 */
#ifndef LOCKSTEP_PAGE_PAGE_RECORD_H
#define LOCKSTEP_PAGE_PAGE_RECORD_H

#define RECORD_WHOLE 0u
#define RECORD_ZERO  1u
#define RECORD_MOVED 2u
#define RECORD_PATCH 3u
#define RECORD_KIND  3u  /* the bits of the four above */
#define RECORD_CODED 4u
#define RECORD_OWN   8u
#define RECORD_JOINS 16u
#define RECORD_FLAGS 31u /* all bits that mean something */

#endif
