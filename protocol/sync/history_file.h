/*
 * history_file: the file of the page-version log (history.h), one SQLite connection to it, and its table of packs.
 *
 * Nothing depends on the log, so nothing here tells why it fails: a file that is damaged is removed and made anew.
 */
#ifndef LOCKSTEP_SYNC_HISTORY_FILE_H
#define LOCKSTEP_SYNC_HISTORY_FILE_H

#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

struct history_file {
    char *path;         /* owned */
    struct sqlite3 *db; /* NULL until needed */
};

/* Close the connection and free what the struct holds. */
void history_file_release(struct history_file *file);

/* Connect; make the file where it is missing, and anew where it is damaged. Returns whether it can be used. */
int history_file_connect(struct history_file *file);

/* Each returns whether it was done, NULL, and -1 where nothing can be read. Connected. */
int history_file_execute(struct history_file *file, const char *sql);
struct sqlite3_stmt *history_file_prepare(struct history_file *file, const char *sql);
int64_t history_file_number(struct history_file *file, const char *sql);

/* Whether the last call of SQLite's found the file damaged, or without the table that it should have. */
int history_file_is_damaged(const struct history_file *file);

/* Remove the file; the next push begins anew. */
void history_file_throw_away(struct history_file *file);

#endif
