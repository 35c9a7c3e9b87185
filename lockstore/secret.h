/*
 * secret: texts that must not outlive their use, and memory that must not end in a core file.
 *
 * What is wiped: every copy that our own code makes, and, through the allocators below, what
 * libcurl and jansson held while they sent or parsed it. What cannot be: the process's own
 * environment, and OpenSSL's short-lived buffers. Because of the latter there is no list of pages
 * to hide with MADV_DONTDUMP that would be complete, and the whole process is made undumpable.
 */
#ifndef LOCKSTEP_LOCKSTORE_SECRET_H
#define LOCKSTEP_LOCKSTORE_SECRET_H

#include <stddef.h>

/* A NUL-terminated copy of len bytes of text; NULL when memory ran out. Freed by secret_free. */
char *secret_copy(const char *text, size_t len);

/* Wipe and free. NULL is allowed. */
void secret_free(char *text);

/*
 * free() and realloc() that wipe what they give back to the heap, for libraries that take
 * allocators. The memory is malloc's.
 */
void secret_heap_free(void *memory);
void *secret_heap_realloc(void *memory, size_t size);

/*
 * From now on this process leaves no core file and cannot be traced by other processes of its user
 * (PR_SET_DUMPABLE 0). Programs that it starts are not affected: execve sets it back. Chosen over
 * RLIMIT_CORE, which a job started by us would inherit.
 */
void secret_hide_process(void);

#endif
