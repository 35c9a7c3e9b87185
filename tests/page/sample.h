/* sample: databases of many kinds for the tests of the page layer, made with SQLite's own hands. */
#ifndef LOCKSTEP_TESTS_PAGE_SAMPLE_H
#define LOCKSTEP_TESTS_PAGE_SAMPLE_H

#include <stdint.h>

struct database;

/* A temporary directory for this test program, removed with what is in it by sample_release. */
void sample_init(void);
void sample_release(void);

/* The path of a file of that name in the directory: one of a few static buffers. Its files are
 * deleted first. */
char *sample_path(const char *name);

/* Run SQL on the file on a connection of its own, failing the test where SQLite does. */
void sample_sql(const char *path, const char *sql);

/* The first column of the first row, as a number, on a connection of its own. */
int64_t sample_number(const char *path, const char *sql);

/* Fails the test unless pragma integrity_check says ok. */
void sample_check_integrity(const char *path);

/* The bytes of a file; the caller frees them. */
uint8_t *sample_read_file(const char *path, long *size);
void sample_write_file(const char *path, const void *data, long size);

#endif
