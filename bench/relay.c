/*
 * Two lanes, one for each direction:
 *
 *   in handle --read--> delay line --(when it has arrived)--> write --> out handle
 *
 * A lane reads until its line is full, and has one write under way at most, so that what it holds
 * is bounded by the line's capacity and one read. One timer descriptor wakes the relay when the
 * next bytes arrive: libuv's own timers count milliseconds, which is too coarse for a link of one.
 *
 * A lane is done when the end of its stream was passed on, or when its out handle broke; the relay
 * ends when both are, or when the far program is gone and nothing of it is left to deliver.
 */
#include "bench/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench/delay_line.h"
#include "protocol/base/error.h"

#define READ_SIZE 65536

struct lane {
    struct relay *relay;
    enum relay_side from;   /* whose bytes it carries */
    uv_stream_t *in;        /* of the relay's handles */
    uv_stream_t *out;       /* of the relay's handles */
    struct delay_line line; /* what is on the way */
    uv_write_t write;       /* the write under way */
    uv_shutdown_t shutdown; /* of a socket, at the end of the stream */
    size_t writing;         /* bytes under way to out; 0 for none */
    int reading;            /* in is being read */
    int ended;              /* in had its end */
    int done;               /* out had its end, or broke */
};

struct relay {
    uv_loop_t *loop;
    struct lane lanes[2];    /* by the side that sends */
    uv_stream_t *streams[4]; /* every stream once, owned; NULL when it is closed */
    int open;                /* streams and timer that are not yet closed */
    uv_poll_t timer;         /* watches timer_fd */
    int timer_fd;            /* -1 before it is made */
    int far_gone;            /* relay_far_gone was called */
    int closing;             /* every handle is being closed */
    unsigned reached[2];     /* legs of the longest chain that reached each side */
    struct relay_counts counts;
    void (*on_end)(void *user, const struct relay_counts *counts);
    void *user;
};

static void add_stream(struct relay *relay, uv_stream_t *stream, struct lane *lane);
static int start_timer(struct relay *relay, struct error *error);
static void read_more(struct lane *lane);
static void deliver(struct lane *lane);
static void update(struct relay *relay);
static void close_stream(uv_stream_t *stream);
static void close_all(struct relay *relay);

struct relay *relay_new(uv_loop_t *loop, const struct relay_options *options,
                        const struct relay_end ends[2],
                        void (*on_end)(void *user, const struct relay_counts *counts), void *user,
                        struct error *error)
{
    struct relay *relay = calloc(1, sizeof(*relay));

    if (!relay) {
        error_set(error, ERR_INTERNAL, "memory ran out");
        return NULL;
    }
    relay->loop = loop;
    relay->timer_fd = -1;
    for (int side = RELAY_NEAR; side <= RELAY_FAR; side++) {
        struct lane *lane = &relay->lanes[side];

        lane->relay = relay;
        lane->from = (enum relay_side)side;
        lane->in = ends[side].in;
        lane->out = ends[!side].out;
        delay_line_init(&lane->line, options->round_trip, options->rate);
        add_stream(relay, lane->in, lane);
        if (lane->out != ends[!side].in)
            add_stream(relay, lane->out, lane);
    }
    if (start_timer(relay, error) != 0) {
        close_all(relay);
        return NULL;
    }
    relay->on_end = on_end;
    relay->user = user;
    for (int side = RELAY_NEAR; side <= RELAY_FAR; side++)
        read_more(&relay->lanes[side]);
    return relay;
}

/* lane: the one that reads the stream, or, if none does, that writes it. */
static void add_stream(struct relay *relay, uv_stream_t *stream, struct lane *lane)
{
    stream->data = lane;
    relay->streams[relay->open++] = stream;
}

void relay_far_gone(struct relay *relay)
{
    relay->far_gone = 1;
    update(relay);
}

/* ---- reading ---- */

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    buf->base = malloc(READ_SIZE);
    buf->len = buf->base ? READ_SIZE : 0;
}

static void read_cb(uv_stream_t *stream, ssize_t read, const uv_buf_t *buf)
{
    struct lane *lane = stream->data;
    struct relay *relay = lane->relay;
    uint8_t *data = NULL;

    if (read > 0) {
        /* Small messages would else hold a whole read's memory each. */
        data = realloc(buf->base, (size_t)read);
        if (!data)
            data = (uint8_t *)buf->base;
        relay->counts.sent[lane->from] += (uint64_t)read;
        if (delay_line_put_take(&lane->line, uv_hrtime(), data, (size_t)read,
                                relay->reached[lane->from] + 1) != 0)
            close_all(relay);
    } else {
        free(buf->base);
        if (read == 0)
            return;
        lane->ended = 1; /* an error of the reading ends the stream as well */
        if (delay_line_put_take(&lane->line, uv_hrtime(), NULL, 0, 0) != 0)
            close_all(relay);
    }
    update(relay);
}

/* Read as long as the line takes more. */
static void read_more(struct lane *lane)
{
    int wanted = !lane->ended && !lane->done && !delay_line_full(&lane->line);

    if (wanted && !lane->reading)
        uv_read_start(lane->in, alloc_cb, read_cb);
    else if (!wanted && lane->reading)
        uv_read_stop(lane->in);
    lane->reading = wanted;
}

/* ---- delivering ---- */

static void shutdown_cb(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status; /* the other program will see the socket close in any case */
}

/*
 * The lane carries no more. A pipe is closed, so that the program behind it notices: the one that
 * reads sees the end, and, where its end broke, the one that writes. A socket still carries the
 * other lane, unless it broke.
 */
static void finish(struct lane *lane, int broken)
{
    struct lane *other = &lane->relay->lanes[!lane->from];

    lane->done = 1;
    delay_line_release(&lane->line);
    if (lane->out != other->in)
        close_stream(lane->out);
    else if (broken)
        other->done = 1;
    else
        uv_shutdown(&lane->shutdown, lane->out, shutdown_cb);
    if (broken && lane->in != other->out)
        close_stream(lane->in);
}

static void write_cb(uv_write_t *request, int status)
{
    struct lane *lane = request->data;
    struct relay *relay = lane->relay;

    if (relay->closing)
        return;
    delay_line_consume(&lane->line, lane->writing);
    lane->writing = 0;
    if (status < 0)
        finish(lane, 1);
    update(relay);
}

/* Write what has arrived, if nothing is being written. */
static void deliver(struct lane *lane)
{
    struct relay *relay = lane->relay;
    unsigned *reached = &relay->reached[!lane->from];
    struct delay_arrival arrival;
    uv_buf_t buf;

    if (lane->done || lane->writing || !delay_line_arrived(&lane->line, uv_hrtime(), &arrival))
        return;
    if (!arrival.data) {
        finish(lane, 0);
        return;
    }
    if (arrival.legs > *reached)
        *reached = arrival.legs;
    if (*reached > relay->counts.legs)
        relay->counts.legs = *reached;
    buf = uv_buf_init((char *)arrival.data, (unsigned)arrival.len);
    lane->write.data = lane;
    lane->writing = arrival.len;
    if (uv_write(&lane->write, lane->out, &buf, 1, write_cb) != 0) {
        lane->writing = 0;
        finish(lane, 1);
    }
}

/* ---- time ---- */

static void timer_cb(uv_poll_t *timer, int status, int events)
{
    struct relay *relay = timer->data;
    uint64_t expirations;

    (void)status;
    (void)events;
    if (read(relay->timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
        close_all(relay);
    update(relay);
}

static int start_timer(struct relay *relay, struct error *error)
{
    int rc;

    relay->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (relay->timer_fd < 0)
        return error_set_errno(error, ERR_INTERNAL, errno, "making a timer");
    rc = uv_poll_init(relay->loop, &relay->timer, relay->timer_fd);
    if (rc != 0)
        return error_set(error, ERR_INTERNAL, "watching a timer: %s", uv_strerror(rc));
    relay->timer.data = relay;
    relay->open++;
    rc = uv_poll_start(&relay->timer, UV_READABLE, timer_cb);
    return rc ? error_set(error, ERR_INTERNAL, "watching a timer: %s", uv_strerror(rc)) : 0;
}

/* Wake when the next bytes arrive on a lane that waits for them. */
static void set_timer(struct relay *relay)
{
    struct itimerspec spec = {{0, 0}, {0, 0}};
    uint64_t next = UINT64_MAX;

    for (int side = RELAY_NEAR; side <= RELAY_FAR; side++) {
        const struct lane *lane = &relay->lanes[side];

        if (!lane->done && !lane->writing && delay_line_next(&lane->line) < next)
            next = delay_line_next(&lane->line);
    }
    if (next != UINT64_MAX) {
        spec.it_value.tv_sec = (time_t)(next / 1000000000);
        spec.it_value.tv_nsec = (long)(next % 1000000000);
    }
    /* uv_hrtime, which the lines' times come from, reads the same clock. */
    if (timerfd_settime(relay->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) != 0)
        close_all(relay);
}

/* Do whatever can be done now. Every callback ends here. */
static void update(struct relay *relay)
{
    struct lane *lanes = relay->lanes;

    for (int side = RELAY_NEAR; !relay->closing && side <= RELAY_FAR; side++) {
        deliver(&lanes[side]);
        read_more(&lanes[side]);
    }
    if (relay->closing)
        return;
    if (lanes[RELAY_FAR].done && (lanes[RELAY_NEAR].done || relay->far_gone))
        close_all(relay);
    else
        set_timer(relay);
}

/* ---- the end ---- */

static void closed(struct relay *relay)
{
    if (--relay->open > 0)
        return;
    for (int side = RELAY_NEAR; side <= RELAY_FAR; side++)
        delay_line_release(&relay->lanes[side].line);
    if (relay->timer_fd >= 0)
        close(relay->timer_fd);
    if (relay->on_end)
        relay->on_end(relay->user, &relay->counts);
    free(relay);
}

static void stream_closed_cb(uv_handle_t *handle)
{
    struct lane *lane = handle->data;
    struct relay *relay = lane->relay;

    for (size_t i = 0; i < sizeof(relay->streams) / sizeof(relay->streams[0]); i++)
        if ((uv_handle_t *)relay->streams[i] == handle)
            relay->streams[i] = NULL;
    free(handle);
    closed(relay);
}

static void timer_closed_cb(uv_handle_t *handle)
{
    closed(handle->data);
}

static void close_stream(uv_stream_t *stream)
{
    if (!uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, stream_closed_cb);
}

static void close_all(struct relay *relay)
{
    if (relay->closing)
        return;
    relay->closing = 1;
    for (size_t i = 0; i < sizeof(relay->streams) / sizeof(relay->streams[0]); i++)
        if (relay->streams[i])
            close_stream(relay->streams[i]);
    if (relay->timer.data)
        uv_close((uv_handle_t *)&relay->timer, timer_closed_cb);
}
