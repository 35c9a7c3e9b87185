#include "lockstore/secret.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "protocol/base/log.h"

char *secret_copy(const char *text, size_t len)
{
    char *copy = malloc(len + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void secret_free(char *text)
{
    if (text == NULL)
        return;
    explicit_bzero(text, strlen(text));
    free(text);
}

void secret_heap_free(void *memory)
{
    if (memory == NULL)
        return;
    explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

void *secret_heap_realloc(void *memory, size_t size)
{
    size_t old_size = memory != NULL ? malloc_usable_size(memory) : 0;
    void *larger = malloc(size > 0 ? size : 1);

    if (larger == NULL)
        return NULL;
    if (memory != NULL)
        memcpy(larger, memory, old_size < size ? old_size : size);
    secret_heap_free(memory);
    return larger;
}

void secret_hide_process(void)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        log_line(LOG_WARNING, "this process could not be kept out of core files");
}
