/*
 * Every event (bytes, drain, a finished job, the end of the link, a tick of the timer) only notes what happened and calls
 * pump, which looks at everything and does the next thing, so the order in which events come does not matter:
 *
 *   a job is at work      wait for it; nothing else touches the party
 *   it failed             tell the peer by ERROR, shut the link down, wait for its end a little while
 *   the party waits       wait for conversation_wake; bytes stay where they are
 *   it is to stop         fail
 *   bytes came            start a job that hears them
 *   the party lingers     say so, and the place, now and then
 *   the party is done     shut the link down, start a job that clears up, wait for the link's end a little while
 *   the link is gone      fail
 *   the party speaks      start a job, if the link has room
 *
 * The end: link gone, no job at work, timer closed; then on_end.
 */
#include "protocol/sync/conversation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "protocol/base/buffer.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/pace.h"
#include "protocol/sync/party.h"
#include "protocol/wire/frame.h"
#include "protocol/wire/message.h"
#include "protocol/wire/noise.h"

/* A long call is announced this often, well within any idle time-out. */
#define WAIT_INTERVAL_MS 5000
/* How long the peer is given to end the stream after everything was said. */
#define GOODBYE_MS 5000
#define TICK_MS    250
/* What is sent may be so far ahead of its pace: the next look is a tick away. */
#define PACE_AHEAD_MS (2 * TICK_MS)
/* What a party may have said in one job. One speak adds at most about LIMIT_CHUNK. */
#define OUT_MAX    (4 * LIMIT_FRAME)
#define OUT_ENOUGH (2 * LIMIT_CHUNK)
/*
 * So much of what comes is kept for the next job while one is at work, so that the peer can go on writing meanwhile: with no
 * more than one read's worth, both sides of a pull waited for each other a third of the time. Then the link is paused; what may come
 * before that takes effect.
 */
#define INBOX_ENOUGH LIMIT_FRAME
#define INBOX_MAX    (16 * LIMIT_FRAME)

struct conversation {
    struct conversation_options options;
    struct party *party; /* borrowed */
    struct link *link;   /* NULL once it is gone */
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_work_t job;

    /* Touched by the job while it is at work, by the loop otherwise. */
    struct frame_reader reader;
    struct buffer out;
    struct error job_error;
    uint32_t heard;       /* messages that the last job took */
    int has_heard;        /* a whole message came, ever */
    uint32_t far_place;   /* the place that the peer's last WAIT told */
    int far_failed;       /* the peer sent ERROR: it does not want to hear ours */

    struct buffer inbox;  /* bytes that came while a job was at work */
    struct error error;   /* why it failed; ERR_NONE: it did not */
    struct error link_error; /* how the link ended */
    struct error stop;    /* what it is to be ended with; ERR_NONE: it is not */
    int is_mute;          /* the party's, as of the last job */
    int is_woken;         /* conversation_wake came while a job was at work */
    uint32_t place;       /* that was told to the peer last */
    uint32_t told_place;  /* of far_place, that the user was told last */
    int job_runs;
    int ending;           /* the link was shut down: all is said */
    int timer_closed;
    int spoke;            /* something was said since something was last heard */
    size_t queued;        /* link_queued at the last tick */
    uint64_t last_life;   /* when bytes last came or left */
    uint64_t last_heard;  /* when they last came */
    uint64_t last_wait;   /* when the job started, or a WAIT was sent */
    uint64_t ending_since;
    struct pace pace;     /* of what is sent */
    struct conversation_stats stats;
};

static void pump(struct conversation *conversation);
static void say_wait(struct conversation *conversation);

/* ---- what happens on the worker thread ---- */

/* Whether bytes wait that are no frame's beginning: no length that is allowed begins with them. */
static int begins_as_noise(const struct frame_reader *reader)
{
    return frame_reader_pending(reader) > 0 && reader->pending.data[reader->taken] != 0;
}

/* What came first was not a message. */
static int refuse_noise(struct conversation *conversation, struct error *error)
{
    const struct frame_reader *reader = &conversation->reader;

    return noise_refuse(reader->pending.data + reader->taken, frame_reader_pending(reader), conversation->options.far_side,
                        conversation->options.noise_advice, error);
}

/* Take the next whole message. *got tells whether there was one. */
static int hear_next(struct conversation *conversation, int *got, struct error *error)
{
    struct message message;
    const uint8_t *payload;
    size_t len;
    int code;
    int rc;

    frame_reader_limit(&conversation->reader, conversation->party->is_mute ? LIMIT_FRAME_STRANGER : LIMIT_FRAME);
    rc = frame_reader_next(&conversation->reader, &payload, &len, error);

    *got = 0;
    if (rc == 0 && payload != NULL)
        rc = message_decode(payload, len, &message, error);
    if (rc != 0 && payload == NULL && !conversation->has_heard)
        return refuse_noise(conversation, error);
    if (rc != 0 || payload == NULL)
        return rc;
    *got = 1;
    conversation->has_heard = 1;
    conversation->heard++;
    if (message.type == MESSAGE_ERROR) {
        conversation->far_failed = 1;
        code = error_from_name(message.error.name, strlen(message.error.name));
        error_set(error, code, "%s", message.error.text);
        if (strcmp(error_name(code), message.error.name) != 0)
            error_set(error, code, "%s (an error %s, which this version does not know: it may be older than the other side)",
                      message.error.text, message.error.name);
        return error_wrap(error, "at %s", conversation->options.far_side);
    }
    conversation->far_place = message.type == MESSAGE_WAIT ? message.wait.place : 0;
    if (message.type == MESSAGE_WAIT || conversation->party->status == PARTY_DONE)
        return 0;
    return conversation->party->methods->hear(conversation->party, &message, &conversation->out, error);
}

static void job_work(uv_work_t *job)
{
    struct conversation *conversation = job->data;
    struct party *party = conversation->party;
    struct error *error = &conversation->job_error;
    int was_mute = party->is_mute;
    int got = 1;
    int rc = 0;

    while (rc == 0 && got && party->status != PARTY_WAITS)
        rc = hear_next(conversation, &got, error);
    /* The loop learns first that the peer may be told of a long call. */
    if (was_mute && !party->is_mute)
        return;
    /* What was answered goes out before something long is begun: the peer can be at work meanwhile. */
    if (conversation->out.len > 0)
        return;
    while (rc == 0 && party->status == PARTY_SPEAKS && conversation->out.len < OUT_ENOUGH)
        rc = party->methods->speak(party, &conversation->out, error);
}

static void clear_up_work(uv_work_t *job)
{
    struct conversation *conversation = job->data;

    conversation->party->methods->clear_up(conversation->party);
}

/* ---- the loop's side ---- */

static void finish_if_gone(struct conversation *conversation)
{
    const struct conversation_options options = conversation->options;
    struct conversation_stats stats = conversation->stats;
    struct error error = conversation->error;

    if (conversation->job_runs || conversation->link != NULL || !conversation->timer_closed)
        return;
    frame_reader_release(&conversation->reader);
    buffer_release(&conversation->out);
    buffer_release(&conversation->inbox);
    free(conversation);
    options.on_end(options.user, &error, &stats);
}

static void timer_closed(uv_handle_t *handle)
{
    struct conversation *conversation = handle->data;

    conversation->timer_closed = 1;
    finish_if_gone(conversation);
}

/* Let go of everything now; finish_if_gone does the rest when it is gone. */
static void close_everything(struct conversation *conversation)
{
    conversation->ending = 1;
    if (conversation->link != NULL)
        link_close(conversation->link);
    if (!uv_is_closing((uv_handle_t *)&conversation->timer))
        uv_close((uv_handle_t *)&conversation->timer, timer_closed);
}

/* Hand what was said to the link. */
static void flush(struct conversation *conversation)
{
    uint8_t *data;
    size_t len;

    if (conversation->link == NULL || conversation->out.len == 0)
        return;
    data = buffer_detach(&conversation->out, &len);
    conversation->stats.sent += len;
    conversation->spoke = 1;
    pace_spend(&conversation->pace, len, clock_monotonic_ms());
    link_write_take(conversation->link, data, len);
}

/* All is said. The peer ends the stream from its side; the timer does not wait for that for ever. */
static void say_goodbye(struct conversation *conversation)
{
    conversation->ending = 1;
    conversation->ending_since = clock_monotonic_ms();
    flush(conversation);
    if (conversation->link == NULL) {
        close_everything(conversation);
        return;
    }
    link_shutdown(conversation->link);
    link_resume(conversation->link);
}

/* It failed. Tell the peer if it may still listen, and end. */
static void fail(struct conversation *conversation, const struct error *error)
{
    struct message message = {.type = MESSAGE_ERROR};

    if (conversation->error.code == ERR_NONE)
        conversation->error = *error;
    if (conversation->ending)
        return;
    if (!conversation->far_failed && !conversation->is_mute) {
        snprintf(message.error.name, sizeof(message.error.name), "%s", error_name(error->code));
        snprintf(message.error.text, sizeof(message.error.text), "%s", error->text);
        message_encode(&message, &conversation->out, NULL);
    }
    say_goodbye(conversation);
}

static void job_done(uv_work_t *job, int status)
{
    struct conversation *conversation = job->data;
    uint32_t place;
    int has_moved;

    (void)status;
    conversation->job_runs = 0;
    conversation->is_mute = conversation->party->is_mute;
    if (conversation->heard > 0 && conversation->spoke) {
        conversation->stats.round_trips++;
        conversation->spoke = 0;
    }
    conversation->last_life = clock_monotonic_ms();
    if (conversation->ending) {
        finish_if_gone(conversation);
        return;
    }
    pace_set(&conversation->pace, conversation->party->send_rate);
    if (conversation->job_error.code != ERR_NONE)
        fail(conversation, &conversation->job_error);
    else
        flush(conversation);
    /* The next job may touch far_place. */
    place = conversation->far_place;
    has_moved = place != conversation->told_place && conversation->options.on_place != NULL;
    conversation->told_place = place;
    pump(conversation);
    if (has_moved)
        conversation->options.on_place(conversation->options.user, place);
}

/* Nothing is left to say or to hear; the party may have something left to do. */
static void clear_up(struct conversation *conversation)
{
    if (conversation->party->methods->clear_up == NULL)
        return;
    conversation->heard = 0;
    conversation->job_runs = 1;
    uv_queue_work(conversation->loop, &conversation->job, clear_up_work, job_done);
}

static void start_job(struct conversation *conversation)
{
    struct error error = {0};

    if (frame_reader_feed(&conversation->reader, conversation->inbox.data, conversation->inbox.len, &error) != 0) {
        fail(conversation, &error);
        return;
    }
    conversation->inbox.len = 0;
    conversation->heard = 0;
    conversation->job_runs = 1;
    if (conversation->party->is_light) {
        job_work(&conversation->job);
        job_done(&conversation->job, 0);
        return;
    }
    conversation->last_wait = clock_monotonic_ms();
    conversation->place = 0;
    uv_queue_work(conversation->loop, &conversation->job, job_work, job_done);
}

/* The stream ended before the party was done. */
static void fail_for_lost_link(struct conversation *conversation)
{
    if (!conversation->has_heard && begins_as_noise(&conversation->reader))
        refuse_noise(conversation, &conversation->link_error);
    else if (conversation->link_error.code == ERR_NONE)
        error_set(&conversation->link_error, ERR_NO_LINK,
                  "%s ended the conversation before it was through; run the same command again",
                  conversation->options.far_side);
    fail(conversation, &conversation->link_error);
}

/* The party waits or lingers. Tell the peer, and where. */
static void stay_in_touch(struct conversation *conversation)
{
    const struct conversation_options *options = &conversation->options;
    uint32_t place = options->place != NULL ? options->place(options->user) : 0;
    uint64_t now = clock_monotonic_ms();

    if (place == conversation->place && now - conversation->last_wait < WAIT_INTERVAL_MS)
        return;
    conversation->place = place;
    conversation->last_wait = now;
    say_wait(conversation);
}

/* The party waits. Read on a little, to see the peer go. */
static void hold_still(struct conversation *conversation)
{
    if (conversation->inbox.len > LIMIT_FRAME)
        link_pause(conversation->link);
    else
        link_resume(conversation->link);
    stay_in_touch(conversation);
}

/* Whether the peer ended the stream where it may, between two messages. */
static int ended_well(const struct conversation *conversation)
{
    return conversation->party->status == PARTY_LISTENS && conversation->party->may_end &&
           conversation->link_error.code == ERR_NONE && frame_reader_pending(&conversation->reader) == 0;
}

/* Whether more is to be said, and it is too early for it. */
static int is_held_back(const struct conversation *conversation)
{
    return pace_wait_ms(&conversation->pace, clock_monotonic_ms()) > PACE_AHEAD_MS;
}

static void pump(struct conversation *conversation)
{
    enum party_status status;

    if (conversation->job_runs || conversation->ending)
        return;
    status = conversation->party->status;
    if ((status == PARTY_WAITS || status == PARTY_LINGERS) && conversation->is_woken)
        conversation->party->status = status = PARTY_SPEAKS;
    conversation->is_woken = 0;
    if (conversation->stop.code != ERR_NONE && status != PARTY_DONE)
        fail(conversation, &conversation->stop);
    else if (status == PARTY_WAITS && conversation->link == NULL)
        fail_for_lost_link(conversation);
    else if (status == PARTY_WAITS)
        hold_still(conversation);
    else if (conversation->inbox.len > 0)
        start_job(conversation);
    else if (status == PARTY_DONE) {
        say_goodbye(conversation);
        clear_up(conversation);
    }
    else if (conversation->link == NULL && ended_well(conversation))
        close_everything(conversation);
    else if (conversation->link == NULL)
        fail_for_lost_link(conversation);
    else if (status == PARTY_LINGERS)
        stay_in_touch(conversation);
    else if (status == PARTY_SPEAKS && link_queued(conversation->link) < link_queue_max(conversation->link) && !is_held_back(conversation))
        start_job(conversation);
    if (!conversation->job_runs && status != PARTY_WAITS && conversation->link != NULL)
        link_resume(conversation->link);
}

/* Say, while the job is at work and may touch `out`, that it is; or that the party waits or lingers, and where. */
static void say_wait(struct conversation *conversation)
{
    const struct message message = {.type = MESSAGE_WAIT, .wait = {.place = conversation->place}};
    struct buffer bytes;
    size_t len;

    buffer_init(&bytes, LIMIT_FRAME);
    if (message_encode(&message, &bytes, NULL) == 0) {
        uint8_t *data = buffer_detach(&bytes, &len);
        conversation->stats.sent += len;
        link_write_take(conversation->link, data, len);
    }
    buffer_release(&bytes);
}

/* Since when the peer may be gone. One that lingers is known by what it says alone: what we say leaves this machine in any case. */
static uint64_t last_sign_of_life(const struct conversation *conversation)
{
    return conversation->party->status == PARTY_LINGERS ? conversation->last_heard : conversation->last_life;
}

static void on_tick(uv_timer_t *timer)
{
    struct conversation *conversation = timer->data;
    uint64_t now = clock_monotonic_ms();
    struct error error;

    if (conversation->ending) {
        if (now - conversation->ending_since > GOODBYE_MS)
            close_everything(conversation);
        return;
    }
    if (conversation->link == NULL)
        return;
    if (link_queued(conversation->link) != conversation->queued)
        conversation->last_life = now;
    conversation->queued = link_queued(conversation->link);
    if (!conversation->job_runs && conversation->party->status == PARTY_WAITS) {
        conversation->last_life = now;
        pump(conversation);
    } else if (!conversation->job_runs && conversation->party->status == PARTY_SPEAKS && conversation->pace.rate > 0) {
        if (is_held_back(conversation)) {
            conversation->last_life = now;
            stay_in_touch(conversation);
        }
        pump(conversation);
    } else if (conversation->job_runs && !conversation->is_mute) {
        if (now - conversation->last_wait >= WAIT_INTERVAL_MS) {
            conversation->last_wait = now;
            say_wait(conversation);
        }
    } else if (!conversation->job_runs && now - last_sign_of_life(conversation) > conversation->options.idle_timeout_ms) {
        error_set(&error, ERR_TIMEOUT, "nothing came from %s for %llu seconds; look at the network and at that machine",
                  conversation->options.far_side, (unsigned long long)conversation->options.idle_timeout_ms / 1000);
        /* Others may wait for the end of one that lingers: it is not given the time for a goodbye. */
        if (conversation->party->status == PARTY_LINGERS)
            conversation_cancel(conversation, &error);
        else
            fail(conversation, &error);
    } else if (!conversation->job_runs && conversation->party->status == PARTY_LINGERS) {
        pump(conversation);
    }
}

/* ---- the link's callbacks ---- */

static void on_open(void *user)
{
    struct conversation *conversation = user;

    conversation->last_life = conversation->last_heard = clock_monotonic_ms();
}

static void on_bytes(void *user, const uint8_t *data, size_t len)
{
    struct conversation *conversation = user;
    struct error error = {0};

    conversation->last_life = conversation->last_heard = clock_monotonic_ms();
    conversation->stats.received += len;
    if (conversation->ending)
        return;
    if (buffer_append(&conversation->inbox, data, len, &error) != 0)
        fail(conversation, &error);
    if (conversation->job_runs && (conversation->inbox.len >= INBOX_ENOUGH || conversation->is_mute))
        link_pause(conversation->link);
    pump(conversation);
}

static void on_drain(void *user)
{
    struct conversation *conversation = user;

    conversation->last_life = clock_monotonic_ms();
    pump(conversation);
}

static void on_far_line(void *user, const char *line)
{
    struct conversation *conversation = user;

    if (conversation->options.on_far_line != NULL)
        conversation->options.on_far_line(conversation->options.user, line);
}

static void on_close(void *user, const struct error *error)
{
    struct conversation *conversation = user;

    conversation->link = NULL;
    conversation->link_error = *error;
    if (conversation->ending)
        close_everything(conversation);
    else
        pump(conversation);
    finish_if_gone(conversation);
}

/* ---- the user's calls ---- */

const struct link_callbacks *conversation_link_callbacks(void)
{
    static const struct link_callbacks callbacks = {on_open, on_bytes, on_drain, on_far_line, on_close};

    return &callbacks;
}

int conversation_new(struct conversation **conversation, struct uv_loop_s *loop, struct party *party,
                     const struct conversation_options *options, struct error *error)
{
    struct conversation *new = calloc(1, sizeof(*new));

    *conversation = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->options = *options;
    new->party = party;
    new->is_mute = party->is_mute;
    new->loop = loop;
    new->job.data = new;
    new->timer.data = new;
    new->last_life = new->last_heard = new->last_wait = clock_monotonic_ms();
    frame_reader_init(&new->reader);
    buffer_init(&new->out, OUT_MAX);
    buffer_init(&new->inbox, INBOX_MAX);
    uv_timer_init(loop, &new->timer);
    uv_timer_start(&new->timer, on_tick, TICK_MS, TICK_MS);
    if (party->status == PARTY_SPEAKS)
        start_job(new);
    *conversation = new;
    return 0;
}

void conversation_attach(struct conversation *conversation, struct link *link)
{
    assert(conversation->link == NULL);
    conversation->link = link;
    if (conversation->ending)
        link_close(link);
}

struct conversation_stats conversation_stats(const struct conversation *conversation)
{
    struct conversation_stats stats = conversation->stats;
    size_t queued = conversation->link != NULL ? link_queued(conversation->link) : 0;

    stats.sent -= queued < stats.sent ? queued : stats.sent;
    return stats;
}

void conversation_wake(struct conversation *conversation)
{
    conversation->is_woken = 1;
    pump(conversation);
}

void conversation_stop(struct conversation *conversation, const struct error *error)
{
    if (conversation->stop.code == ERR_NONE)
        conversation->stop = *error;
    pump(conversation);
}

void conversation_cancel(struct conversation *conversation, const struct error *error)
{
    if (conversation->error.code == ERR_NONE)
        conversation->error = *error;
    close_everything(conversation);
}
