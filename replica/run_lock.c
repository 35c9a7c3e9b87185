#include "replica/run_lock.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/link/endpoint.h"
#include "replica/line.h"

/* What a turn may last without an answer of the store: others may reach it who wait for us. */
#define TURN_LIMIT_MS 5000

struct run_lock {
    struct run_lock_options options;
    struct lock *lock; /* NULL once it is closed */
    struct line *line; /* NULL where there is none, and once it is closed */
    uv_timer_t timer;  /* of a turn without an answer */
    int timer_is_open;
    uint32_t place; /* in line; 0: none */
    int has_asked;  /* the store was, or will be in a moment */
    int is_ours;
    void (*closed)(void *arg);
    void *closed_arg;
};

int run_lock_choose_url(const struct endpoint *origin, const char *given, char *url,
                        size_t url_size, struct error *error)
{
    char *real;

    url[0] = '\0';
    if (given != NULL) {
        snprintf(url, url_size, "%s", given);
        return 0;
    }
    if (origin->kind != ENDPOINT_LOCAL) {
        log_line(LOG_WARNING,
                 "no --lock URL: nothing keeps another run from making this one's push stale");
        return 0;
    }
    real = realpath(origin->path, NULL);
    if (real == NULL)
        return error_set(error, ERR_NO_DATABASE,
                         "there is no database at %s; make it, or push one there first",
                         origin->path);
    snprintf(url, url_size, "file://%s.lock", real);
    free(real);
    return 0;
}

/* ---- the line's callbacks ---- */

static void set_place(struct run_lock *run_lock, uint32_t place)
{
    if (place == run_lock->place)
        return;
    run_lock->place = place;
    run_lock->options.on_place(run_lock->options.user, place);
}

static void on_place(void *user, uint32_t place)
{
    struct run_lock *run_lock = user;

    lock_rest(run_lock->lock);
    set_place(run_lock, place);
}

static void ask_the_store(struct run_lock *run_lock)
{
    run_lock->has_asked = 1;
    lock_try_now(run_lock->lock);
}

static void pass_the_turn_on(struct run_lock *run_lock)
{
    uv_timer_stop(&run_lock->timer);
    if (run_lock->line != NULL)
        line_leave(run_lock->line);
}

static void on_timer(uv_timer_t *timer)
{
    log_line(LOG_WARNING,
             "the lock's store has not answered for %d s: asking on, out of the line, where it is "
             "the next one's turn",
             TURN_LIMIT_MS / 1000);
    pass_the_turn_on(timer->data);
}

static void on_turn(void *user)
{
    struct run_lock *run_lock = user;

    uv_timer_start(&run_lock->timer, on_timer, TURN_LIMIT_MS, 0);
    set_place(run_lock, 0);
    log_line(LOG_INFO, "it is our turn in the origin's line for the lock");
    ask_the_store(run_lock);
}

/* Whether it may be otherwise when the lock is ours. Where it will not, nobody is to be kept from
 * the lock for nothing. */
static int may_pass(int code)
{
    return code == ERR_NO_LINK || code == ERR_TIMEOUT || code == ERR_TRY_LATER ||
           code == ERR_INTERNAL;
}

static void on_lost(void *user, const struct error *error)
{
    struct run_lock *run_lock = user;

    if (run_lock->is_ours) {
        log_line(LOG_INFO,
                 "the link to the origin's line is gone (%s): whoever is next finds out by asking "
                 "the store",
                 error->text);
        return;
    }
    if (!run_lock->has_asked && !may_pass(error->code)) {
        run_lock->options.callbacks.on_failed(run_lock->options.user, error);
        return;
    }
    log_line(LOG_INFO, "no place in the origin's line (%s): asking the lock's store directly",
             error->text);
    set_place(run_lock, 0);
    ask_the_store(run_lock);
}

/* ---- the lock's callbacks ---- */

static void on_waiting(void *user, const struct lock_holder *holder)
{
    struct run_lock *run_lock = user;

    uv_timer_stop(&run_lock->timer);
    run_lock->options.callbacks.on_waiting(run_lock->options.user, holder);
}

static void on_acquired(void *user, uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE])
{
    struct run_lock *run_lock = user;

    run_lock->is_ours = 1;
    uv_timer_stop(&run_lock->timer);
    if (run_lock->line != NULL)
        line_settle(run_lock->line);
    run_lock->options.callbacks.on_acquired(run_lock->options.user, token, lease_id);
}

static void on_doubtful(void *user)
{
    struct run_lock *run_lock = user;

    run_lock->options.callbacks.on_doubtful(run_lock->options.user);
}

static void on_failed(void *user, const struct error *error)
{
    struct run_lock *run_lock = user;

    pass_the_turn_on(run_lock);
    run_lock->options.callbacks.on_failed(run_lock->options.user, error);
}

static void on_released(void *user, const struct error *error)
{
    struct run_lock *run_lock = user;

    pass_the_turn_on(run_lock);
    run_lock->options.callbacks.on_released(run_lock->options.user, error);
}

/* ---- the user's calls ---- */

/* Stand in line before the lock is asked for. Where there is no line, it is asked for at once. */
static void get_in_line(struct run_lock *run_lock, struct uv_loop_s *loop)
{
    const struct line_options options = {.origin = run_lock->options.origin,
                                         .connect = run_lock->options.connect,
                                         .on_place = on_place,
                                         .on_turn = on_turn,
                                         .on_lost = on_lost,
                                         .user = run_lock};

    log_line(LOG_INFO, "acquiring the lock %s", run_lock->options.url);
    if (run_lock->options.origin->kind == ENDPOINT_TLS &&
        line_new(&run_lock->line, loop, &options, NULL) == 0)
        lock_rest(run_lock->lock);
}

int run_lock_new(struct run_lock **run_lock, struct uv_loop_s *loop,
                 const struct run_lock_options *options, struct error *error)
{
    static const struct lock_callbacks callbacks = {on_waiting, on_acquired, on_doubtful, on_failed,
                                                    on_released};
    struct run_lock *new = calloc(1, sizeof(*new));
    int rc;

    *run_lock = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->options = *options;
    rc = lock_new(&new->lock, loop, options->url, &options->lock, &callbacks, new, error);
    if (rc != 0) {
        free(new);
        return rc;
    }
    uv_timer_init(loop, &new->timer);
    new->timer.data = new;
    new->timer_is_open = 1;
    get_in_line(new, loop);
    lock_acquire(new->lock);
    *run_lock = new;
    return 0;
}

void run_lock_raise(struct run_lock *run_lock, uint64_t floor)
{
    lock_raise(run_lock->lock, floor);
}

void run_lock_release(struct run_lock *run_lock)
{
    lock_release(run_lock->lock);
}

static void free_if_closed(struct run_lock *run_lock)
{
    void (*closed)(void *arg) = run_lock->closed;
    void *arg = run_lock->closed_arg;

    if (run_lock->lock != NULL || run_lock->line != NULL || run_lock->timer_is_open)
        return;
    free(run_lock);
    closed(arg);
}

static void on_lock_closed(void *arg)
{
    struct run_lock *run_lock = arg;

    run_lock->lock = NULL;
    free_if_closed(run_lock);
}

static void on_line_closed(void *arg)
{
    struct run_lock *run_lock = arg;

    run_lock->line = NULL;
    free_if_closed(run_lock);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct run_lock *run_lock = handle->data;

    run_lock->timer_is_open = 0;
    free_if_closed(run_lock);
}

void run_lock_close(struct run_lock *run_lock, void (*closed)(void *arg), void *arg)
{
    run_lock->closed = closed;
    run_lock->closed_arg = arg;
    if (run_lock->line != NULL)
        line_close(run_lock->line, on_line_closed, run_lock);
    uv_close((uv_handle_t *)&run_lock->timer, on_timer_closed);
    lock_close(run_lock->lock, on_lock_closed, run_lock);
}
