#include "origin/loop_watch.h"

#include <stdlib.h>
#include <time.h>

#include <uv.h>

struct loop_watch {
    uv_prepare_t prepare;
    uint64_t last;     /* when the turn began; 0: none has */
    uint64_t last_cpu; /* what the thread had taken by then */
    uint64_t last_idle;
    struct loop_watch_stats stats;
};

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void note(struct loop_watch_stats *stats, uint64_t wall, uint64_t cpu)
{
    stats->turns++;
    stats->busy_ns += wall;
    if (wall > stats->longest_ns)
        stats->longest_ns = wall;
    if (cpu > stats->longest_cpu_ns)
        stats->longest_cpu_ns = cpu;
    stats->long_turns += wall > LOOP_WATCH_LONG_NS;
    stats->long_cpu_turns += cpu > LOOP_WATCH_LONG_NS;
}

static void prepare_cb(uv_prepare_t *prepare)
{
    struct loop_watch *watch = prepare->data;
    uint64_t now = uv_hrtime();
    uint64_t cpu = thread_cpu_ns();
    uint64_t idle = uv_metrics_idle_time(prepare->loop);
    uint64_t slept = idle - watch->last_idle;
    uint64_t took = now - watch->last;

    if (watch->last != 0)
        note(&watch->stats, took > slept ? took - slept : 0, cpu - watch->last_cpu);
    watch->last = now;
    watch->last_cpu = cpu;
    watch->last_idle = idle;
}

struct loop_watch *loop_watch_new(uv_loop_t *loop)
{
    struct loop_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL || uv_loop_configure(loop, UV_METRICS_IDLE_TIME) != 0) {
        free(watch);
        return NULL;
    }
    uv_prepare_init(loop, &watch->prepare);
    watch->prepare.data = watch;
    uv_prepare_start(&watch->prepare, prepare_cb);
    uv_unref((uv_handle_t *)&watch->prepare);
    return watch;
}

static void closed_cb(uv_handle_t *handle)
{
    free(handle->data);
}

void loop_watch_close(struct loop_watch *watch)
{
    if (watch != NULL)
        uv_close((uv_handle_t *)&watch->prepare, closed_cb);
}

void loop_watch_read(const struct loop_watch *watch, struct loop_watch_stats *stats)
{
    *stats = watch->stats;
}
