/*
 * sidecar_file: the file of a sidecar, its tables, its transactions: what the parts of sidecar.h share. Nobody else includes this.
 */
#ifndef LOCKSTEP_SYNC_SIDECAR_FILE_H
#define LOCKSTEP_SYNC_SIDECAR_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/sync/sidecar.h"

struct sqlite3;
struct sqlite3_stmt;

struct sidecar {
    char *path;
    struct sqlite3 *db;  /* NULL until the file exists */
    int layout;          /* of the file, while db is there; an older one is brought up to date by the first that writes */
    uint32_t timeout_ms;
};

/* Turn SQLite's last error on this connection into ours. doing: "reading". */
int sidecar_fail(struct sidecar *sidecar, const char *doing, struct error *error);

int sidecar_execute(struct sidecar *sidecar, const char *sql, const char *doing, struct error *error);

/* Connect to the file. create: make it, with its tables, where it is missing. Leaves db NULL where it is missing and create is 0. */
int sidecar_connect(struct sidecar *sidecar, int create, struct error *error);

/* Copy a blob column of exactly size bytes; 0 and zeros where it is NULL or of another size. */
int sidecar_column(struct sqlite3_stmt *stmt, int column, void *out, size_t size);

/* A parameter of a statement: bytes, a number or a text. */
struct parameter {
    const void *bytes; /* NULL: a number */
    size_t size;       /* of bytes; 0: a NUL-terminated text */
    uint64_t number;
};
#define BYTES(field)  {.bytes = (field), .size = sizeof(field)}
#define SIZED(p, len) {.bytes = (p), .size = (len)}
#define NUMBER(value) {.number = (uint64_t)(value)}
#define TEXT(text)    {.bytes = (text)}


/* Run one statement that returns no rows. */
int sidecar_write(struct sidecar *sidecar, const char *sql, const struct parameter *parameters, size_t count, struct error *error);

/* Open the write transaction that sidecar_end ends, creating the sidecar first where it is missing; *state is what it says. */
int sidecar_begin(struct sidecar *sidecar, struct sidecar_state *state, struct error *error);

/* Commit if rc is 0, else undo. Returns rc, or why the commit failed. */
int sidecar_end(struct sidecar *sidecar, int rc, struct error *error);

#endif
