/*
 * error: what went wrong, as a code from one list and a text for a person.
 *
 * Every function that can fail returns 0 or one of these codes, and fills the caller's
 * struct error, which may be NULL where the caller does not want the text. The text grows
 * outwards: the place that fails says what failed (error_set), each boundary on the way up
 * says what it was doing (error_wrap), main prints the whole once.
 */
#ifndef LOCKSTEP_BASE_ERROR_H
#define LOCKSTEP_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

/*
 * X(NAME, exit status, what it means). The NAME crosses the wire in an ERROR message, so a name is
 * never given a new meaning. The exit statuses stand in README.md; they start at 64, as BSD's sysexits
 * do, so that `lockstep run` can pass a job's own small statuses through and both stay readable.
 */
#define ERROR_MAP(X)                                                                               \
    X(USAGE, 64, "the command line is wrong")                                                      \
    X(NOT_A_DATABASE, 65, "the file is not a usable SQLite database")                              \
    X(NO_DATABASE, 66, "there is no database at that path")                                        \
    X(NO_LINK, 68, "the other side could not be reached, or the link broke")                       \
    X(NO_PROGRAM, 69, "the far side has no lockstep-origin that can be started")                   \
    X(INTERNAL, 70, "a defect in Lockstep, or memory ran out")                                     \
    X(IO, 74, "reading or writing a file failed")                                                  \
    X(TIMEOUT, 75, "a deadline passed")                                                            \
    X(PROTOCOL, 76, "the other side sent something that the protocol does not allow")              \
    X(NOT_ALLOWED, 77, "a path or an operation is outside what is permitted")                      \
    X(AUTH, 78, "authentication failed, or the host key is not trusted")                           \
    X(BUSY, 80, "the database stayed locked by another program for longer than the time-out")      \
    X(VERIFY_FAILED, 81, "the contents of the two sides are not the same")                         \
    X(STALE_BASE, 82, "the origin moved on since this copy was pulled")                            \
    X(FOREIGN_LINEAGE, 83, "the two databases do not share a lineage")                             \
    X(UNPUSHED, 84, "the local copy has changes that were never pushed")                           \
    X(LOCK_HELD, 85, "somebody else holds the lock")                                               \
    X(LOCK_LOST, 86, "the lock was lost while it was needed")                                      \
    X(FENCED, 87, "a newer holder of the lock has fenced this one off")                            \
    X(STORE_UNUSABLE, 88, "the lock store cannot be used")                                         \
    X(DISK_FULL, 89, "no space was left on a file system")                                         \
    X(PAGE_SIZE, 90, "the two databases have different page sizes")                                \
    X(JOB_FAILED, 91, "the job could not be started or was killed")                                \
    X(MOVED, 92, "the database changed while it was being read, again and again")                  \
    X(TRY_LATER, 93,                                                                               \
      "the origin is being stopped or has too many guests; the same command works later")

enum error_code {
    ERR_NONE = 0,
#define X(name, status, meaning) ERR_##name,
    ERROR_MAP(X)
#undef X
    ERR_COUNT
};

/* A failure and its text. Needs no release. error_init, or {0}, makes it empty. */
struct error {
    int code;        /* ERR_NONE, or the code of the failure */
    char text[1000]; /* NUL-terminated, cut where it would not fit, without a newline at its end */
};

void error_init(struct error *error);

/* Set code and text, replacing what was there. Returns code. error may be NULL. */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The same, with ": ", strerror(errno_value) and, for what files do, the next step behind the text. ENOSPC and EDQUOT turn the code into
 * ERR_DISK_FULL, EACCES and EPERM are left as `code` says. Returns the code that was set.
 */
int error_set_errno(struct error *error, int code, int errno_value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Put "TEXT: " before the text that is there, unless it begins so already. Returns the code that is there, unchanged. */
int error_wrap(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "STALE_BASE" for ERR_STALE_BASE; "NONE" for 0 and "INTERNAL" for a code that is not on the list. */
const char *error_name(int code);

/* The code with that name; ERR_INTERNAL for a name that this version does not know. */
int error_from_name(const char *name, size_t name_len);

/* The exit status that stands for the code, 0 for ERR_NONE. */
int error_exit_status(int code);

/* What the code means, in a few words. */
const char *error_meaning(int code);

#endif
