/*
 * `lockstep run`: lock → fence and pull → job → push → release.
 *
 *   LOCKING --acquired--> PULLING --> WORKING --exit 0--> PUSHING --> RELEASING --> end
 *      |                  |   ^  |       |                   |           ^
 *      |                  |   |  |       +--other status, lost lock------+
 *      |   fenced: raise--+   |  +--failed-------------------------------+
 *      |                      +--unpushed local changes: kept beside, then again
 *      +--failed---------------------------------------------------------> end
 *
 * Every step ends in a callback that calls one of the functions next_*; finish() is the only way to the end. The first error decides
 * the exit status; what happens on the way out is said, but does not hide it.
 */
#include "replica/commands.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/link/endpoint.h"
#include "replica/copy_guard.h"
#include "replica/job.h"
#include "replica/progress.h"
#include "replica/report.h"
#include "replica/report_json.h"
#include "replica/run_lock.h"
#include "replica/run_preview.h"
#include "replica/run_view.h"
#include "replica/settings.h"
#include "replica/transfer.h"
#include "replica/transfer_progress.h"
#include "replica/unpushed.h"

/* A link that broke is tried again: a push is the same push by its id, and the origin's guards decide. */
#define LINK_ATTEMPTS  4
#define LINK_DELAY_MS  1000
#define RAISES_MAX     3
#define SIGNALS        3
#define GUARD_POLL_MS  200

enum stage { LOCKING, PULLING, WORKING, PUSHING, RELEASING };

struct run {
    const struct settings *settings;
    struct endpoint origin;
    const char *local;
    char lock_url[1200];           /* "" for none */
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    uv_timer_t timer;              /* between attempts to reach the origin */
    int guard;                     /* descriptor that keeps other runs from this copy; -1: not taken */
    uint64_t guard_until;          /* when waiting for them ends */
    struct run_lock *lock;         /* NULL for none */
    uint32_t place;                /* in the line at the origin; 0: none */
    struct transfer *transfer;     /* at work */
    struct job *job;               /* at work */
    enum stage stage;
    struct sync_options sync;      /* with the fence that the lock gave */
    struct transfer_outcome outcome; /* of the pull */
    struct transfer_outcome pushed;
    struct run_summary summary;    /* for --json */
    struct progress *progress;
    struct lock_holder holder;     /* who has the lock that is waited for */
    uint64_t holder_seen;          /* when that was learned, clock_monotonic_ms; 0: nobody was seen */
    uint64_t started;
    int link_attempts;
    int raises;
    int lock_is_ours;
    int is_hurried;                /* we were asked to stop during the push: it is not tried again */
    int signal;                    /* that asked us to stop; 0: none */
    struct error error;            /* the first that happened */
    int exit_status;
};

static void next_pull(struct run *run);
static void next_push(struct run *run);
static void next_release(struct run *run);
static void finish(struct run *run);
static void on_copy_timer(uv_timer_t *timer);

/* Remember the first failure, say it, and go towards the end. */
static void fail(struct run *run, const struct error *error)
{
    if (run->error.code != ERR_NONE || run->exit_status != 0) {
        log_line(LOG_WARNING, "then: %s", error->text);
        return;
    }
    run->error = *error;
    run->exit_status = run->signal != 0 ? 128 + run->signal : error_exit_status(error->code);
    log_line(LOG_ERROR, "%s", error->text);
    report_defect(error);
}

/* ---- pull and push ---- */

static void on_timer(uv_timer_t *timer)
{
    struct run *run = timer->data;

    if (run->stage == PULLING)
        next_pull(run);
    else if (run->stage == PUSHING)
        next_push(run);
}

/* Whether the link broke in a way that may heal, and another attempt was arranged. */
static int try_again(struct run *run, const struct error *error)
{
    if ((error->code != ERR_NO_LINK && error->code != ERR_TIMEOUT) || run->link_attempts >= LINK_ATTEMPTS || run->is_hurried ||
        run->signal != 0 ||
        (run->lock != NULL && !run->lock_is_ours))
        return 0;
    log_line(LOG_WARNING, "%s; trying again", error->text);
    uv_timer_start(&run->timer, on_timer, LINK_DELAY_MS << run->link_attempts, 0);
    return 1;
}

/* Start a transfer; on_end comes later in any case. */
static void start_transfer(struct run *run, enum transfer_kind kind, void (*on_end)(void *, const struct transfer_outcome *))
{
    struct transfer_options options = {.kind = kind,
                                       .origin = &run->origin,
                                       .connect = &run->settings->connect,
                                       .local = run->local,
                                       .origin_name = run->settings->arguments[0],
                                       .sync = run->sync,
                                       .on_end = on_end,
                                       .user = run};
    struct error error = {0};

    run->link_attempts++;
    if (transfer_start(&run->transfer, &run->loop, &options, &error) != 0) {
        fail(run, &error);
        next_release(run);
    }
}

static void next_job(struct run *run);

static void on_pulled(void *user, const struct transfer_outcome *outcome)
{
    struct run *run = user;
    struct error error = outcome->error;

    run->transfer = NULL;
    run->outcome = *outcome;
    if (error.code == ERR_NONE) {
        run->summary.pulled = &run->outcome;
        report_sync(run->settings, "pulled", outcome);
        next_job(run);
        return;
    }
    if (error.code == ERR_FENCED && run->lock != NULL && run->lock_is_ours && outcome->fence_token >= run->sync.fence.token &&
        run->raises++ < RAISES_MAX) {
        log_line(LOG_WARNING, "the origin has seen token %llu: the lock object was deleted meanwhile; taking a higher token",
                 (unsigned long long)outcome->fence_token);
        run->stage = LOCKING;
        run_lock_raise(run->lock, outcome->fence_token);
        return;
    }
    if (error.code == ERR_UNPUSHED && !run->sync.discard && unpushed_keep(run->local, run->sync.timeout_ms, &error) == 0) {
        run->sync.discard = 1;
        next_pull(run);
        return;
    }
    if (try_again(run, &error))
        return;
    if (run->signal == 0)
        fail(run, &error);
    next_release(run);
}

static void next_pull(struct run *run)
{
    run->stage = PULLING;
    start_transfer(run, TRANSFER_PULL, on_pulled);
}

static void on_pushed(void *user, const struct transfer_outcome *outcome)
{
    struct run *run = user;

    run->transfer = NULL;
    if (outcome->error.code == ERR_NONE) {
        run->pushed = *outcome;
        run->summary.pushed = &run->pushed;
        report_sync(run->settings, "pushed", outcome);
        next_release(run);
        return;
    }
    if (try_again(run, &outcome->error))
        return;
    if (run->signal == 0)
        fail(run, &outcome->error);
    log_line(LOG_WARNING, "the job's changes are in %s and were not pushed; the next run keeps them beside it", run->local);
    next_release(run);
}

static void next_push(struct run *run)
{
    run->stage = PUSHING;
    start_transfer(run, TRANSFER_PUSH, on_pushed);
}

/* ---- the job ---- */

static void on_job_exit(void *user, int status, int signal)
{
    struct run *run = user;

    run->job = NULL;
    run->summary.job_ran = 1;
    run->summary.job_status = status;
    run->summary.job_signal = signal;
    if (run->error.code != ERR_NONE) {
        log_line(LOG_WARNING, "the job was stopped; nothing is pushed; what it changed is in %s, and the next run keeps it beside",
                 run->local);
        next_release(run);
        return;
    }
    if (signal != 0)
        log_line(LOG_INFO, "the job was killed by signal %d (%s)", signal, strsignal(signal));
    else
        log_line(LOG_INFO, "the job ended with status %d", status);
    if (status == 0 && signal == 0) {
        run->link_attempts = 0;
        next_push(run);
        return;
    }
    run->exit_status = signal != 0 ? 128 + signal : status;
    log_line(LOG_WARNING, "the job failed; nothing is pushed");
    next_release(run);
}

static void next_job(struct run *run)
{
    struct job_options options = {.argv = run->settings->job,
                                  .database = run->local,
                                  .guard = run->guard,
                                  .token = run->sync.fence.token,
                                  .version = run->outcome.result.version,
                                  .on_exit = on_job_exit,
                                  .user = run};
    struct error error = {0};
    int exit_status = 0;

    run->stage = WORKING;
    if (run->signal != 0 || (run->lock != NULL && !run->lock_is_ours)) {
        next_release(run);
        return;
    }
    log_line(LOG_INFO, "starting the job: %s", run->settings->job[0]);
    progress_hide(run->progress);
    if (job_start(&run->job, &run->loop, &options, &exit_status, &error) != 0) {
        fail(run, &error);
        run->exit_status = exit_status;
        next_release(run);
    }
}

/* ---- the lock ---- */

static void on_waiting(void *user, const struct lock_holder *holder)
{
    struct run *run = user;

    run->holder = *holder;
    run->holder_seen = clock_monotonic_ms();
    log_line(LOG_INFO, "waiting for the lock %s: held by %s%s%s, token %llu", run->lock_url, holder->instance,
             holder->host[0] != '\0' ? " on " : "", holder->host, (unsigned long long)holder->token);
}

static void on_place(void *user, uint32_t place)
{
    struct run *run = user;

    run->place = place;
    if (place > 0)
        log_line(LOG_INFO, "waiting, place %u in the origin's line for the lock", place);
}

static void on_acquired(void *user, uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE])
{
    struct run *run = user;

    run->lock_is_ours = 1;
    run->sync.fence.token = token;
    memcpy(run->sync.fence.lease_id, lease_id, sizeof(run->sync.fence.lease_id));
    log_line(LOG_INFO, "lock acquired, token %llu", (unsigned long long)token);
    if (run->stage == LOCKING) {
        run->link_attempts = 0;
        next_pull(run);
    }
}

static void on_doubtful(void *user)
{
    (void)user;
    log_line(LOG_WARNING, "the lock could not be renewed for two thirds of its time");
}

/* Somebody else holds it: say what may be done. */
static void fail_to_lock(struct run *run, const struct error *cause)
{
    struct error error = *cause;

    if (cause->code == ERR_LOCK_HELD)
        error_set(&error, ERR_LOCK_HELD,
                  "%s; nothing was done. `lockstep lock show` tells more; wait longer with --lock-wait; if that holder is "
                  "gone for good, `lockstep lock break` frees the lock at once",
                  cause->text);
    fail(run, &error);
}

static void on_lock_failed(void *user, const struct error *error)
{
    struct run *run = user;

    run->lock_is_ours = 0;
    switch (run->stage) {
    case LOCKING:
        fail_to_lock(run, error);
        finish(run);
        break;
    case PULLING:
        fail(run, error);
        if (run->transfer != NULL)
            transfer_cancel(run->transfer, error);
        else
            next_release(run);
        break;
    case WORKING:
        fail(run, error);
        job_stop(run->job, run->settings->kill_after_ms);
        break;
    case PUSHING:
        /* On its way already: the origin's fence decides whether it still counts. */
        log_line(LOG_WARNING, "%s; the origin decides whether the push still counts", error->text);
        if (run->transfer == NULL) {
            fail(run, error);
            next_release(run);
        }
        break;
    case RELEASING:
        log_line(LOG_WARNING, "%s", error->text);
        finish(run);
        break;
    }
}

static void on_released(void *user, const struct error *error)
{
    struct run *run = user;

    if (error->code != ERR_NONE)
        log_line(LOG_WARNING, "releasing the lock: %s", error->text);
    else
        log_line(LOG_INFO, "lock released");
    finish(run);
}

static void next_release(struct run *run)
{
    run->stage = RELEASING;
    uv_timer_stop(&run->timer);
    if (run->lock != NULL && run->lock_is_ours)
        run_lock_release(run->lock);
    else
        finish(run);
}

/* ---- begin and end ---- */

static void on_lock_closed(void *arg)
{
    struct run *run = arg;

    run->lock = NULL;
}

static void on_look(void *user, struct progress_view *view)
{
    const struct run *run = user;
    int is_pull = run->stage == PULLING;

    switch (run->stage) {
    case LOCKING:
        if (run->lock == NULL)
            run_view_waiting(run->local, view);
        else if (run->place > 0)
            run_view_in_line(run->place, view);
        else
            run_view_locking(run->lock_url, run->holder_seen > 0 ? &run->holder : NULL, clock_monotonic_ms() - run->holder_seen, view);
        break;
    case PULLING:
    case PUSHING:
        if (run->transfer != NULL)
            transfer_progress(run->transfer, is_pull ? TRANSFER_PULL : TRANSFER_PUSH, view);
        else
            run_view_pause(is_pull ? "pulling" : "pushing", view);
        break;
    case WORKING:
        run_view_job(run->settings->job[0], view);
        break;
    case RELEASING:
        run_view_releasing(run->lock_url, view);
        break;
    }
}

static void start_progress(struct run *run)
{
    const struct settings *settings = run->settings;
    const struct progress_options options = {.mode = settings->progress,
                                             .is_asked = settings->progress_is_asked,
                                             .verbose = settings->verbose,
                                             .quiet = settings->quiet,
                                             .look = on_look,
                                             .user = run};

    /* It is done all the same where nothing can be told of it. */
    progress_start(&run->progress, &run->loop, &options, NULL);
}

static void finish(struct run *run)
{
    copy_guard_release(run->guard);
    run->guard = -1;
    if (run->lock != NULL)
        run_lock_close(run->lock, on_lock_closed, run);
    for (int i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&run->signals[i], NULL);
    uv_close((uv_handle_t *)&run->timer, NULL);
    progress_end(run->progress, run->exit_status == 0);
    run->progress = NULL;
}

/* The job gets the signal and its own way to end; before and after the job it means: stop. */
static void on_signal(uv_signal_t *handle, int signal)
{
    static const char *const describe[] = {[LOCKING] = "waiting for the lock",
                                           [PULLING] = "pulling",
                                           [WORKING] = "starting the job",
                                           [PUSHING] = "pushing",
                                           [RELEASING] = "releasing the lock"};
    struct run *run = handle->data;
    struct error error;

    error_set(&error, ERR_JOB_FAILED, "stopped by signal %d (%s) while %s", signal, strsignal(signal), describe[run->stage]);
    if (run->stage == WORKING && run->job != NULL) {
        job_signal(run->job, signal);
        return;
    }
    /* A release is seconds from its end, and so is a push; one that is not is given up when we are asked again. */
    if (run->stage == RELEASING || run->signal != 0)
        return;
    if (run->stage == PUSHING && !run->is_hurried) {
        run->is_hurried = 1;
        log_line(LOG_WARNING, "signal %d (%s): the job is done and its work is being pushed; send it again to give up", signal,
                 strsignal(signal));
        return;
    }
    run->signal = signal;
    fail(run, &error);
    if (run->transfer != NULL)
        transfer_cancel(run->transfer, &error);
    else if (run->stage == LOCKING && run->lock != NULL) {
        run->stage = RELEASING;
        run_lock_release(run->lock);
    } else {
        next_release(run);
    }
}

static int start_signals(struct run *run, struct error *error)
{
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};

    uv_timer_init(&run->loop, &run->timer);
    run->timer.data = run;
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(&run->loop, &run->signals[i]);
        run->signals[i].data = run;
    }
    for (int i = 0; i < SIGNALS; i++) {
        if (uv_signal_start(&run->signals[i], on_signal, numbers[i]) != 0)
            return error_set(error, ERR_INTERNAL, "waiting for signals failed");
    }
    return 0;
}

static int start_lock(struct run *run, struct error *error)
{
    const struct settings *settings = run->settings;
    const struct run_lock_options options = {.url = run->lock_url,
                                             .lock = {.instance = settings->sync.instance,
                                                      .timeout_ms = settings->lock_timeout_ms,
                                                      .wait_ms = settings->lock_wait_ms},
                                             .origin = &run->origin,
                                             .connect = &settings->connect,
                                             .callbacks = {on_waiting, on_acquired, on_doubtful, on_lock_failed, on_released},
                                             .on_place = on_place,
                                             .user = run};

    if (run->lock_url[0] != '\0')
        return run_lock_new(&run->lock, &run->loop, &options, error);
    next_pull(run);
    return 0;
}

/* Other runs on this copy come first, and jobs that outlived theirs; then the lock is taken, which we would else hold for nothing. */
static void take_copy(struct run *run)
{
    struct error error = {0};
    int rc = copy_guard_take(run->local, &run->guard, &error);

    if (rc == 0) {
        uv_timer_stop(&run->timer);
        rc = start_lock(run, &error);
    } else if (rc == ERR_BUSY && clock_monotonic_ms() < run->guard_until) {
        if (!uv_is_active((uv_handle_t *)&run->timer))
            log_line(LOG_INFO, "waiting: %s", error.text);
        uv_timer_start(&run->timer, on_copy_timer, GUARD_POLL_MS, GUARD_POLL_MS);
        return;
    }
    if (rc != 0) {
        fail(run, &error);
        finish(run);
    }
}

static void on_copy_timer(uv_timer_t *timer)
{
    struct run *run = timer->data;

    take_copy(run);
}

static int check_arguments(const struct settings *settings, struct error *error)
{
    if (settings->argument_count != 2 || settings->job == NULL)
        return error_set(error, ERR_USAGE, "say: lockstep run [--lock URL] ORIGIN LOCAL -- COMMAND [ARGUMENTS]");
    return settings_check_local(settings->arguments[1], error);
}

static void tell_json(struct run *run)
{
    run->summary.lock = run->lock_url;
    run->summary.token = run->sync.fence.token;
    run->summary.exit_status = run->exit_status;
    run->summary.error = &run->error;
    run->summary.milliseconds = clock_monotonic_ms() - run->started;
    report_json_run(&run->summary);
}

int command_run(const struct settings *settings)
{
    struct run run = {.settings = settings, .sync = settings->sync, .guard = -1};
    struct error error = {0};
    int rc;

    if (!settings->sync.dry_run)
        log_setup(settings->quiet ? LOG_WARNING : LOG_INFO, settings->sync.instance, 1);
    rc = check_arguments(settings, &error);
    if (rc == 0 && settings->sync.dry_run)
        return run_preview(settings);
    if (rc == 0)
        rc = endpoint_parse(&run.origin, settings->arguments[0], &error);
    if (rc != 0)
        return report_error(settings, &error);
    run.local = settings->arguments[1];
    run.sync.will_push = 1;
    uv_loop_init(&run.loop);
    run.started = clock_monotonic_ms();
    start_progress(&run);
    rc = start_signals(&run, &error);
    if (rc == 0)
        rc = run_lock_choose_url(&run.origin, settings->lock_url, run.lock_url, sizeof(run.lock_url), &error);
    if (rc == 0) {
        run.guard_until = clock_monotonic_ms() + settings->lock_wait_ms;
        take_copy(&run);
    } else {
        fail(&run, &error);
        finish(&run);
    }
    uv_run(&run.loop, UV_RUN_DEFAULT);
    uv_loop_close(&run.loop);
    endpoint_release(&run.origin);
    if (settings->json)
        tell_json(&run);
    return run.exit_status;
}
