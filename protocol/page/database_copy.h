/* database_copy: a whole database as it stands, in a new file of its own. */
#ifndef LOCKSTEP_PAGE_DATABASE_COPY_H
#define LOCKSTEP_PAGE_DATABASE_COPY_H

struct database;
struct error;

/*
 * Copy db to a new file at path: one state of it, whatever other programs do meanwhile, its WAL included. No transaction may be
 * open on db. The file is durable on return. ERR_IO where something is at path already; nothing is left there on failure.
 */
int database_copy(struct database *db, const char *path, struct error *error);

#endif
