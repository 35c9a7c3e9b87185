#include "bench/differing_pages.h"

#include <string.h>

#include <sqlite3.h>

#include "protocol/base/error.h"

/* One of the two databases, being read. */
struct side {
    sqlite3 *db;
    sqlite3_stmt *pages; /* all pages in order; its transaction lasts until it is finalized */
    int at_end;          /* no page is left */
};

static int open_side(struct side *side, const char *path, struct error *error);
static int next_page(struct side *side, struct error *error);
static int same_page(const struct side *sides, int64_t page);

int differing_pages(const char *const paths[2], struct page_difference *difference,
                    struct error *error)
{
    struct side sides[2] = {{0}, {0}};
    int err = 0;

    memset(difference, 0, sizeof(*difference));
    for (int i = 0; !err && i < 2; i++)
        err = open_side(&sides[i], paths[i], error);
    for (int64_t page = 1; !err && !(sides[0].at_end && sides[1].at_end); page++) {
        for (int i = 0; i < 2; i++)
            difference->pages[i] += !sides[i].at_end;
        difference->differing += !sides[1].at_end && !same_page(sides, page);
        for (int i = 0; !err && i < 2; i++)
            err = next_page(&sides[i], error);
    }
    for (int i = 0; i < 2; i++) {
        sqlite3_finalize(sides[i].pages);
        sqlite3_close(sides[i].db);
    }
    return err;
}

static int open_side(struct side *side, const char *path, struct error *error)
{
    if (sqlite3_open_v2(path, &side->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(side->db, "SELECT data FROM sqlite_dbpage ORDER BY pgno", -1,
                           &side->pages, NULL) != SQLITE_OK)
        return error_set(error, ERR_IO, "opening %s: %s", path, sqlite3_errmsg(side->db));
    return next_page(side, error);
}

static int next_page(struct side *side, struct error *error)
{
    int rc;

    if (side->at_end)
        return 0;
    rc = sqlite3_step(side->pages);
    side->at_end = rc != SQLITE_ROW;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return error_set(error, ERR_IO, "reading pages: %s", sqlite3_errmsg(side->db));
    return 0;
}

static int same_page(const struct side *sides, int64_t page)
{
    /* What may differ on page 1: from, up to but without. */
    static const size_t VOLATILE[][2] = {{18, 20}, {24, 28}, {92, 100}};
    const unsigned char *a, *b;
    size_t len, from = 0;

    if (sides[0].at_end)
        return 0;
    a = sqlite3_column_blob(sides[0].pages, 0);
    b = sqlite3_column_blob(sides[1].pages, 0);
    len = (size_t)sqlite3_column_bytes(sides[0].pages, 0);
    if (len != (size_t)sqlite3_column_bytes(sides[1].pages, 0))
        return 0;
    for (size_t i = 0; page == 1 && i < sizeof(VOLATILE) / sizeof(VOLATILE[0]); i++) {
        if (memcmp(a + from, b + from, VOLATILE[i][0] - from) != 0)
            return 0;
        from = VOLATILE[i][1];
    }
    return memcmp(a + from, b + from, len - from) == 0;
}
