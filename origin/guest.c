#include "origin/guest.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "origin/visit.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/link/link.h"
#include "protocol/link/link_tls.h"
#include "protocol/link/tls_certificate.h"
#include "protocol/sync/conversation.h"

struct guest {
    struct guest_links links;
    struct guest_options options;
    struct visit *visit;
    struct conversation *conversation; /* NULL when it is over */
    struct link *link;                 /* NULL when it is gone */
    uv_timer_t deadline;
    uv_work_t freeing;               /* of the visit, last */
    struct error end;                /* how the conversation ended */
    struct conversation_stats stats; /* what crossed by then */
    uint64_t began;                  /* clock_monotonic_ms */
    char peer[128];                  /* the client's address */
};

static void deadline_cb(uv_timer_t *timer);
static void deadline_closed_cb(uv_handle_t *handle);
static void free_visit(uv_work_t *work);
static void visit_freed_cb(uv_work_t *work, int status);

/* ---- the link's callbacks: the conversation's, and who is there ---- */

static void on_open(void *user)
{
    struct guest *guest = user;
    struct tls_peer peer;

    link_tls_peer(guest->link, &peer);
    visit_set_peer(guest->visit, &peer, link_name(guest->link));
    conversation_link_callbacks()->on_open(guest->conversation);
}

static void on_bytes(void *user, const uint8_t *data, size_t len)
{
    struct guest *guest = user;

    conversation_link_callbacks()->on_bytes(guest->conversation, data, len);
}

static void on_drain(void *user)
{
    struct guest *guest = user;

    conversation_link_callbacks()->on_drain(guest->conversation);
}

static void on_close(void *user, const struct error *error)
{
    struct guest *guest = user;

    guest->link = NULL;
    conversation_link_callbacks()->on_close(guest->conversation, error);
}

/* ---- the conversation's ---- */

static uint32_t place(void *user)
{
    struct guest *guest = user;

    return visit_place(guest->visit);
}

static void on_end(void *user, const struct error *error, const struct conversation_stats *stats)
{
    struct guest *guest = user;

    guest->conversation = NULL;
    guest->end = *error;
    guest->stats = *stats;
    uv_close((uv_handle_t *)&guest->deadline, deadline_closed_cb);
}

static void on_turn(void *user)
{
    struct guest *guest = user;

    if (guest->conversation != NULL)
        conversation_wake(guest->conversation);
}

/* ---- the life of a guest ---- */

/* There is no link. What there is goes as if there had been one; the list does not know of it. */
static void give_up(struct guest *guest, const struct error *error)
{
    guest->options.on_gone = NULL;
    if (guest->conversation != NULL)
        conversation_cancel(guest->conversation, error);
    else
        uv_close((uv_handle_t *)&guest->deadline, deadline_closed_cb);
}

int guest_new(struct guest **guest, uv_stream_t *listener, const struct guest_options *options,
              struct error *error)
{
    static const struct link_callbacks callbacks = {on_open, on_bytes, on_drain, NULL, on_close};
    struct guest *new = calloc(1, sizeof(*new));
    const struct conversation_options conversation_options = {.far_side = "the replica",
                                                              .idle_timeout_ms =
                                                                  options->idle_timeout_ms,
                                                              .on_end = on_end,
                                                              .place = place,
                                                              .user = new};
    int rc;

    *guest = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->options = *options;
    new->began = clock_monotonic_ms();
    uv_timer_init(listener->loop, &new->deadline);
    new->deadline.data = new;
    rc = visit_new(&new->visit, options->house, on_turn, new, error);
    if (rc == 0)
        rc = conversation_new(&new->conversation, listener->loop, visit_party(new->visit),
                              &conversation_options, error);
    if (rc == 0)
        rc = link_tls_accept(listener, &callbacks, new, options->context,
                             options->turn, options->handshake_timeout_ms, &new->link, error);
    if (rc != 0) {
        give_up(new, error);
        return rc;
    }
    snprintf(new->peer, sizeof(new->peer), "%s", link_name(new->link));
    uv_timer_start(&new->deadline, deadline_cb, options->handshake_timeout_ms, 0);
    conversation_attach(new->conversation, new->link);
    *guest = new;
    return 0;
}

/* Whoever has not shown who he is by now goes, however busy he seems. */
static void deadline_cb(uv_timer_t *timer)
{
    struct guest *guest = timer->data;
    struct error error;

    if (guest->conversation == NULL || visit_is_known(guest->visit))
        return;
    error_set(&error, ERR_TIMEOUT, "%s did not say in time who it is",
              guest->link != NULL ? link_name(guest->link) : "a client");
    conversation_cancel(guest->conversation, &error);
}

/* Who it was, from where, what crossed, how it ended. */
static void log_end(const struct guest *guest)
{
    struct log_fields fields = {.event = "end",
                                .outcome = error_name(guest->end.code),
                                .is_end = 1,
                                .sent = guest->stats.sent,
                                .received = guest->stats.received,
                                .milliseconds = clock_monotonic_ms() - guest->began};
    int is_known = visit_is_known(guest->visit);

    visit_log_fields(guest->visit, &fields);
    fields.peer = guest->peer;
    log_event(guest->end.code == ERR_INTERNAL ? LOG_ERROR : LOG_INFO, &fields,
              "%s%s%s is gone after %llu ms: %llu bytes received, %llu sent%s%s",
              is_known ? fields.client : "", is_known ? " from " : "", guest->peer,
              (unsigned long long)fields.milliseconds, (unsigned long long)fields.received,
              (unsigned long long)fields.sent, guest->end.code != ERR_NONE ? ": " : "",
              guest->end.text);
}

static void deadline_closed_cb(uv_handle_t *handle)
{
    struct guest *guest = handle->data;

    /* Where guest_new failed nobody came. */
    if (guest->options.on_gone != NULL) {
        log_end(guest);
        visit_set_over(guest->visit, guest->end.code, guest->stats.sent, guest->stats.received);
    }
    visit_leave(guest->visit);
    guest->freeing.data = guest;
    uv_queue_work(handle->loop, &guest->freeing, free_visit, visit_freed_cb);
}

/* Closing a database may take long: not on the loop. */
static void free_visit(uv_work_t *work)
{
    struct guest *guest = work->data;

    visit_free(guest->visit);
}

static void visit_freed_cb(uv_work_t *work, int status)
{
    struct guest *guest = work->data;

    (void)status;
    if (guest->options.on_gone != NULL)
        guest->options.on_gone(guest, guest->options.user);
    free(guest);
}

struct guest_links *guest_links(struct guest *guest)
{
    return &guest->links;
}

void guest_stop(struct guest *guest, const struct error *error)
{
    if (guest->conversation != NULL)
        conversation_stop(guest->conversation, error);
}
