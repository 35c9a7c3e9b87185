/*
 * database_watch: whether the databases that a daemon serves can be used, looked at now and then:
 * the folder is there and can be written, the file is a database, it and its sidecar can be
 * written, some space is left.
 *
 * A database is opened by SQLite only where the file is another one, or has changed since it was
 * last opened with success; else a few calls of stat and access are all. (Nothing may open the file
 * by other means: closing it would drop this process's locks.)
 */
#ifndef LOCKSTEP_ORIGIN_DATABASE_WATCH_H
#define LOCKSTEP_ORIGIN_DATABASE_WATCH_H

#include <stddef.h>

struct database_watch;

enum database_watch_kind {
    DATABASE_WATCH_FOLDER, /* a folder with databases, not one itself */
    DATABASE_WATCH_NAMED,  /* a database that the command line names */
    DATABASE_WATCH_SEEN /* a database that was asked for once: that its folder is gone is no fault
                         */
};

#define DATABASE_WATCH_MAX 256 /* further ones are not looked at */

/* is_read_only: the databases are not written here, so they need not be writable, nor their folders. NULL: memory ran out. */
struct database_watch *database_watch_new(int is_read_only);
void database_watch_free(struct database_watch *watch);

/* Look at this path from now on. Harmless when repeated. Any thread. NULL for the watch is allowed.
 */
void database_watch_add(struct database_watch *watch, const char *path,
                        enum database_watch_kind kind);

/*
 * Look at all of them, on a worker thread. The text is what is wrong with the first that cannot be
 * used, and how many more there are; empty where all is well. Returns how many cannot be used.
 */
unsigned database_watch_check(struct database_watch *watch, char *text, size_t text_size);

#endif
