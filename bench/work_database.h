/*
 * work_database: the database that the bench moves around, made from a seed, the same pages each
 * time.
 */
#ifndef LOCKSTEP_BENCH_WORK_DATABASE_H
#define LOCKSTEP_BENCH_WORK_DATABASE_H

#include <stdint.h>

struct error;

/* The rows of contacts that make the full-sized database, about 456 MB; scale 1 stands for them. */
#define WORK_CONTACTS 400000

/* Each contact has this many rows in email_schedules. */
#define WORK_SCHEDULES_PER_CONTACT 4

/*
 * Create the database at path, which must not exist: contacts rows of contacts (at least 1) and
 * WORK_SCHEDULES_PER_CONTACT times as many of email_schedules, drawn from seed, in WAL mode with an
 * empty WAL. Equal arguments and the same SQLite make equal files. ERR_IO on failure; the
 * unfinished file is then left.
 */
int work_database_create(const char *path, int64_t contacts, uint64_t seed, struct error *error);

#endif
