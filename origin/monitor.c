#include "origin/monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "origin/catalog.h"
#include "origin/database_watch.h"
#include "origin/health.h"
#include "origin/http_server.h"
#include "origin/listeners.h"
#include "origin/loop_watch.h"
#include "origin/memory_budget.h"
#include "origin/metrics.h"
#include "origin/notify.h"
#include "origin/scan_cache.h"
#include "origin/stream_cache.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"

#define BEAT_MS 1000

struct monitor {
    struct metrics *metrics;
    struct health *health;
    struct database_watch *databases;
    struct http_server *http;          /* NULL: none */
    const struct listeners *listeners; /* NULL: not looked at (any more) */
    const struct loop_watch *loop;     /* likewise */
    struct scan_cache *scans;
    struct stream_cache *streams;
    struct memory_budget *budget;
    uint64_t stuck_ms;
    uint64_t watchdog_ms; /* how often systemd wants to hear; 0: not at all */
    uint64_t notified;    /* clock_monotonic_ms */
    uint64_t checked;     /* when the last look at the databases was asked for */
    uv_timer_t beat;
    uv_work_t check;
    int is_checking;
    int is_stopping;
    struct health_work work;      /* the check's */
    char faults[HEALTH_TEXT_MAX]; /* that the check found */
};

/* ---- HTTP, on the server's thread ---- */

static int answer_health(struct monitor *monitor, struct http_answer *answer)
{
    answer->content_type = "application/json";
    if (!health_is_good(monitor->health, clock_monotonic_ms(), &answer->body))
        answer->status = 503;
    return 1;
}

static int answer_metrics(struct monitor *monitor, struct http_answer *answer)
{
    struct metrics_now now = {.is_healthy =
                                  health_is_good(monitor->health, clock_monotonic_ms(), NULL),
                              .memory_used = memory_budget_used(monitor->budget),
                              .memory_max = memory_budget_max(monitor->budget)};
    struct error error;

    scan_cache_read(monitor->scans, &now.scans);
    stream_cache_read(monitor->streams, &now.streams);
    answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    if (metrics_render(monitor->metrics, &now, &answer->body, &error) != 0) {
        answer->status = 500;
        answer->body.len = 0;
    }
    return 1;
}

static int answer(void *user, const char *path, struct http_answer *answer)
{
    if (strcmp(path, "/healthz") == 0)
        return answer_health(user, answer);
    if (strcmp(path, "/metrics") == 0)
        return answer_metrics(user, answer);
    return 0;
}

/* ---- looking around ---- */

static void check_work(uv_work_t *check)
{
    struct monitor *monitor = check->data;

    health_begin(monitor->health, &monitor->work, "looking at the databases");
    database_watch_check(monitor->databases, monitor->faults, sizeof(monitor->faults));
    health_end(monitor->health, &monitor->work);
}

static void check_done(uv_work_t *check, int status)
{
    struct monitor *monitor = check->data;

    (void)status;
    monitor->is_checking = 0;
    health_set_problem(monitor->health, HEALTH_DATABASES, monitor->faults);
    health_set_problem(monitor->health, HEALTH_WORKERS, NULL);
}

/* Have a worker look at the databases. That it comes to that shows that one is free now and then.
 */
static void check_databases(struct monitor *monitor, uint64_t now)
{
    char text[HEALTH_TEXT_MAX];

    if (!monitor->is_checking) {
        monitor->is_checking = 1;
        monitor->checked = now;
        uv_queue_work(monitor->beat.loop, &monitor->check, check_work, check_done);
    } else if (now - monitor->checked > monitor->stuck_ms) {
        snprintf(text, sizeof(text), "no worker has been free for %llu s",
                 (unsigned long long)(now - monitor->checked) / 1000);
        health_set_problem(monitor->health, HEALTH_WORKERS, text);
    }
}

static void check_listeners(struct monitor *monitor)
{
    struct error error = {0};

    if (monitor->listeners != NULL)
        listeners_check(monitor->listeners, &error);
    health_set_problem(monitor->health, HEALTH_LISTENERS, error.text);
}

static void beat_cb(uv_timer_t *timer)
{
    struct monitor *monitor = timer->data;
    struct loop_watch_stats turns;
    uint64_t now = clock_monotonic_ms();

    health_beat(monitor->health);
    check_listeners(monitor);
    if (monitor->loop != NULL) {
        loop_watch_read(monitor->loop, &turns);
        metrics_loop(monitor->metrics, &turns);
    }
    if (!monitor->is_stopping)
        check_databases(monitor, now);
    if (monitor->watchdog_ms > 0 && now - monitor->notified >= monitor->watchdog_ms / 2 &&
        health_makes_progress(monitor->health, now)) {
        monitor->notified = now;
        notify_systemd("WATCHDOG=1");
    }
}

/* ---- the life of a monitor ---- */

static void add_paths(struct monitor *monitor, const struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++)
        database_watch_add(monitor->databases, strchr(catalog->entries[i], '=') + 1,
                           DATABASE_WATCH_NAMED);
    if (catalog->root != NULL)
        database_watch_add(monitor->databases, catalog->root, DATABASE_WATCH_FOLDER);
}

int monitor_new(struct monitor **monitor, uv_loop_t *loop, const struct monitor_options *options,
                struct error *error)
{
    struct monitor *new = calloc(1, sizeof(*new));
    struct http_server_options http = {.address = options->http, .answer = answer, .user = new};
    int rc = 0;

    *monitor = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->stuck_ms = options->stuck_ms;
    new->scans = options->scans;
    new->streams = options->streams;
    new->budget = options->budget;
    new->watchdog_ms = notify_watchdog_ms();
    new->metrics = metrics_new();
    new->health = health_new(options->stuck_ms);
    new->databases = database_watch_new(options->is_read_only);
    if (new->metrics == NULL || new->health == NULL || new->databases == NULL)
        rc = error_set(error, ERR_INTERNAL, "out of memory");
    else
        add_paths(new, options->catalog);
    if (rc == 0 && options->http != NULL)
        rc = http_server_start(&new->http, &http, error);
    if (rc != 0) {
        monitor_free(new);
        return rc;
    }
    uv_timer_init(loop, &new->beat);
    new->beat.data = new->check.data = new;
    *monitor = new;
    return 0;
}

struct metrics *monitor_metrics(struct monitor *monitor)
{
    return monitor->metrics;
}

struct health *monitor_health(struct monitor *monitor)
{
    return monitor->health;
}

struct database_watch *monitor_databases(struct monitor *monitor)
{
    return monitor->databases;
}

void monitor_watch(struct monitor *monitor, const struct listeners *listeners,
                   const struct loop_watch *loop)
{
    uint64_t interval = BEAT_MS;

    monitor->listeners = listeners;
    monitor->loop = loop;
    if (monitor->http == NULL && monitor->watchdog_ms == 0)
        return;
    if (monitor->watchdog_ms > 0 && monitor->watchdog_ms / 4 < interval)
        interval = monitor->watchdog_ms / 4 > 0 ? monitor->watchdog_ms / 4 : 1;
    uv_timer_start(&monitor->beat, beat_cb, 0, interval);
    beat_cb(&monitor->beat);
}

void monitor_set_stopping(struct monitor *monitor)
{
    if (monitor == NULL)
        return;
    monitor->is_stopping = 1;
    monitor->listeners = NULL;
    monitor->loop = NULL;
    health_set_problem(monitor->health, HEALTH_STOPPING, "it is being stopped");
}

void monitor_close(struct monitor *monitor)
{
    if (monitor == NULL)
        return;
    http_server_free(monitor->http);
    monitor->http = NULL;
    uv_close((uv_handle_t *)&monitor->beat, NULL);
}

void monitor_free(struct monitor *monitor)
{
    if (monitor == NULL)
        return;
    database_watch_free(monitor->databases);
    health_free(monitor->health);
    metrics_free(monitor->metrics);
    free(monitor);
}
