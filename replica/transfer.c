#include "replica/transfer.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "protocol/base/clock.h"
#include "protocol/base/log.h"
#include "protocol/base/random.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/party.h"
#include "replica/page_diff.h"
#include "replica/push.h"
#include "replica/version_list.h"

/* A database in rollback mode that is written to all the time can move between scan and transfer. */
#define ATTEMPTS_MAX    5
#define RETRY_DELAY_MS  200
/* An origin that is being restarted, or is full, is tried again (--retry-for), with pauses that double up to the longest. */
#define AWAY_DELAY_MAX_MS 5000
#define NOISE_ADVICE                                                                                                               \
    "something on the far machine prints before lockstep-origin starts, most often ~/.bashrc, a login script or a forced command " \
    "of authorized_keys: let it print to stderr, or only where there is a terminal; or --exe names another program"

struct transfer {
    struct transfer_options options;
    uv_loop_t *loop;
    uv_timer_t timer;        /* between attempts */
    struct conversation *conversation; /* NULL between attempts */
    struct local_copy copy;
    struct pull *pull;
    struct push *push;
    struct compare *compare;
    struct version_list *versions;
    struct page_diff *diff;
    int attempts;
    uint64_t away_since;     /* when the origin first asked to be tried later; 0: it did not */
    uint64_t away_delay;     /* the last pause since, milliseconds */
    int cancelled;
    uint64_t started;
    struct meter meter;
    struct transfer_outcome outcome;
};

static void attempt(struct transfer *transfer);

static struct party *make_party(struct transfer *transfer, struct error *error)
{
    switch (transfer->options.kind) {
    case TRANSFER_PULL:
        return pull_new(&transfer->pull, &transfer->copy, &transfer->options.sync, error) == 0 ? pull_party(transfer->pull)
                                                                                                : NULL;
    case TRANSFER_PUSH:
        return push_new(&transfer->push, &transfer->copy, &transfer->options.sync, error) == 0 ? push_party(transfer->push)
                                                                                                : NULL;
    case TRANSFER_HISTORY:
        return version_list_new(&transfer->versions, transfer->options.versions, error) == 0 ? version_list_party(transfer->versions)
                                                                                              : NULL;
    case TRANSFER_DIFF:
        return page_diff_new(&transfer->diff, &transfer->copy, &transfer->meter, error) == 0 ? page_diff_party(transfer->diff) : NULL;
    default:
        return compare_new(&transfer->compare, &transfer->copy, transfer->options.kind == TRANSFER_VERIFY, &transfer->meter, error) == 0
                   ? compare_party(transfer->compare)
                   : NULL;
    }
}

/* Take from the party what the outcome needs, and let go of everything that belongs to this attempt. */
static void collect(struct transfer *transfer)
{
    struct transfer_outcome *outcome = &transfer->outcome;
    const struct message_hello *hello = transfer->pull != NULL      ? pull_hello(transfer->pull)
                                        : transfer->push != NULL    ? push_hello(transfer->push)
                                        : transfer->compare != NULL ? &compare_result(transfer->compare)->hello
                                                                    : NULL;

    if (hello != NULL)
        outcome->fence_token = hello->fence_token;
    if (transfer->pull != NULL)
        outcome->result = *pull_result(transfer->pull);
    if (transfer->push != NULL)
        outcome->result = *push_result(transfer->push);
    if (transfer->compare != NULL)
        outcome->comparison = *compare_result(transfer->compare);
    version_list_free(outcome->versions);
    outcome->versions = transfer->versions;
    transfer->versions = NULL;
    page_diff_free(outcome->diff);
    outcome->diff = transfer->diff;
    transfer->diff = NULL;
    outcome->book = transfer->copy.book;
    outcome->local = transfer->copy.geometry;
    outcome->at_base = transfer->copy.sidecar != NULL && local_copy_is_at_base(&transfer->copy);
    pull_free(transfer->pull);
    push_free(transfer->push);
    compare_free(transfer->compare);
    transfer->pull = NULL;
    transfer->push = NULL;
    transfer->compare = NULL;
    local_copy_release(&transfer->copy);
}

/* Say what was being done, and between which two. */
static void name_both_sides(const struct transfer_options *options, struct error *error)
{
    const struct error cause = *error;

    if (cause.code == ERR_MOVED)
        error_set(error, ERR_MOVED, "%s; run the same command again, or put that database into WAL mode, where readers are not disturbed",
                  cause.text);
    if (options->kind == TRANSFER_PUSH)
        error_wrap(error, "pushing %s to %s", options->local, options->origin_name);
    else if (options->kind == TRANSFER_PULL)
        error_wrap(error, "pulling %s into %s", options->origin_name, options->local);
    else if (options->kind == TRANSFER_HISTORY)
        error_wrap(error, "asking %s for its versions", options->origin_name);
    else
        error_wrap(error, "comparing %s with %s", options->local, options->origin_name);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct transfer *transfer = handle->data;

    if (transfer->outcome.error.code != ERR_NONE)
        name_both_sides(&transfer->options, &transfer->outcome.error);
    transfer->outcome.milliseconds = clock_monotonic_ms() - transfer->started;
    for (int phase = 0; phase < METER_PHASES; phase++)
        transfer->outcome.spent[phase] = meter_spent(&transfer->meter, phase);
    transfer->options.on_end(transfer->options.user, &transfer->outcome);
    explicit_bzero(transfer, sizeof(*transfer));
    free(transfer);
}

static void on_timer(uv_timer_t *timer)
{
    attempt(timer->data);
}

/* Whether the origin asked for another attempt in a while, or did so before and is not back yet. The pause is set. */
static int is_away(struct transfer *transfer)
{
    int code = transfer->outcome.error.code;
    uint64_t now = clock_monotonic_ms();
    uint64_t delay = transfer->away_delay == 0 ? RETRY_DELAY_MS : 2 * transfer->away_delay;

    if (code != ERR_TRY_LATER && (transfer->away_since == 0 || (code != ERR_NO_LINK && code != ERR_TIMEOUT)))
        return 0;
    if (transfer->away_since == 0)
        transfer->away_since = now;
    transfer->away_delay = delay < AWAY_DELAY_MAX_MS ? delay : AWAY_DELAY_MAX_MS;
    return now - transfer->away_since < transfer->options.connect->retry_for_ms;
}

/* The attempt is over: try again where that can help, else end. */
static void decide(struct transfer *transfer)
{
    struct error *error = &transfer->outcome.error;

    if (!transfer->cancelled && error->code == ERR_MOVED && transfer->attempts < ATTEMPTS_MAX) {
        uv_timer_start(&transfer->timer, on_timer, RETRY_DELAY_MS, 0);
        return;
    }
    if (!transfer->cancelled && is_away(transfer)) {
        log_line(LOG_INFO, "%s; trying again in %llu ms", error->text, (unsigned long long)transfer->away_delay);
        uv_timer_start(&transfer->timer, on_timer, transfer->away_delay + random_below(transfer->away_delay), 0);
        return;
    }
    if (!uv_is_closing((uv_handle_t *)&transfer->timer))
        uv_close((uv_handle_t *)&transfer->timer, on_timer_closed);
}

/* After a sync, with no connection to the database left: make the base that the next push builds on. */
static void keep_base(struct transfer *transfer, const char *real_path)
{
    int is_sync = transfer->options.kind == TRANSFER_PULL || transfer->options.kind == TRANSFER_PUSH;
    struct error error = {0};

    if (transfer->options.sync.dry_run)
        return;
    if (is_sync && transfer->outcome.error.code == ERR_NONE)
        meter_enter(&transfer->meter, METER_KEEPING);
    if (is_sync && real_path != NULL && transfer->outcome.error.code == ERR_NONE &&
        kept_base_make(real_path, transfer->options.sync.base, &error) != 0)
        log_line(LOG_WARNING, "%s", error.text);
}

static void on_end(void *user, const struct error *error, const struct conversation_stats *stats)
{
    struct transfer *transfer = user;

    char *real_path = transfer->copy.real_path != NULL ? strdup(transfer->copy.real_path) : NULL;

    transfer->conversation = NULL;
    transfer->outcome.error = *error;
    transfer->outcome.stats.sent += stats->sent;
    transfer->outcome.stats.received += stats->received;
    transfer->outcome.stats.round_trips += stats->round_trips;
    collect(transfer);
    keep_base(transfer, real_path);
    free(real_path);
    decide(transfer);
}

static void on_far_line(void *user, const char *line)
{
    (void)user;
    log_line(LOG_WARNING, "far side: %s", line);
}

static void on_place(void *user, uint32_t place)
{
    struct transfer *transfer = user;

    meter_set_place(&transfer->meter, place);
    if (place > 0)
        log_line(LOG_INFO, "waiting for others to push first: place %u in the queue", place);
}

static void attempt(struct transfer *transfer)
{
    const struct transfer_options *options = &transfer->options;
    struct conversation_options conversation_options = {.far_side = "the origin",
                                                        .noise_advice = NOISE_ADVICE,
                                                        .idle_timeout_ms = options->sync.io_timeout_ms,
                                                        .on_end = on_end,
                                                        .on_far_line = on_far_line,
                                                        .on_place = on_place,
                                                        .user = transfer};
    struct error *error = &transfer->outcome.error;
    struct party *party;
    struct link *link;
    int rc;

    error_init(error);
    transfer->attempts++;
    rc = options->local != NULL ? local_copy_open(&transfer->copy, options->local, options->sync.timeout_ms, error) : 0;
    party = rc == 0 ? make_party(transfer, error) : NULL;
    if (party != NULL)
        rc = conversation_new(&transfer->conversation, transfer->loop, party, &conversation_options, error);
    if (party == NULL || rc != 0) {
        collect(transfer);
        decide(transfer);
        return;
    }
    rc = connect_start(transfer->loop, options->origin, options->connect, conversation_link_callbacks(),
                       transfer->conversation, &link, error);
    if (rc == 0)
        conversation_attach(transfer->conversation, link);
    else
        conversation_cancel(transfer->conversation, error);
}

int transfer_start(struct transfer **transfer, struct uv_loop_s *loop, const struct transfer_options *options,
                   struct error *error)
{
    struct transfer *new = calloc(1, sizeof(*new));

    *transfer = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->options = *options;
    meter_init(&new->meter);
    new->options.sync.meter = &new->meter;
    new->loop = loop;
    new->started = clock_monotonic_ms();
    uv_timer_init(loop, &new->timer);
    new->timer.data = new;
    uv_timer_start(&new->timer, on_timer, 0, 0);
    *transfer = new;
    return 0;
}

void transfer_look(const struct transfer *transfer, struct transfer_view *view)
{
    view->meter = &transfer->meter;
    view->stats = transfer->outcome.stats;
    view->milliseconds = clock_monotonic_ms() - transfer->started;
    if (transfer->conversation != NULL) {
        struct conversation_stats now = conversation_stats(transfer->conversation);
        view->stats.sent += now.sent;
        view->stats.received += now.received;
        view->stats.round_trips += now.round_trips;
    }
}

void transfer_cancel(struct transfer *transfer, const struct error *error)
{
    transfer->cancelled = 1;
    if (transfer->conversation != NULL) {
        conversation_cancel(transfer->conversation, error);
        return;
    }
    if (transfer->outcome.error.code == ERR_NONE || transfer->outcome.error.code == ERR_MOVED)
        transfer->outcome.error = *error;
    if (!uv_is_closing((uv_handle_t *)&transfer->timer))
        uv_close((uv_handle_t *)&transfer->timer, on_timer_closed);
}
