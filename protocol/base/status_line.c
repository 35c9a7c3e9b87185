#include "protocol/base/status_line.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATUS_MAX 400
#define WHOLE_MAX  8192
/* To the first column, and away with what stands there. */
#define CLEAR "\r\033[K"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char status[STATUS_MAX + 1]; /* "" for none */

static void put(const char *text, size_t len)
{
    if (write(STDERR_FILENO, text, len) < 0)
        return;
}

void status_line_write(const char *text, size_t len)
{
    char whole[WHOLE_MAX];
    int used;

    pthread_mutex_lock(&lock);
    if (status[0] == '\0' || len > WHOLE_MAX - STATUS_MAX - sizeof(CLEAR)) {
        put(text, len);
    } else {
        used = snprintf(whole, sizeof(whole), CLEAR "%.*s%s", (int)len, text, status);
        put(whole, (size_t)used);
    }
    pthread_mutex_unlock(&lock);
}

void status_line_set(const char *text)
{
    char whole[STATUS_MAX + 2 * sizeof(CLEAR)];
    int used = 0;

    pthread_mutex_lock(&lock);
    if (text != NULL)
        used = snprintf(whole, sizeof(whole), "\r%.400s\033[K", text);
    else if (status[0] != '\0')
        used = snprintf(whole, sizeof(whole), CLEAR);
    snprintf(status, sizeof(status), "%.400s", text != NULL ? text : "");
    if (used > 0)
        put(whole, (size_t)used);
    pthread_mutex_unlock(&lock);
}
