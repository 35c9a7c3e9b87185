/*
 * monitor: tells others how a daemon is: Prometheus and whoever asks over HTTP, and systemd's
 * watchdog.
 *
 *   /healthz   200 or 503 and JSON (health.h)
 *   /metrics   Prometheus' text format (metrics.h)
 *
 * With HTTP or a watchdog it looks around once a second. Without
 * either it costs nothing but the counting. WATCHDOG=1 is sent as long as there is progress; what a
 * restart would not mend does not stop it.
 */
#ifndef LOCKSTEP_ORIGIN_MONITOR_H
#define LOCKSTEP_ORIGIN_MONITOR_H

#include <stdint.h>

struct catalog;
struct database_watch;
struct error;
struct health;
struct listeners;
struct loop_watch;
struct memory_budget;
struct metrics;
struct monitor;
struct scan_cache;
struct stream_cache;
struct uv_loop_s;

struct monitor_options {
    const char *http;  /* where to listen; NULL: nowhere */
    uint64_t stuck_ms; /* health.h */
    const struct catalog *catalog;
    int is_read_only;  /* the databases are copies that others write */
    struct scan_cache *scans; /* these three are borrowed until monitor_close */
    struct stream_cache *streams;
    struct memory_budget *budget;
};

/* Start listening for HTTP; health is "starting" until monitor_watch. ERR_USAGE, ERR_IO,
 * ERR_INTERNAL; *monitor is NULL then. */
int monitor_new(struct monitor **monitor, struct uv_loop_s *loop,
                const struct monitor_options *options, struct error *error);

/* For those who count, and those who work. They live as long as the monitor. */
struct metrics *monitor_metrics(struct monitor *monitor);
struct health *monitor_health(struct monitor *monitor);
struct database_watch *monitor_databases(struct monitor *monitor);

/* All is ready: look at these and at the rest from now on. Both are borrowed until
 * monitor_set_stopping; loop may be NULL. */
void monitor_watch(struct monitor *monitor, const struct listeners *listeners,
                   const struct loop_watch *loop);

/* The daemon is being stopped: /healthz says so, the watchdog goes on. NULL is allowed. */
void monitor_set_stopping(struct monitor *monitor);

/* Stop all of it. The loop has some callbacks left to run for it; then monitor_free. NULL is
 * allowed. */
void monitor_close(struct monitor *monitor);

/* After the loop has run out. NULL is allowed. */
void monitor_free(struct monitor *monitor);

#endif
