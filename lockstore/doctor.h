/*
 * doctor: does a store honour the conditions that the lock stands on? `lockstep lock doctor URL`.
 *
 * It works on objects of its own beside the lock's (KEY.doctor-…), which it deletes again, and
 * tries each thing that the lease relies on, races included. What it learns of the store is kept in
 * the cache (s3_memory.h), so that it pays for later runs.
 */
#ifndef LOCKSTEP_LOCKSTORE_DOCTOR_H
#define LOCKSTEP_LOCKSTORE_DOCTOR_H

#include <stddef.h>

#include "protocol/base/error.h"

struct s3_settings;

enum doctor_verdict {
    DOCTOR_GOOD,
    DOCTOR_ODD,     /* not as AWS does, but Lockstep knows how to work with it */
    DOCTOR_UNCLEAR, /* no definite answer came */
    DOCTOR_BAD      /* a lock on this store would not be one */
};

struct doctor_row {
    char what[64];
    char expected[64];
    char seen[256]; /* sanitized for a terminal, one line */
    enum doctor_verdict verdict;
};

#define DOCTOR_ROWS 20

struct doctor_report {
    struct doctor_row rows[DOCTOR_ROWS];
    size_t count;
    int usable; /* no row is bad or unclear */
};

struct doctor_options {
    unsigned clients;                   /* that race; 0 for 16, at most 64 */
    unsigned rounds;                    /* of each race; 0 for 3 */
    const struct s3_settings *settings; /* NULL for those of the environment */
};

/*
 * Run the whole probe on a loop of its own; returns when it is through, after some seconds at most
 * unless the store does not answer. report is filled as far as it came, also on failure.
 * 0 where the store is usable; ERR_STORE_UNUSABLE where it is not, with the first bad row as the
 * text; ERR_USAGE where the URL or the settings cannot be used.
 */
int doctor_run(const char *url, const struct doctor_options *options, struct doctor_report *report,
               struct error *error);

/* "good", "works", "unclear", "BAD". */
const char *doctor_verdict_text(enum doctor_verdict verdict);

#endif
