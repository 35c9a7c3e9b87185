/*
 * page_diff: which pages differ between an origin and the local copy, and which tables and indexes they belong to here, as a party
 * (protocol/sync/party.h), for `lockstep diff`. No page crosses the link, and nothing is changed.
 */
#ifndef LOCKSTEP_REPLICA_PAGE_DIFF_H
#define LOCKSTEP_REPLICA_PAGE_DIFF_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/wire/message.h"

struct error;
struct local_copy;
struct meter;
struct page_diff;
struct party;

enum page_diff_kind {
    DIFF_TABLE,
    DIFF_INDEX,
    DIFF_FREE,         /* pages that no table or index uses */
    DIFF_POINTER_MAPS, /* of a database with auto_vacuum */
    DIFF_BEYOND        /* pages that only the origin has */
};

struct page_diff_row {
    enum page_diff_kind kind;
    const char *name;   /* "" for the last three kinds */
    const char *table;  /* of an index */
    uint32_t differing; /* pages; those that only the local copy has included */
    uint32_t pages;     /* that there are */
};

/* What came of it. */
struct page_diff_result {
    struct geometry origin;
    struct geometry local;
    uint64_t version;     /* of the origin's content */
    uint32_t differing;   /* pages: common ones that differ, and those that only one side has */
    uint32_t only_origin; /* of these */
    uint32_t only_local;
    const struct page_diff_row *rows; /* with differing pages, the most first */
    size_t row_count;
};

/* copy: opened; borrowed until the party was done. meter may be NULL. */
int page_diff_new(struct page_diff **diff, struct local_copy *copy, struct meter *meter, struct error *error);
void page_diff_free(struct page_diff *diff);
struct party *page_diff_party(struct page_diff *diff);

/* The origin's HELLO; NULL before it came. */
const struct message_hello *page_diff_hello(const struct page_diff *diff);

/* After the party was done; good until page_diff_free. */
const struct page_diff_result *page_diff_result(const struct page_diff *diff);

#endif
