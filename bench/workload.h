/*
 * workload: the changes that the bench makes to its database, by name.
 */
#ifndef LOCKSTEP_BENCH_WORKLOAD_H
#define LOCKSTEP_BENCH_WORKLOAD_H

struct error;

/* The names that workload_apply knows, with a blank between them, for a usage text. */
extern const char WORKLOAD_NAMES[];

/*
 * Make the change called name to the database at path, which work_database_create made, and fold
 * the WAL into it. Parts of the tables scale with the number of contacts; "updN" changes N rows at
 * any size. ERR_USAGE for a name that is not known, ERR_IO when SQLite refuses.
 */
int workload_apply(const char *path, const char *name, struct error *error);

#endif
