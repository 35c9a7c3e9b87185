#include "origin/daemon.h"

#include <signal.h>
#include <string.h>

#include <uv.h>

#include "origin/bell.h"
#include "origin/guest.h"
#include "origin/metrics.h"
#include "origin/monitor.h"
#include "origin/loop_watch.h"
#include "origin/memory_budget.h"
#include "origin/notify.h"
#include "origin/turn_queue.h"
#include "origin/roster.h"
#include "origin/scan_cache.h"
#include "origin/stream_cache.h"
#include "origin/visit.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/link/link_tls.h"
#include "protocol/link/loop_turn.h"

#define SIGNALS 3
/* Connections that are taken in a turn of the loop that has been long already: each takes 50 us. */
#define ACCEPTS_A_TURN 16

/* What SIGHUP has read again, on a worker. */
struct reading {
    uv_work_t work;
    int is_under_way;
    int is_wanted_again; /* SIGHUP came meanwhile */
    struct access *access;
    struct tls_context *context;
    struct error error;
};

struct daemon {
    const struct daemon_options *options;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    struct loop_watch *watch;    /* NULL where it cannot be had */
    struct loop_turn *turn;
    struct turn_wait accepting;  /* for the turn in which more connections are taken */
    unsigned accepts;            /* that were given time */
    struct bell *bell;
    struct memory_budget *budget;
    struct scan_cache *scans;
    struct stream_cache *streams;
    struct listeners *listeners;
    struct monitor *monitor;
    struct tls_context *context; /* for connections that come */
    struct reading reading;
    struct visit_house house;
    struct guest *guests;        /* the last that came is the first */
    unsigned guest_count;
    int is_stopping;
    int are_listeners_closed;
};

static void finish_if_gone(struct daemon *daemon);
static void reload(struct daemon *daemon);

/* ---- guests ---- */

static void guest_gone(struct guest *guest, void *user)
{
    struct daemon *daemon = user;
    struct guest_links *links = guest_links(guest);

    if (links->previous != NULL)
        guest_links(links->previous)->next = links->next;
    else
        daemon->guests = links->next;
    if (links->next != NULL)
        guest_links(links->next)->previous = links->previous;
    daemon->guest_count--;
    if (daemon->is_stopping)
        finish_if_gone(daemon);
    else
        listeners_retry(daemon->listeners);
}

static void accept_now(void *user)
{
    struct daemon *daemon = user;

    daemon->accepts = ACCEPTS_A_TURN;
    listeners_retry(daemon->listeners);
}

/* Whether one more is taken in this turn of the loop; else more will be in another one. */
static int has_time_to_accept(struct daemon *daemon)
{
    if (daemon->accepts > 0) {
        daemon->accepts--;
        return 1;
    }
    if (loop_turn_has_time(daemon->turn, TURN_SHORT))
        return 1;
    loop_turn_wait(daemon->turn, TURN_SHORT, &daemon->accepting);
    return 0;
}

static void on_connection(uv_stream_t *listener, void *user)
{
    struct daemon *daemon = user;
    const struct guest_options options = {.house = &daemon->house,
                                          .context = daemon->context,
                                          .turn = daemon->turn,
                                          .handshake_timeout_ms = daemon->options->handshake_timeout_ms,
                                          .idle_timeout_ms = daemon->options->idle_timeout_ms,
                                          .on_gone = guest_gone,
                                          .user = daemon};
    struct error error;
    struct guest *guest;

    if (daemon->guest_count >= daemon->options->max_connections || !has_time_to_accept(daemon)) {
        listeners_defer(daemon->listeners, listener);
        return;
    }
    metrics_connection_opened(daemon->house.metrics);
    if (guest_new(&guest, listener, &options, &error) != 0) {
        log_line(LOG_ERROR, "%s", error.text);
        metrics_connection_closed(daemon->house.metrics, error.code);
        listeners_defer(daemon->listeners, listener);
        return;
    }
    guest_links(guest)->next = daemon->guests;
    if (daemon->guests != NULL)
        guest_links(daemon->guests)->previous = guest;
    daemon->guests = guest;
    if (++daemon->guest_count == daemon->options->max_connections)
        log_line(LOG_WARNING, "%u connections are open, as many as --max-connections allows: others wait", daemon->guest_count);
}

/* ---- reloading ---- */

/* Read what SIGHUP has read again. On failure there is nothing of it. */
static int read_files(const struct daemon_options *options, struct reading *reading)
{
    struct tls_server_options tls = options->tls;
    int rc = access_new(&reading->access, &options->access, &reading->error);

    tls.is_cert_needed = options->access.tokens_file == NULL;
    if (rc == 0)
        rc = tls_context_new_server(&reading->context, &tls, &reading->error);
    if (rc == 0)
        return 0;
    access_free(reading->access);
    reading->access = NULL;
    return rc;
}

/* What was read is in force from now on. */
static void use_files(struct daemon *daemon)
{
    struct reading *reading = &daemon->reading;

    roster_replace_take(daemon->house.roster, reading->access);
    tls_context_free(daemon->context);
    daemon->context = reading->context;
    reading->access = NULL;
    reading->context = NULL;
}

/* For the first time. */
static int load(struct daemon *daemon, struct error *error)
{
    const struct daemon_options *options = daemon->options;
    struct reading *reading = &daemon->reading;
    int rc = read_files(options, reading);

    if (rc != 0) {
        *error = reading->error;
        return rc;
    }
    daemon->house.roster = roster_new(reading->access, options->max_per_client, (options->max_connections + 1) / 2);
    daemon->context = reading->context;
    reading->context = NULL;
    if (daemon->house.roster == NULL) {
        access_free(reading->access);
        rc = error_set(error, ERR_INTERNAL, "out of memory");
    }
    reading->access = NULL;
    return rc;
}

static void read_work(uv_work_t *work)
{
    struct daemon *daemon = work->data;

    daemon->reading.error.code = ERR_NONE;
    read_files(daemon->options, &daemon->reading);
}

static void read_cb(uv_work_t *work, int status)
{
    struct daemon *daemon = work->data;
    struct reading *reading = &daemon->reading;

    (void)status;
    reading->is_under_way = 0;
    if (reading->error.code == ERR_NONE) {
        use_files(daemon);
        log_line(LOG_INFO, "certificate, key and lists were read again");
    } else {
        log_line(LOG_ERROR, "reloading: %s; what was read before stays in force", reading->error.text);
    }
    if (reading->is_wanted_again)
        reload(daemon);
    else if (!daemon->is_stopping)
        notify_systemd("READY=1");
}

/* Files may be large, and their disk slow: they are read on a worker. */
static void reload(struct daemon *daemon)
{
    struct reading *reading = &daemon->reading;

    reading->is_wanted_again = reading->is_under_way;
    if (reading->is_under_way)
        return;
    notify_systemd_of_reload();
    reading->is_under_way = 1;
    reading->work.data = daemon;
    uv_queue_work(&daemon->loop, &reading->work, read_work, read_cb);
}

/* ---- stopping ---- */

static void finish_if_gone(struct daemon *daemon)
{
    if (daemon->guest_count > 0 || !daemon->are_listeners_closed)
        return;
    bell_close(daemon->bell);
    monitor_close(daemon->monitor);
    loop_watch_close(daemon->watch);
    loop_turn_close(daemon->turn);
    for (int i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&daemon->signals[i], NULL);
}

static void listeners_closed(void *user)
{
    struct daemon *daemon = user;

    daemon->are_listeners_closed = 1;
    finish_if_gone(daemon);
}

static void stop(struct daemon *daemon)
{
    struct error error;

    if (daemon->is_stopping)
        return;
    daemon->is_stopping = 1;
    notify_systemd("STOPPING=1");
    monitor_set_stopping(daemon->monitor);
    error_set(&error, ERR_TRY_LATER, "the origin is being stopped; try again in a moment");
    loop_turn_leave(daemon->turn, &daemon->accepting);
    listeners_close(daemon->listeners, listeners_closed, daemon);
    for (struct guest *guest = daemon->guests; guest != NULL; guest = guest_links(guest)->next)
        guest_stop(guest, &error);
}

static void signal_cb(uv_signal_t *handle, int signum)
{
    struct daemon *daemon = handle->data;

    if (signum == SIGHUP && !daemon->is_stopping) {
        reload(daemon);
    } else if (signum != SIGHUP) {
        log_line(LOG_INFO, "stopping");
        stop(daemon);
    }
}

/* ---- starting ---- */

static int listen_everywhere(struct daemon *daemon, struct error *error)
{
    const struct daemon_options *options = daemon->options;
    unsigned count = 0;
    int rc = listeners_add_inherited(daemon->listeners, &count, error);

    if (rc == 0 && count == 0 && options->listen[0] == NULL)
        rc = error_set(error, ERR_USAGE, "where to listen? for example --listen [::]:%d", LINK_TLS_PORT);
    for (int i = 0; rc == 0 && i < LISTENERS_MAX && options->listen[i] != NULL; i++)
        rc = listeners_add(daemon->listeners, options->listen[i], error);
    return rc;
}

static void watch_signals(struct daemon *daemon)
{
    static const int numbers[SIGNALS] = {SIGHUP, SIGTERM, SIGINT};

    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(&daemon->loop, &daemon->signals[i]);
        daemon->signals[i].data = daemon;
        uv_signal_start(&daemon->signals[i], signal_cb, numbers[i]);
    }
}

/* Make what the sessions share. */
static int make_house(struct daemon *daemon, struct error *error)
{
    daemon->bell = bell_new(&daemon->loop);
    daemon->turn = loop_turn_new(&daemon->loop, NULL);
    daemon->accepting.on_time = accept_now;
    daemon->accepting.user = daemon;
    daemon->budget = memory_budget_new(daemon->options->max_memory);
    if (daemon->bell != NULL) {
        daemon->house.pushes = turn_queue_new(daemon->bell);
        daemon->house.runs = turn_queue_new(daemon->bell);
    }
    if (daemon->bell != NULL && daemon->budget != NULL)
        daemon->scans = scan_cache_new(daemon->bell, daemon->budget);
    if (daemon->scans != NULL)
        daemon->streams = stream_cache_new(daemon->bell, daemon->budget, daemon->options->max_spool);
    daemon->house.session.scans = daemon->scans;
    daemon->house.session.streams = daemon->streams;
    if (daemon->streams == NULL || daemon->turn == NULL || daemon->house.pushes == NULL || daemon->house.runs == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    return 0;
}

/* What counts and looks after what. */
static int start_monitor(struct daemon *daemon, struct error *error)
{
    const struct monitor_options options = {.http = daemon->options->http,
                                            .stuck_ms = daemon->options->stuck_ms,
                                            .catalog = &daemon->options->catalog,
                                            .is_read_only = daemon->options->session.origin != NULL,
                                            .scans = daemon->scans,
                                            .streams = daemon->streams,
                                            .budget = daemon->budget};
    int rc = monitor_new(&daemon->monitor, &daemon->loop, &options, error);

    if (rc != 0)
        return rc;
    daemon->house.metrics = monitor_metrics(daemon->monitor);
    daemon->house.health = monitor_health(daemon->monitor);
    daemon->house.databases = monitor_databases(daemon->monitor);
    return 0;
}

static void tell_ready(struct daemon *daemon)
{
    monitor_watch(daemon->monitor, daemon->listeners, daemon->watch);
    notify_systemd("READY=1");
    log_line(LOG_INFO, "ready");
}

int daemon_run(const struct daemon_options *options, struct error *error)
{
    struct daemon daemon = {.options = options, .house = {.catalog = &options->catalog, .lock_urls = &options->lock_urls, .session = options->session}};
    int rc = load(&daemon, error);

    uv_loop_init(&daemon.loop);
    if (rc == 0) {
        daemon.watch = loop_watch_new(&daemon.loop);
        rc = make_house(&daemon, error);
    }
    if (rc == 0)
        rc = listeners_new(&daemon.listeners, &daemon.loop, on_connection, &daemon, error);
    if (daemon.listeners != NULL) {
        watch_signals(&daemon);
        rc = start_monitor(&daemon, error);
        if (rc == 0)
            rc = listen_everywhere(&daemon, error);
        if (rc == 0)
            tell_ready(&daemon);
        else
            stop(&daemon);
        uv_run(&daemon.loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&daemon.loop);
    turn_queue_free(daemon.house.pushes);
    turn_queue_free(daemon.house.runs);
    stream_cache_free(daemon.streams);
    scan_cache_free(daemon.scans);
    memory_budget_free(daemon.budget);
    monitor_free(daemon.monitor);
    roster_free(daemon.house.roster);
    tls_context_free(daemon.context);
    return rc;
}
