#include "protocol/page/writeback.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* Fewer bytes are not worth a call. */
#define PART 1048576u

struct writeback {
    int fd;
    pthread_t thread;
    pthread_mutex_t mutex; /* over what follows */
    pthread_cond_t changed;
    uint64_t from; /* what is before it the kernel was told to write */
    uint64_t to;   /* what is before it may be written */
    int ended;
};

static void *run(void *arg)
{
    struct writeback *writeback = arg;

    pthread_mutex_lock(&writeback->mutex);
    while (!writeback->ended) {
        uint64_t from = writeback->from, len = writeback->to - from;

        if (len < PART) {
            pthread_cond_wait(&writeback->changed, &writeback->mutex);
            continue;
        }
        writeback->from += len;
        pthread_mutex_unlock(&writeback->mutex);
        sync_file_range(writeback->fd, (off_t)from, (off_t)len, SYNC_FILE_RANGE_WRITE);
        pthread_mutex_lock(&writeback->mutex);
    }
    pthread_mutex_unlock(&writeback->mutex);
    return NULL;
}

struct writeback *writeback_new(const char *path, uint64_t from)
{
    struct writeback *new = calloc(1, sizeof(*new));

    if (new == NULL)
        return NULL;
    new->from = new->to = from;
    pthread_mutex_init(&new->mutex, NULL);
    pthread_cond_init(&new->changed, NULL);
    new->fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (new->fd < 0 || pthread_create(&new->thread, NULL, run, new) != 0) {
        if (new->fd >= 0)
            close(new->fd);
        pthread_cond_destroy(&new->changed);
        pthread_mutex_destroy(&new->mutex);
        free(new);
        return NULL;
    }
    return new;
}

void writeback_note(struct writeback *writeback, uint64_t to)
{
    if (writeback == NULL)
        return;
    pthread_mutex_lock(&writeback->mutex);
    if (to > writeback->to) {
        writeback->to = to;
        if (to - writeback->from >= PART)
            pthread_cond_signal(&writeback->changed);
    }
    pthread_mutex_unlock(&writeback->mutex);
}

void writeback_free(struct writeback *writeback)
{
    if (writeback == NULL)
        return;
    pthread_mutex_lock(&writeback->mutex);
    writeback->ended = 1;
    pthread_cond_signal(&writeback->changed);
    pthread_mutex_unlock(&writeback->mutex);
    pthread_join(writeback->thread, NULL);
    close(writeback->fd);
    pthread_cond_destroy(&writeback->changed);
    pthread_mutex_destroy(&writeback->mutex);
    free(writeback);
}
