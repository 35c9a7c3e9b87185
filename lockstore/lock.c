#include "lockstore/lock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "lockstore/lease.h"
#include "lockstore/record.h"
#include "lockstore/store.h"
#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/base/random.h"

#define DEFAULT_TIMEOUT_MS 60000u

_Static_assert(LOCK_LEASE_ID_SIZE == RECORD_LEASE_ID_SIZE, "one size for lease ids");

struct lock {
    struct lease lease;
    struct store *store;
    uv_timer_t timer; /* for LEASE_WAIT, and at zero to get out of a call of the user's */
    struct lock_callbacks callbacks;
    void *user;
    int closing;
    void (*closed)(void *arg);
    void *closed_arg;
    uint8_t body[LIMIT_LOCK_RECORD]; /* of the PUT under way */
};

/* One look: a store, one GET, and the answer. */
struct look {
    struct store *store;
    void (*done)(void *arg, const struct lock_holder *holder, const struct error *error);
    void *arg;
    struct lock_holder holder;
    struct error error;
};

static void pump_soon(struct lock *lock);
static void timer_cb(uv_timer_t *timer);
static void pump(struct lock *lock);
static void put(struct lock *lock);
static void put_cb(void *arg, const struct store_result *result);
static void get_cb(void *arg, const struct store_result *result);
static void tell(struct lock *lock, enum lease_action_kind kind);
static void store_closed(void *arg);
static void timer_closed(uv_handle_t *handle);
static int look_start(struct uv_loop_s *loop, const char *url, int here,
                      void (*done)(void *arg, const struct lock_holder *holder,
                                   const struct error *error),
                      void *arg, struct error *error);
static void look_cb(void *arg, const struct store_result *result);
static void look_closed(void *arg);
static void read_cb(void *arg, const struct lock_holder *holder, const struct error *error);
static void checked_cb(void *arg);
static void holder_from(struct lock_holder *holder, const struct record *record, int64_t age_ms);

int lock_new(struct lock **out, struct uv_loop_s *loop, const char *url,
             const struct lock_options *options, const struct lock_callbacks *callbacks, void *user,
             struct error *error)
{
    struct lock *lock = calloc(1, sizeof(*lock));
    struct lease_options lease = {0};
    char host[256] = "";
    int rc;

    if (lock == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    rc = store_open(&lock->store, loop, url, error);
    if (rc != 0) {
        free(lock);
        return rc;
    }
    gethostname(host, sizeof(host) - 1);
    if (options->lease_id != NULL)
        memcpy(lease.lease_id, options->lease_id, sizeof(lease.lease_id));
    else
        random_bytes(lease.lease_id, sizeof(lease.lease_id));
    random_bytes(&lease.seed, sizeof(lease.seed));
    lease.instance = options->instance != NULL ? options->instance : "";
    lease.host = host;
    lease.pid = getpid();
    lease.timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    lease.wait_ms = options->wait_ms;
    lease_init(&lock->lease, &lease);
    lock->callbacks = *callbacks;
    lock->user = user;
    uv_timer_init(loop, &lock->timer);
    *out = lock;
    return 0;
}

void lock_acquire(struct lock *lock)
{
    lease_acquire(&lock->lease, clock_monotonic_ms());
    pump_soon(lock);
}

void lock_rest(struct lock *lock)
{
    lease_rest(&lock->lease);
    pump_soon(lock);
}

void lock_try_now(struct lock *lock)
{
    lease_try_now(&lock->lease, clock_monotonic_ms());
    pump_soon(lock);
}

void lock_break(struct lock *lock)
{
    lease_break(&lock->lease, clock_monotonic_ms());
    pump_soon(lock);
}

void lock_raise(struct lock *lock, uint64_t floor)
{
    lease_raise(&lock->lease, floor, clock_monotonic_ms());
    pump_soon(lock);
}

void lock_release(struct lock *lock)
{
    lease_release(&lock->lease, clock_monotonic_ms());
    pump_soon(lock);
}

void lock_give_back(struct lock *lock, uint64_t token)
{
    lease_give_back(&lock->lease, token, clock_monotonic_ms());
    pump_soon(lock);
}

static void pump_soon(struct lock *lock)
{
    if (!lock->closing)
        uv_timer_start(&lock->timer, timer_cb, 0, 0);
}

static void timer_cb(uv_timer_t *timer)
{
    pump((struct lock *)((char *)timer - offsetof(struct lock, timer)));
}

/* Do what the lease wants, until it wants to wait. A callback of the user's may close the lock. */
static void pump(struct lock *lock)
{
    struct lease_action action;
    uint64_t now;

    while (!lock->closing) {
        now = clock_monotonic_ms();
        lease_tick(&lock->lease, now, clock_wall_seconds(), &action);
        switch (action.kind) {
        case LEASE_WAIT:
            if (action.until == UINT64_MAX)
                uv_timer_stop(&lock->timer);
            else
                uv_timer_start(&lock->timer, timer_cb, action.until > now ? action.until - now : 0,
                               0);
            return;
        case LEASE_GET:
            store_get(lock->store, get_cb, lock);
            break;
        case LEASE_PUT:
            put(lock);
            break;
        default:
            tell(lock, action.kind);
        }
    }
}

static void put(struct lock *lock)
{
    struct lease_answer answer = {.outcome = STORE_REFUSED};
    struct error error;
    size_t len;

    if (record_encode(&lock->lease.put, lock->body, sizeof(lock->body), &len, &error) != 0) {
        answer.why = error.text;
        lease_answer(&lock->lease, clock_monotonic_ms(), &answer);
        return;
    }
    store_put(lock->store, lock->lease.put_condition, lock->lease.put_etag, lock->body, len, put_cb,
              lock);
}

static void put_cb(void *arg, const struct store_result *result)
{
    struct lock *lock = arg;
    struct lease_answer answer = {.outcome = result->outcome,
                                  .etag = result->etag,
                                  .age_ms = -1,
                                  .retry_after_ms = result->retry_after_ms,
                                  .why = result->error.text};

    lease_answer(&lock->lease, clock_monotonic_ms(), &answer);
    pump(lock);
}

static void get_cb(void *arg, const struct store_result *result)
{
    struct lock *lock = arg;
    struct record record;
    struct lease_answer answer = {.outcome = result->outcome,
                                  .etag = result->etag,
                                  .record = &record,
                                  .age_ms = result->age_ms,
                                  .retry_after_ms = result->retry_after_ms,
                                  .why = result->error.text};

    if (result->outcome == STORE_OK)
        record_decode(result->body, result->body_len, &record);
    lease_answer(&lock->lease, clock_monotonic_ms(), &answer);
    pump(lock);
}

static void tell(struct lock *lock, enum lease_action_kind kind)
{
    const struct lease *lease = &lock->lease;
    struct lock_holder holder;
    struct error error = lease->error; /* the callback may start something that changes it */

    switch (kind) {
    case LEASE_TELL_WAITING:
        holder_from(&holder, &lease->told, lease->seen_age_ms);
        holder.held = 1; /* else we would not wait */
        lock->callbacks.on_waiting(lock->user, &holder);
        break;
    case LEASE_TELL_ACQUIRED:
        lock->callbacks.on_acquired(lock->user, lease->token, lease->me.lease_id);
        break;
    case LEASE_TELL_DOUBTFUL:
        if (lock->callbacks.on_doubtful != NULL)
            lock->callbacks.on_doubtful(lock->user);
        break;
    case LEASE_TELL_FAILED:
        error_wrap(&error, "the lock %s", lock->store->url);
        lock->callbacks.on_failed(lock->user, &error);
        break;
    default:
        if (error.code != ERR_NONE)
            error_wrap(&error, "releasing the lock %s", lock->store->url);
        lock->callbacks.on_released(lock->user, &error);
    }
}

void lock_close(struct lock *lock, void (*closed)(void *arg), void *arg)
{
    lock->closing = 1;
    lock->closed = closed;
    lock->closed_arg = arg;
    uv_timer_stop(&lock->timer);
    store_close(lock->store, store_closed, lock);
}

static void store_closed(void *arg)
{
    struct lock *lock = arg;

    uv_close((uv_handle_t *)&lock->timer, timer_closed);
}

static void timer_closed(uv_handle_t *handle)
{
    struct lock *lock = (struct lock *)((char *)handle - offsetof(struct lock, timer));
    void (*closed)(void *arg) = lock->closed;
    void *arg = lock->closed_arg;

    free(lock);
    if (closed != NULL)
        closed(arg);
}

void lock_former(const struct lock *lock, struct lock_holder *holder)
{
    memset(holder, 0, sizeof(*holder));
    if (lock->lease.had_former)
        holder_from(holder, &lock->lease.former, -1);
}

int lock_look(struct uv_loop_s *loop, const char *url,
              void (*done)(void *arg, const struct lock_holder *holder, const struct error *error),
              void *arg, struct error *error)
{
    return look_start(loop, url, 0, done, arg, error);
}

/* here: not on libuv's thread pool. */
static int look_start(struct uv_loop_s *loop, const char *url, int here,
                      void (*done)(void *arg, const struct lock_holder *holder,
                                   const struct error *error),
                      void *arg, struct error *error)
{
    struct look *look = calloc(1, sizeof(*look));
    int rc;

    if (look == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    rc = store_open(&look->store, loop, url, error);
    if (rc != 0) {
        free(look);
        return rc;
    }
    if (here)
        store_stay_here(look->store);
    look->done = done;
    look->arg = arg;
    store_get(look->store, look_cb, look);
    return 0;
}

static void look_cb(void *arg, const struct store_result *result)
{
    struct look *look = arg;
    struct record record;

    if (result->outcome == STORE_OK) {
        record_decode(result->body, result->body_len, &record);
        holder_from(&look->holder, &record, result->age_ms);
    } else if (result->outcome != STORE_ABSENT) {
        error_set(&look->error, ERR_STORE_UNUSABLE, "reading the lock %s: %s", look->store->url,
                  result->error.text[0] != '\0' ? result->error.text : "no definite answer");
    }
    store_close(look->store, look_closed, look);
}

static void look_closed(void *arg)
{
    struct look *look = arg;

    look->done(look->arg, &look->holder, &look->error);
    free(look);
}

/* What lock_read waits for. */
struct seen {
    struct lock_holder holder;
    struct error error;
};

int lock_read(const char *url, struct lock_holder *holder, struct error *error)
{
    struct seen seen = {0};
    uv_loop_t loop;
    int rc;

    memset(holder, 0, sizeof(*holder));
    uv_loop_init(&loop);
    rc = look_start(&loop, url, 1, read_cb, &seen, error);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    if (rc == 0 && seen.error.code != ERR_NONE)
        rc = error_set(error, seen.error.code, "%s", seen.error.text);
    if (rc == 0)
        *holder = seen.holder;
    return rc;
}

static void read_cb(void *arg, const struct lock_holder *holder, const struct error *error)
{
    struct seen *seen = arg;

    seen->holder = *holder;
    seen->error = *error;
}

int lock_check_url(const char *url, struct error *error)
{
    struct store *store;
    uv_loop_t loop;
    int rc;

    uv_loop_init(&loop);
    rc = store_open(&store, &loop, url, error);
    if (rc == 0)
        store_close(store, checked_cb, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return rc;
}

static void checked_cb(void *arg)
{
    (void)arg;
}

static void holder_from(struct lock_holder *holder, const struct record *record, int64_t age_ms)
{
    memset(holder, 0, sizeof(*holder));
    holder->exists = 1;
    holder->held =
        record->held && !(age_ms >= 0 && (uint64_t)age_ms > record_stale_after_ms(record));
    holder->released = !record->held;
    holder->foreign = record->kind != RECORD_LEASE;
    holder->token = record->token;
    memcpy(holder->lease_id, record->lease_id, sizeof(holder->lease_id));
    memcpy(holder->instance, record->instance, sizeof(holder->instance));
    memcpy(holder->host, record->host, sizeof(holder->host));
    holder->pid = record->pid;
    holder->timeout_ms = record->timeout_ms;
    holder->age_ms = age_ms;
}
