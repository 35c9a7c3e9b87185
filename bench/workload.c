#include "bench/workload.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "bench/work_database.h"
#include "protocol/base/error.h"

const char WORKLOAD_NAMES[] = "nochange updN upd1pct batchjob append index vacuum vacuum-head";

/* Rows that a full-sized database's changes lie apart: a prime, so that they hit every part of the
 * table. */
#define FULL_STRIDE 7919

static const struct workload {
    const char *name;
    /* Statements; :schedules and :contacts are the numbers of rows, :stride and :count say which
     * rows. */
    const char *sql;
} WORKLOADS[] = {
    {"nochange", ""},
    {"upd", /* and the number of rows, or 1pct */
     "WITH RECURSIVE v(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM v WHERE n < :count)"
     " UPDATE email_schedules SET status = 'sent', updated_at = '2025-02-02T00:00:00Z'"
     " WHERE id IN (SELECT (:stride * n) % :schedules FROM v);"},
    {"batchjob",
     "DELETE FROM email_schedules"
     " WHERE status = 'pre-scheduled' AND contact_id <= :contacts / 10;"
     "INSERT INTO email_schedules(contact_id, email_type, scheduled_send_date,"
     " scheduled_send_time, status, priority, template_id, batch_run_id, created_at, updated_at)"
     " SELECT id, 'birthday', date('2025-06-01', '+' || (id % 300) || ' day'), '08:30:00',"
     " 'pre-scheduled', 5, 'tpl_birthday_' || (id % 40), 'run_20250602',"
     " '2025-06-02T00:00:00Z', '2025-06-02T00:00:00Z'"
     " FROM contacts WHERE id <= :contacts / 10;"},
    {"append",
     "INSERT INTO email_send_tracking(schedule_id, contact_id, sent_at, provider_id, status)"
     " SELECT id, contact_id, '2025-06-02T00:00:00Z', 'prov_' || id, 'sent'"
     " FROM email_schedules WHERE id <= :schedules / 32;"},
    {"index", "CREATE INDEX idx_zip ON contacts(zip_code);"},
    {"vacuum", "DELETE FROM email_schedules WHERE id % 10 = 0; VACUUM;"},
    {"vacuum-head", "DELETE FROM email_schedules WHERE id <= :schedules / 20; VACUUM;"},
};

/* What the parameters of the statements stand for. */
struct parameters {
    int64_t contacts;  /* rows of contacts */
    int64_t schedules; /* rows of email_schedules before the change */
    int64_t stride;    /* rows between two changed ones */
    int64_t count;     /* rows to change; 0 for a workload that is not told how many */
};

static const struct workload *find(const char *name, const char **suffix);
static int count_contacts(sqlite3 *db, int64_t *contacts, struct error *error);
static int64_t stride_for(int64_t contacts);
static int64_t count_for(const char *suffix, int64_t schedules);
static int run(sqlite3 *db, const char *sql, const struct parameters *parameters,
               struct error *error);

int workload_apply(const char *path, const char *name, struct error *error)
{
    const char *suffix;
    const struct workload *workload = find(name, &suffix);
    struct parameters parameters = {0};
    sqlite3 *db = NULL;
    int err;

    if (!workload)
        return error_set(error, ERR_USAGE, "there is no workload '%s', but %s", name,
                         WORKLOAD_NAMES);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_exec(db,
                     "PRAGMA synchronous = off; PRAGMA cache_size = -262144;"
                     "PRAGMA secure_delete = on",
                     NULL, NULL, NULL) != SQLITE_OK) {
        err = error_set(error, ERR_IO, "opening it: %s", sqlite3_errmsg(db));
        goto out;
    }
    err = count_contacts(db, &parameters.contacts, error);
    if (err)
        goto out;
    parameters.schedules = parameters.contacts * WORK_SCHEDULES_PER_CONTACT;
    parameters.stride = stride_for(parameters.contacts);
    parameters.count = suffix ? count_for(suffix, parameters.schedules) : 0;
    if (parameters.count < 0) {
        err = error_set(error, ERR_USAGE, "'%s' names no number of rows", name);
        goto out;
    }
    err = run(db, workload->sql, &parameters, error);
    if (!err)
        err = run(db, "PRAGMA wal_checkpoint(truncate)", &parameters, error);
out:
    sqlite3_close(db);
    return err;
}

/* *suffix is what follows "upd", and NULL for the others. */
static const struct workload *find(const char *name, const char **suffix)
{
    for (size_t i = 0; i < sizeof(WORKLOADS) / sizeof(WORKLOADS[0]); i++) {
        *suffix = strcmp(WORKLOADS[i].name, "upd") == 0 ? name + strlen("upd") : NULL;
        if (*suffix ? strncmp(name, "upd", strlen("upd")) == 0
                    : strcmp(name, WORKLOADS[i].name) == 0)
            return &WORKLOADS[i];
    }
    return NULL;
}

static int count_contacts(sqlite3 *db, int64_t *contacts, struct error *error)
{
    sqlite3_stmt *query = NULL;
    int err = 0;

    if (sqlite3_prepare_v2(db, "SELECT max(id) FROM contacts", -1, &query, NULL) != SQLITE_OK ||
        sqlite3_step(query) != SQLITE_ROW)
        err = error_set(error, ERR_IO, "counting the contacts: %s", sqlite3_errmsg(db));
    else
        *contacts = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return err;
}

/*
 * FULL_STRIDE, scaled with the table, so that the changes of a small and of a large database are as
 * spread; then the next larger number without a factor in common with the rows, so that no row is
 * met twice.
 */
static int64_t stride_for(int64_t contacts)
{
    int64_t rows = contacts * WORK_SCHEDULES_PER_CONTACT;
    int64_t stride = FULL_STRIDE * contacts / WORK_CONTACTS;

    for (stride = stride > 1 ? stride : 1;; stride++) {
        int64_t a = rows, b = stride;

        while (b) {
            int64_t rest = a % b;

            a = b;
            b = rest;
        }
        if (a == 1)
            return stride;
    }
}

/* The rows that "upd" and suffix change; -1 where suffix is not a number of rows that are there. */
static int64_t count_for(const char *suffix, int64_t schedules)
{
    char *end;
    long long count;

    if (strcmp(suffix, "1pct") == 0)
        return schedules / 100;
    count = strtoll(suffix, &end, 10);
    return *end || count < 1 || count > schedules ? -1 : count;
}

static void bind(sqlite3_stmt *statement, const char *name, int64_t value)
{
    int index = sqlite3_bind_parameter_index(statement, name);

    if (index)
        sqlite3_bind_int64(statement, index, value);
}

/* Every statement of sql, each in its own transaction. */
static int run(sqlite3 *db, const char *sql, const struct parameters *parameters,
               struct error *error)
{
    while (*sql) {
        sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, &sql);

        if (rc == SQLITE_OK) {
            bind(statement, ":contacts", parameters->contacts);
            bind(statement, ":schedules", parameters->schedules);
            bind(statement, ":stride", parameters->stride);
            bind(statement, ":count", parameters->count);
            do
                rc = sqlite3_step(statement);
            while (rc == SQLITE_ROW);
        }
        if (rc != SQLITE_OK && rc != SQLITE_DONE)
            error_set(error, ERR_IO, "changing it: %s", sqlite3_errmsg(db));
        sqlite3_finalize(statement);
        if (rc != SQLITE_OK && rc != SQLITE_DONE)
            return ERR_IO;
    }
    return 0;
}
