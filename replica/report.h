/* report: what a person or a program is told about the outcome of a command. */
#ifndef LOCKSTEP_REPLICA_REPORT_H
#define LOCKSTEP_REPLICA_REPORT_H

#include <stdint.h>

#include "lockstore/lock.h"
#include "replica/transfer.h"
#include "replica/unpushed.h"

struct doctor_report;
struct error;
struct settings;

/* What came of a run. */
struct run_summary {
    const char *lock;                       /* URL; "" for none */
    uint64_t token;                         /* of the lock; 0: it was not had */
    const struct transfer_outcome *pulled;  /* NULL: it did not come to that */
    const struct transfer_outcome *pushed;
    int job_ran;
    int job_status;                         /* its exit status, or 0 and the signal that killed it */
    int job_signal;
    int exit_status;                        /* of the run */
    const struct error *error;              /* ERR_NONE: none */
    uint64_t milliseconds;
};

/* What came of resolve. */
struct resolution {
    const char *way;                 /* "take-origin", "keep-local" */
    char kept[UNPUSHED_PATH_MAX];    /* the file with the other content; "": there was none to keep */
    struct transfer_outcome pulled;  /* take-origin: into the local copy; keep-local, with kept: into that */
    struct transfer_outcome pushed;
    int has_pushed;
};

/* Print "lockstep: TEXT" on stderr (with --json an object with the error on stdout as well). Returns the exit status. */
int report_error(const struct settings *settings, const struct error *error);

/* Ask for a report where the error is one that should not be. report_error does so by itself. */
void report_defect(const struct error *error);

/*
 * A pull or push that is through: unless --quiet a line on stderr, with -v the totals that rsync prints, with --stats all there is to
 * tell. verb: "pulled", "pushed".
 */
void report_sync(const struct settings *settings, const char *verb, const struct transfer_outcome *outcome);

/* `status`: where the two stand; state in words. On stdout, with --json as an object. */
void report_status(const struct settings *settings, const char *state, const struct transfer_outcome *outcome);

/* `verify`: both digests, likewise. */
void report_digests(const struct settings *settings, const struct transfer_outcome *outcome);

/* `resolve`, that went well: what was kept where, on stderr; with --json an object on stdout. */
void report_resolution(const struct settings *settings, const struct resolution *resolution);

/* `diff`: the pages that differ, by table and index, likewise. */
void report_diff(const struct settings *settings, const struct transfer_outcome *outcome);

/* `history`: the versions of outcome->versions, likewise. */
void report_history(const struct settings *settings, const struct transfer_outcome *outcome);

/* `lock show`, `lock acquire` and `lock doctor`, likewise. */
void report_holder(const struct settings *settings, const struct lock_holder *holder);
void report_lease(const struct settings *settings, uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE]);
void report_doctor(const struct settings *settings, const struct doctor_report *report);

/* `lock release`: a line on stderr unless --quiet; with --json an object on stdout. */
void report_release(const struct settings *settings, uint64_t token);

/* `lock break`: whom it fenced off, on stderr; with --json on stdout the record that was there, as `lock show` has it, and the new token. */
void report_break(const struct settings *settings, const struct lock_holder *former, uint64_t token);

/* sqlite3_rsync's own lines, on stdout: with -v what was sent and received, the size and the speedup; with -vvv counts. */
void report_sqlite3_rsync(const struct settings *settings, const struct transfer_outcome *outcome);

/* "12,345,678" into out, which has room for 32 bytes. Returns out. */
char *report_grouped(unsigned long long number, char *out);

#endif
