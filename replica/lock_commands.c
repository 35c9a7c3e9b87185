/* `lockstep lock show|acquire|release|break|doctor URL`. */
#include "replica/commands.h"

#include <string.h>

#include <uv.h>

#include "lockstore/doctor.h"
#include "lockstore/lock.h"
#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/log.h"
#include "replica/report.h"
#include "replica/settings.h"

/* ---- show ---- */

struct look {
    struct lock_holder holder;
    struct error error;
};

static void on_look(void *arg, const struct lock_holder *holder, const struct error *error)
{
    struct look *look = arg;

    look->error = *error;
    if (error->code == ERR_NONE)
        look->holder = *holder;
}

static int show(const struct settings *settings, const char *url)
{
    struct look look = {0};
    uv_loop_t loop;

    uv_loop_init(&loop);
    if (lock_look(&loop, url, on_look, &look, &look.error) == 0)
        uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    if (look.error.code != ERR_NONE)
        return report_error(settings, &look.error);
    report_holder(settings, &look.holder);
    return 0;
}

/* ---- doctor ---- */

static int examine(const struct settings *settings, const char *url)
{
    const struct doctor_options options = {0};
    struct doctor_report report = {0};
    struct error error = {0};
    int rc = doctor_run(url, &options, &report, &error);

    if (rc == 0 || !settings->json)
        report_doctor(settings, &report);
    return rc != 0 ? report_error(settings, &error) : 0;
}

/* ---- acquire, release, break ---- */

enum action { ACQUIRE, RELEASE, BREAK };

struct work {
    enum action action;
    struct lock *lock;
    struct lock_holder former; /* break: who had it */
    uint64_t token;
    uint8_t lease_id[LOCK_LEASE_ID_SIZE];
    struct error error;
};

static void on_closed(void *arg)
{
    (void)arg;
}

static void end(struct work *work)
{
    lock_close(work->lock, on_closed, NULL);
}

static void on_waiting(void *user, const struct lock_holder *holder)
{
    const struct work *work = user;

    if (work->action == ACQUIRE)
        log_line(LOG_INFO, "waiting: held by %s, token %llu", holder->instance, (unsigned long long)holder->token);
}

static void on_acquired(void *user, uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE])
{
    struct work *work = user;

    work->token = token;
    memcpy(work->lease_id, lease_id, sizeof(work->lease_id));
    lock_former(work->lock, &work->former);
    /* A lock that was broken is free at once: whoever broke it does not want it. */
    if (work->action == ACQUIRE)
        end(work);
    else
        lock_release(work->lock);
}

static void on_failed(void *user, const struct error *error)
{
    struct work *work = user;

    work->error = *error;
    end(work);
}

static void on_released(void *user, const struct error *error)
{
    struct work *work = user;

    work->error = *error;
    end(work);
}

static void start(struct work *work)
{
    if (work->action == BREAK)
        lock_break(work->lock);
    else if (work->action == RELEASE)
        lock_give_back(work->lock, work->token);
    else
        lock_acquire(work->lock);
}

static int read_lease_id(const struct settings *settings, struct work *work, struct error *error)
{
    if (settings->token > 0 && settings->lease_id != NULL &&
        hex_decode(settings->lease_id, strlen(settings->lease_id), work->lease_id, sizeof(work->lease_id)) == 0) {
        work->token = settings->token;
        return 0;
    }
    return error_set(error, ERR_USAGE,
                     "whose lock? give --token N --lease ID, as `lockstep lock acquire` printed them; `lockstep lock break` "
                     "takes it from anybody");
}

/* Somebody else holds it: say what may be done. */
static void advise(struct error *error)
{
    const struct error cause = *error;

    if (cause.code == ERR_LOCK_LOST)
        error_set(error, cause.code, "%s; only the --token and --lease of its holder release it; `lockstep lock break` takes it from anybody",
                  cause.text);
    else if (cause.code == ERR_LOCK_HELD)
        error_set(error, cause.code, "%s; wait longer with --lock-wait; if that holder is gone for good, `lockstep lock break` frees the lock",
                  cause.text);
}

static int act(const struct settings *settings, enum action action, const char *url)
{
    static const struct lock_callbacks callbacks = {on_waiting, on_acquired, NULL, on_failed, on_released};
    struct lock_options options = {.instance = settings->sync.instance,
                                   .timeout_ms = settings->lock_timeout_ms,
                                   .wait_ms = settings->lock_wait_ms};
    struct work work = {.action = action};
    uv_loop_t loop;

    if (action == RELEASE && read_lease_id(settings, &work, &work.error) != 0)
        return report_error(settings, &work.error);
    options.lease_id = action == RELEASE ? work.lease_id : NULL;
    uv_loop_init(&loop);
    if (lock_new(&work.lock, &loop, url, &options, &callbacks, &work, &work.error) == 0) {
        start(&work);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&loop);
    advise(&work.error);
    if (work.error.code != ERR_NONE)
        return report_error(settings, &work.error);
    if (action == ACQUIRE)
        report_lease(settings, work.token, work.lease_id);
    else if (action == BREAK)
        report_break(settings, &work.former, work.token);
    else
        report_release(settings, work.token);
    return 0;
}

int command_lock(const struct settings *settings)
{
    const char *verb = settings->argument_count == 2 ? settings->arguments[0] : "";
    const char *url = settings->arguments[1];
    struct error error = {0};

    if (strcmp(verb, "show") == 0)
        return show(settings, url);
    if (strcmp(verb, "acquire") == 0)
        return act(settings, ACQUIRE, url);
    if (strcmp(verb, "release") == 0)
        return act(settings, RELEASE, url);
    if (strcmp(verb, "break") == 0)
        return act(settings, BREAK, url);
    if (strcmp(verb, "doctor") == 0)
        return examine(settings, url);
    error_set(&error, ERR_USAGE, "say: lockstep lock show|acquire|release|break|doctor URL");
    return report_error(settings, &error);
}
