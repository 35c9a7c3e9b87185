/*
 * The tables of an application that mails its contacts: short rows with an integer key, free text
 * of uneven length, a random identifier in each schedule that no compressor can shorten, and four
 * indexes, three of which are written out of order, so that their pages are about two thirds full,
 * as in a database that grew by itself. The indexes therefore exist before the rows do.
 *
 * The rows are those of a Python script, make-work.py, that made the database of the figures which
 * Lockstep is to keep to: the same numbers are drawn in the same order. The same SQLite then makes
 * the same pages, all but page 1, which has the text of the schema. (Tried with Debian's 3.40.1;
 * newer ones leave other bytes behind the cell pointers of every fifth page, two of each.) For that
 * deleted content has to be overwritten with zeros, as Debian's SQLite does of its own accord; what
 * a page that was split leaves in its free space would else be there to be sent.
 */
#include "bench/work_database.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <sqlite3.h>

#include "bench/twister.h"
#include "protocol/base/error.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char SCHEMA[] =
    "PRAGMA page_size = 4096;"
    "PRAGMA secure_delete = on;"
    "PRAGMA journal_mode = off;"
    "PRAGMA synchronous = off;"
    "PRAGMA cache_size = -262144;"
    "CREATE TABLE contacts(id INTEGER PRIMARY KEY, email TEXT NOT NULL, first_name TEXT,"
    " last_name TEXT, state TEXT, zip_code TEXT, birth_date TEXT, effective_date TEXT,"
    " phone TEXT, notes TEXT, created_at TEXT, updated_at TEXT);"
    "CREATE TABLE email_schedules(id INTEGER PRIMARY KEY,"
    " contact_id INT NOT NULL REFERENCES contacts(id), email_type TEXT NOT NULL,"
    " scheduled_send_date TEXT, scheduled_send_time TEXT,"
    " status TEXT NOT NULL DEFAULT 'pre-scheduled', skip_reason TEXT, priority INT,"
    " template_id TEXT, campaign_instance_id INT, batch_run_id TEXT, created_at TEXT,"
    " updated_at TEXT);"
    "CREATE INDEX idx_contacts_email ON contacts(email);"
    "CREATE INDEX idx_contacts_state ON contacts(state, birth_date);"
    "CREATE INDEX idx_sched_contact ON email_schedules(contact_id, email_type);"
    "CREATE INDEX idx_sched_date ON email_schedules(scheduled_send_date, status);"
    "CREATE TABLE email_send_tracking(id INTEGER PRIMARY KEY, schedule_id INT, contact_id INT,"
    " sent_at TEXT, provider_id TEXT, status TEXT);";

static const char *const WORDS[] = {
    "alpha",  "bravo", "charlie", "delta",  "echo",     "foxtrot", "golf",   "hotel",  "india",
    "juliet", "kilo",  "lima",    "mike",   "november", "oscar",   "papa",   "quebec", "romeo",
    "sierra", "tango", "uniform", "victor", "whiskey",  "xray",    "yankee", "zulu"};
static const char *const STATES[] = {"CA", "TX", "NY", "MO", "OR", "FL",
                                     "WA", "NV", "ID", "KY", "MA", "CT"};
static const char *const EMAIL_TYPES[WORK_SCHEDULES_PER_CONTACT] = {"birthday", "effective_date",
                                                                    "aep", "post_window"};
static const char *const STATUSES[] = {"pre-scheduled", "sent", "skipped"};
static const char CREATED_AT[] = "2025-01-01T00:00:00Z";

/* Days between 1970-01-01 and the first day of each range of dates. */
#define DAY_1940_01_01 (-10958)
#define DAY_2015_01_01 16436
#define DAY_2025_01_01 20089

struct rows {
    sqlite3_stmt *insert; /* the INSERT that row after row goes through */
    struct twister twister;
};

static int insert_all(sqlite3 *db, int64_t contacts, uint64_t seed, struct error *error);
static int insert_contact(struct rows *rows, int64_t id);
static int insert_schedule(struct rows *rows, int64_t id, int64_t contact, const char *type);

int work_database_create(const char *path, int64_t contacts, uint64_t seed, struct error *error)
{
    sqlite3 *db = NULL;
    int err = 0;

    if (sqlite3_open(path, &db) != SQLITE_OK) {
        err = error_set(error, ERR_IO, "opening it: %s", sqlite3_errmsg(db));
        goto out;
    }
    if (sqlite3_exec(db, SCHEMA, NULL, NULL, NULL) != SQLITE_OK) {
        err = error_set(error, ERR_IO, "making the tables: %s", sqlite3_errmsg(db));
        goto out;
    }
    err = insert_all(db, contacts, seed, error);
    if (err)
        goto out;
    if (sqlite3_exec(db, "PRAGMA journal_mode = wal; PRAGMA wal_checkpoint(truncate)", NULL, NULL,
                     NULL) != SQLITE_OK)
        err = error_set(error, ERR_IO, "turning to WAL mode: %s", sqlite3_errmsg(db));
out:
    sqlite3_close(db);
    return err;
}

/* All rows, in one transaction. */
static int insert_all(sqlite3 *db, int64_t contacts, uint64_t seed, struct error *error)
{
    struct rows rows = {.insert = NULL};
    int64_t schedule = 0;
    int ok;

    twister_init(&rows.twister, seed);
    ok = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK &&
         sqlite3_prepare_v2(db, "INSERT INTO contacts VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", -1,
                            &rows.insert, NULL) == SQLITE_OK;
    for (int64_t id = 1; ok && id <= contacts; id++)
        ok = insert_contact(&rows, id) == SQLITE_DONE;
    sqlite3_finalize(rows.insert);
    rows.insert = NULL;
    ok = ok &&
         sqlite3_prepare_v2(db, "INSERT INTO email_schedules VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)", -1,
                            &rows.insert, NULL) == SQLITE_OK;
    for (int64_t id = 1; ok && id <= contacts; id++)
        for (size_t i = 0; ok && i < COUNT_OF(EMAIL_TYPES); i++)
            ok = insert_schedule(&rows, ++schedule, id, EMAIL_TYPES[i]) == SQLITE_DONE;
    sqlite3_finalize(rows.insert);
    ok = ok && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    return ok ? 0 : error_set(error, ERR_IO, "filling the tables: %s", sqlite3_errmsg(db));
}

static const char *random_of(struct rows *rows, const char *const *list, size_t count)
{
    return list[twister_between(&rows->twister, 0, (int64_t)count - 1)];
}

static void bind_text(struct rows *rows, int column, const char *text)
{
    sqlite3_bind_text(rows->insert, column, text, -1, SQLITE_TRANSIENT);
}

/* A date from first_day on, at most span days later, as "2025-01-31". */
static void bind_random_date(struct rows *rows, int column, int64_t first_day, int64_t span)
{
    time_t seconds = (time_t)((first_day + twister_between(&rows->twister, 0, span)) * 86400);
    struct tm tm;
    char text[16];

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d", &tm);
    bind_text(rows, column, text);
}

/* Five to forty words. */
static void bind_notes(struct rows *rows, int column)
{
    int64_t count = twister_between(&rows->twister, 5, 40);
    char text[40 * 10] = "";
    size_t len = 0;

    for (int64_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "",
                                random_of(rows, WORDS, COUNT_OF(WORDS)));
    bind_text(rows, column, text);
}

static int insert_contact(struct rows *rows, int64_t id)
{
    const char *first = random_of(rows, WORDS, COUNT_OF(WORDS));
    const char *last = random_of(rows, WORDS, COUNT_OF(WORDS));
    char text[80];

    sqlite3_reset(rows->insert);
    sqlite3_bind_int64(rows->insert, 1, id);
    snprintf(text, sizeof(text), "%s.%s%lld@example.com", first, last, (long long)id);
    bind_text(rows, 2, text);
    bind_text(rows, 3, first);
    bind_text(rows, 4, last);
    bind_text(rows, 5, random_of(rows, STATES, COUNT_OF(STATES)));
    snprintf(text, sizeof(text), "%lld", (long long)twister_between(&rows->twister, 10000, 99999));
    bind_text(rows, 6, text);
    bind_random_date(rows, 7, DAY_1940_01_01, 18000);
    bind_random_date(rows, 8, DAY_2015_01_01, 3600);
    snprintf(text, sizeof(text), "+1%lld",
             (long long)twister_between(&rows->twister, INT64_C(2000000000), INT64_C(9999999999)));
    bind_text(rows, 9, text);
    bind_notes(rows, 10);
    bind_text(rows, 11, CREATED_AT);
    bind_text(rows, 12, CREATED_AT);
    return sqlite3_step(rows->insert);
}

/* skip_reason and campaign_instance_id are never bound, and so NULL. */
static int insert_schedule(struct rows *rows, int64_t id, int64_t contact, const char *type)
{
    char text[40];

    sqlite3_reset(rows->insert);
    sqlite3_bind_int64(rows->insert, 1, id);
    sqlite3_bind_int64(rows->insert, 2, contact);
    bind_text(rows, 3, type);
    bind_random_date(rows, 4, DAY_2025_01_01, 365);
    bind_text(rows, 5, "08:30:00");
    bind_text(rows, 6, random_of(rows, STATUSES, COUNT_OF(STATUSES)));
    sqlite3_bind_int64(rows->insert, 8, twister_between(&rows->twister, 1, 10));
    snprintf(text, sizeof(text), "tpl_%s_%lld", type,
             (long long)twister_between(&rows->twister, 1, 40));
    bind_text(rows, 9, text);
    snprintf(text, sizeof(text), "run_%016llx",
             (unsigned long long)twister_bits(&rows->twister, 64));
    bind_text(rows, 11, text);
    bind_text(rows, 12, CREATED_AT);
    bind_text(rows, 13, CREATED_AT);
    return sqlite3_step(rows->insert);
}
