/*
 *   CONNECTING --a place is told--> WAITING --TURN is heard--> TURN
 *       ^  |                           |                        |
 *       |  +------ the link ends ------+------------------------+
 *       |                              |
 *       +-- after a pause --- PAUSING <+     from each: line_leave --> LEFT
 *
 * The link carries TURN, and WAIT as a sign of life both ways (conversation.h, PARTY_LINGERS).
 */
#include "replica/line.h"

#include <stdlib.h>

#include <uv.h>

#include "protocol/base/buffer.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/random.h"
#include "protocol/sync/conversation.h"
#include "protocol/sync/party.h"
#include "protocol/wire/message.h"
#include "replica/connect.h"

/* Both sides say every five seconds that they are there. */
#define SILENCE_MS 30000
/* Before another attempt to get in line: this, doubled each time up to the longest, half of it by
 * chance. */
#define PAUSE_MS     1000u
#define PAUSE_MAX_MS 30000u

enum line_state { CONNECTING, WAITING, TURN, PAUSING, LEFT };

struct line {
    struct party party;
    struct line_options options;
    uv_loop_t *loop;
    uv_timer_t timer;                  /* in PAUSING, and at zero to get out of line_new */
    struct conversation *conversation; /* NULL where there is none */
    enum line_state state;
    int is_settled;
    unsigned attempts;         /* since there last was a place */
    uint64_t since;            /* when the waiting began, clock_monotonic_ms */
    void (*closed)(void *arg); /* NULL before line_close */
    void *closed_arg;
};

static void attempt(struct line *line);

/* ---- the party ---- */

static int hear(struct party *party, const struct message *message, struct buffer *out,
                struct error *error)
{
    struct line *line = (struct line *)party;

    (void)out;
    if (message->type != MESSAGE_TURN || line->state == TURN)
        return error_set(error, ERR_PROTOCOL, "%s came on a link that is a place in line",
                         message_name(message->type));
    if (line->state == LEFT)
        return 0;
    line->state = TURN;
    line->attempts = 0;
    line->options.on_turn(line->options.user);
    return 0;
}

/* After line_leave. */
static int speak(struct party *party, struct buffer *out, struct error *error)
{
    const struct message message = {.type = MESSAGE_TURN};

    party->status = PARTY_DONE;
    return message_encode(&message, out, error);
}

/* ---- the link ---- */

static void on_place(void *user, uint32_t place)
{
    struct line *line = user;

    if (place == 0 || line->state == TURN || line->state == LEFT)
        return;
    line->state = WAITING;
    line->attempts = 0;
    line->options.on_place(line->options.user, place);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct line *line = handle->data;
    void (*closed)(void *arg) = line->closed;
    void *arg = line->closed_arg;

    free(line);
    closed(arg);
}

static void on_timer(uv_timer_t *timer)
{
    attempt(timer->data);
}

/* There is no place. Try for another in a while, where one is still of use. */
static void lose(struct line *line, const struct error *error)
{
    uint64_t pause = PAUSE_MS << (line->attempts < 5 ? line->attempts : 5);

    line->state = PAUSING;
    line->attempts++;
    if (pause > PAUSE_MAX_MS)
        pause = PAUSE_MAX_MS;
    if (!line->is_settled)
        uv_timer_start(&line->timer, on_timer, pause / 2 + random_below(pause / 2), 0);
    line->options.on_lost(line->options.user, error);
}

static void on_end(void *user, const struct error *error, const struct conversation_stats *stats)
{
    struct line *line = user;

    (void)stats;
    line->conversation = NULL;
    if (line->closed != NULL)
        uv_close((uv_handle_t *)&line->timer, on_timer_closed);
    else if (line->state != LEFT)
        lose(line, error);
}

static void attempt(struct line *line)
{
    static const struct party_methods methods = {hear, speak, NULL};
    const struct conversation_options options = {.far_side = "the origin",
                                                 .idle_timeout_ms = SILENCE_MS,
                                                 .on_end = on_end,
                                                 .on_place = on_place,
                                                 .user = line};
    struct link *link = NULL;
    struct error error = {0};
    int rc;

    line->state = CONNECTING;
    line->party = (struct party){.methods = &methods, .status = PARTY_LINGERS, .is_light = 1};
    rc = conversation_new(&line->conversation, line->loop, &line->party, &options, &error);
    if (rc != 0) {
        lose(line, &error);
        return;
    }
    rc = connect_to_line(line->loop, line->options.origin, line->options.connect,
                         clock_monotonic_ms() - line->since, conversation_link_callbacks(),
                         line->conversation, &link, &error);
    if (rc == 0)
        conversation_attach(line->conversation, link);
    else
        conversation_cancel(line->conversation, &error);
}

/* ---- the user's calls ---- */

int line_new(struct line **line, uv_loop_t *loop, const struct line_options *options,
             struct error *error)
{
    struct line *new = calloc(1, sizeof(*new));

    *line = new;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->options = *options;
    new->loop = loop;
    new->since = clock_monotonic_ms();
    new->state = PAUSING;
    uv_timer_init(loop, &new->timer);
    new->timer.data = new;
    uv_timer_start(&new->timer, on_timer, 0, 0);
    return 0;
}

void line_settle(struct line *line)
{
    line->is_settled = 1;
    uv_timer_stop(&line->timer);
}

void line_leave(struct line *line)
{
    struct error error;
    int is_known = line->state == WAITING || line->state == TURN;

    if (line->state == LEFT)
        return;
    line->state = LEFT;
    uv_timer_stop(&line->timer);
    if (line->conversation == NULL)
        return;
    if (is_known) {
        conversation_wake(line->conversation);
        return;
    }
    error_set(&error, ERR_NO_LINK, "the place in line is not wanted any more");
    conversation_cancel(line->conversation, &error);
}

void line_close(struct line *line, void (*closed)(void *arg), void *arg)
{
    line_leave(line);
    line->closed = closed;
    line->closed_arg = arg;
    if (line->conversation == NULL)
        uv_close((uv_handle_t *)&line->timer, on_timer_closed);
}
