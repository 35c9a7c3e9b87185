/* sample: databases of many kinds for the tests of the page layer, made with SQLite's own hands. */
#ifndef LOCKSTEP_TESTS_PAGE_SAMPLE_H
#define LOCKSTEP_TESTS_PAGE_SAMPLE_H

#include <stdint.h>

#include "protocol/base/error.h"
#include "protocol/page/page_hash.h"

struct database;

/* Where the calls of a test put their errors. */
extern struct error failure;

/* Fails the test with the text of `failure` where the call does not return 0. */
#define ok(call)                                                                                   \
    do {                                                                                           \
        int ok_rc = (call);                                                                        \
        if (ok_rc != 0)                                                                            \
            fail_msg("%s: %s: %s", #call, error_name(ok_rc), failure.text);                        \
    } while (0)

/* A temporary directory for this test program, removed with what is in it by sample_teardown: a
 * pair for cmocka_run_group_tests, or to be called by a program's own. */
int sample_setup(void **state);
int sample_teardown(void **state);

const char *sample_directory(void);

/* The path of a file of that name in the directory: good until sixteen more were asked for. Its
 * files are deleted first. */
char *sample_path(const char *name);

/* Run SQL on the file on a connection of its own, failing the test where SQLite does. */
void sample_sql(const char *path, const char *sql);

/* The same, with that many bytes reserved at the end of each page of a new database. */
void sample_sql_reserved(const char *path, int reserved, const char *sql);

/* The first column of the first row, as a number, on a connection of its own. */
int64_t sample_number(const char *path, const char *sql);

/* Fails the test unless pragma integrity_check says ok. */
void sample_check_integrity(const char *path);

/* The bytes of a file; the caller frees them. */
uint8_t *sample_read_file(const char *path, long *size);
void sample_write_file(const char *path, const void *data, long size);

/* ---- other processes ---- */

struct sample_holder {
    int pid;
    int until; /* closing it lets go */
};

/* A process that has run the SQL on a connection of its own, and keeps that open. */
struct sample_holder sample_hold(const char *path, const char *sql);

/* Have the process end: its connection closed in good order, or with whatever was under way left as
 * by kill -9. */
void sample_let_go(struct sample_holder holder);
void sample_kill(struct sample_holder holder);

/* A process that has run the SQL on a connection of its own and closes that after so many
 * milliseconds. */
struct sample_holder sample_hold_for(const char *path, const char *sql, unsigned ms);

/* ---- through struct database; what fails here fails the test ---- */

const struct page_hasher *sample_hasher(void);
struct database *sample_open(const char *path, unsigned flags, uint32_t timeout_ms);
void sample_scan(struct database *db, struct page_index *index);

/* The root of what a fresh connection sees. */
void sample_root(const char *path, uint8_t root[PAGE_ROOT_SIZE]);

/* Fails the test unless both files have the same root. */
void sample_check_same(const char *a, const char *b);

/*
 * In the write transaction that is open, write the pages of the source that differ, and its length.
 * Returns what the writing did; *written says how many pages differ.
 */
int sample_write(const char *source_path, struct database *target, int *written);

/* Make the target what the source is, committed. Returns how many pages differed. */
int sample_carry(const char *source_path, struct database *target);

#endif
