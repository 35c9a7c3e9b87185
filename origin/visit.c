#include "origin/visit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "origin/catalog.h"
#include "origin/database_watch.h"
#include "origin/lock_urls.h"
#include "origin/roster.h"
#include "origin/turn_queue.h"
#include "origin/visit_book.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/link/tls_certificate.h"
#include "protocol/sync/party.h"
#include "protocol/wire/message.h"

struct visit {
    struct party party;
    const struct visit_house *house;
    char address[128];
    struct tls_peer peer;
    char instance[129];
    char database[129];
    struct roster_entry entry;
    struct visit_book book;
    atomic_int is_known;
    char *path;              /* of the database, resolved; NULL before OPEN */
    struct session *session; /* NULL before OPEN, and on a link that is a place in the line of runs */
    int is_in_line;          /* it is one */
    struct turn_ticket ticket; /* of a push or, in line, of a run */
    struct message push;     /* that waits for its turn */
    int has_push;
};

/* The session did something: what it wants next is what we want, and after its end others may push. */
static int mirror(struct visit *visit, int rc)
{
    visit->party.status = session_party(visit->session)->status;
    visit->party.send_rate = session_party(visit->session)->send_rate;
    visit->party.may_end = session_party(visit->session)->may_end;
    if (rc != 0 || visit->party.status == PARTY_DONE)
        turn_queue_leave(visit->house->pushes, &visit->ticket);
    return rc;
}

/* ---- a place in the line of runs ---- */

static struct turn_queue *queue_of(const struct visit *visit)
{
    return visit->is_in_line ? visit->house->runs : visit->house->pushes;
}

/* Whoever runs pulls, fences and pushes; without the right to all of that he would hold up others for nothing. */
static int stand_in_line(struct visit *visit, const struct message_open *open, struct error *error)
{
    if (visit->house->session.origin != NULL)
        return session_refuse_change(&visit->house->session, error);
    if (!visit->entry.may_pull || !visit->entry.may_push)
        return error_set(error, ERR_NOT_ALLOWED, "%s may not both pull and push %s, and `lockstep run` does both; the origin's --allow says who may",
                         visit->entry.who, open->name);
    visit->is_in_line = 1;
    visit->book.queue = METRICS_QUEUE_RUN;
    visit->party.is_light = 1;
    visit->party.status = turn_queue_enter(visit->house->runs, &visit->ticket, open->waited) ? PARTY_SPEAKS : PARTY_LINGERS;
    return 0;
}

static int hear_in_line(struct visit *visit, const struct message *message, struct error *error)
{
    if (message->type != MESSAGE_TURN)
        return error_set(error, ERR_PROTOCOL, "%s came on a link that is a place in line", message_name(message->type));
    turn_queue_leave(visit->house->runs, &visit->ticket);
    visit->party.status = PARTY_DONE;
    return 0;
}

static int speak_turn(struct visit *visit, struct buffer *out, struct error *error)
{
    const struct message message = {.type = MESSAGE_TURN};
    struct log_fields fields = {0};

    visit_log_fields(visit, &fields);
    fields.event = "turn";
    log_event(LOG_INFO, &fields, "the turn at %s is with %s (%s)", visit->database, visit->entry.who, visit->instance);
    visit->party.status = PARTY_LINGERS;
    return message_encode(&message, out, error);
}

static int waits(struct visit *visit)
{
    return turn_queue_place(queue_of(visit), &visit->ticket) > 0;
}

/* ---- OPEN ---- */

/* Make the session with the database. Who asks is known, and is told what is wrong. */
static int open_database(struct visit *visit, const struct message_open *open, struct error *error)
{
    struct session_options options = visit->house->session;
    struct log_fields fields = {0};
    char *lock_url = NULL;
    int rc;

    if (open->protocol != PROTOCOL_VERSION)
        return error_set(error, ERR_PROTOCOL,
                         "the replica (%s) speaks version %u of the protocol, this origin speaks %u: upgrade the older one",
                         open->software, open->protocol, PROTOCOL_VERSION);
    rc = roster_permit(visit->house->roster, &visit->entry, &visit->peer, open->name, error);
    if (rc == 0)
        rc = catalog_find(visit->house->catalog, open->name, &visit->path, error);
    if (rc != 0)
        return rc;
    options.path = visit->path;
    options.names = (struct session_names){.database = visit->database,
                                           .client = visit->entry.who,
                                           .instance = visit->instance,
                                           .peer = visit->address};
    visit_book_open(&visit->book, &options.names);
    database_watch_add(visit->house->databases, visit->path, DATABASE_WATCH_SEEN);
    options.may_pull = visit->entry.may_pull;
    options.may_push = visit->entry.may_push;
    options.on_wake = visit->ticket.bell.on_ring;
    options.wake_user = visit->ticket.bell.user;
    visit->ticket.path = visit->path;
    visit_log_fields(visit, &fields);
    fields.event = "open";
    log_event(LOG_INFO, &fields, "%s (%s, from %s) %s %s", visit->entry.who, open->instance, visit->address,
              open->flags & OPEN_LINE ? "stands in line for" : "opens", open->name);
    if (open->flags & OPEN_LINE)
        return stand_in_line(visit, open, error);
    rc = lock_urls_find(visit->house->lock_urls, open->name, &lock_url, error);
    options.lock_url = lock_url;
    if (rc == 0)
        rc = session_new(&visit->session, &options, error);
    free(lock_url);
    return rc != 0 ? rc : mirror(visit, 0);
}

static int hear_open(struct visit *visit, const struct message *message, struct error *error)
{
    int rc;

    if (message->type != MESSAGE_OPEN)
        return error_set(error, ERR_AUTH, "%s said %s before it said who it is", visit->address, message_name(message->type));
    rc = roster_enter(visit->house->roster, &visit->entry, &visit->peer, message->open.token,
                      (message->open.flags & OPEN_LINE) != 0, error);
    if (rc == ERR_AUTH)
        return error_wrap(error, "%s was not let in", visit->address);
    snprintf(visit->instance, sizeof(visit->instance), "%s", message->open.instance);
    snprintf(visit->database, sizeof(visit->database), "%s", message->open.name);
    visit->party.is_mute = 0;
    atomic_store(&visit->is_known, 1);
    if (rc == 0)
        rc = open_database(visit, &message->open, error);
    return rc;
}

/* ---- the party ---- */

/* The turn of the push that waited has come. */
static int hear_waiting_push(struct visit *visit, struct buffer *out, struct error *error)
{
    struct party *session = session_party(visit->session);
    int rc = session->methods->hear(session, &visit->push, out, error);

    visit->has_push = 0;
    explicit_bzero(&visit->push, sizeof(visit->push));
    return mirror(visit, rc);
}

/*
 * Whoever wakes this party says that what the session waited for is there. The session is told, because it may hear a message
 * first that it passes over: with its status as it was, that would be the end of the wake, and nobody comes again.
 */
static void pass_on_wake(struct visit *visit)
{
    struct party *session = visit->session != NULL ? session_party(visit->session) : NULL;

    if (session != NULL && visit->party.status == PARTY_SPEAKS && session->status == PARTY_WAITS)
        session->status = PARTY_SPEAKS;
}

static int hear_now(struct visit *visit, const struct message *message, struct buffer *out, struct error *error)
{
    struct party *session;
    int rc;

    if (visit->is_in_line)
        return hear_in_line(visit, message, error);
    if (visit->session == NULL)
        return hear_open(visit, message, error);
    session = session_party(visit->session);
    /* Nothing is heard by one that waits: it was woken, and knows it now. */
    if (session->status == PARTY_WAITS)
        session->status = PARTY_SPEAKS;
    if (visit->has_push && (rc = hear_waiting_push(visit, out, error)) != 0)
        return rc;
    if (message->type == MESSAGE_PUSH && !(message->push.flags & SYNC_DRY_RUN) && visit->entry.may_push &&
        !turn_queue_enter(visit->house->pushes, &visit->ticket, 0)) {
        visit->push = *message;
        visit->has_push = 1;
        visit->party.status = PARTY_WAITS;
        return 0;
    }
    return mirror(visit, session->methods->hear(session, message, out, error));
}

static int speak_now(struct visit *visit, struct buffer *out, struct error *error)
{
    struct party *session;

    if (visit->is_in_line)
        return speak_turn(visit, out, error);
    if (visit->has_push)
        return hear_waiting_push(visit, out, error);
    session = session_party(visit->session);
    return mirror(visit, session->methods->speak(session, out, error));
}

static int hear(struct party *party, const struct message *message, struct buffer *out, struct error *error)
{
    struct visit *visit = (struct visit *)party;
    size_t from = out->len;
    int rc;

    visit_book_begin(&visit->book);
    pass_on_wake(visit);
    rc = hear_now(visit, message, out, error);
    visit_book_end(&visit->book, message, out, from, visit->session, waits(visit), rc);
    return rc;
}

static int speak(struct party *party, struct buffer *out, struct error *error)
{
    struct visit *visit = (struct visit *)party;
    size_t from = out->len;
    int rc;

    visit_book_begin(&visit->book);
    pass_on_wake(visit);
    rc = speak_now(visit, out, error);
    visit_book_end(&visit->book, NULL, out, from, visit->session, waits(visit), rc);
    return rc;
}

static void clear_up(struct party *party)
{
    struct visit *visit = (struct visit *)party;
    struct party *session;

    if (visit->session == NULL)
        return;
    session = session_party(visit->session);
    session->methods->clear_up(session);
}

int visit_new(struct visit **visit, const struct visit_house *house, void (*on_turn)(void *user),
              void *user, struct error *error)
{
    static const struct party_methods methods = {hear, speak, clear_up};
    struct visit *new = calloc(1, sizeof(*new));

    *visit = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->party = (struct party){.methods = &methods, .status = PARTY_LISTENS, .is_mute = 1};
    new->house = house;
    new->book.metrics = house->metrics;
    new->book.health = house->health;
    new->ticket.bell.on_ring = on_turn;
    new->ticket.bell.user = user;
    *visit = new;
    return 0;
}

void visit_leave(struct visit *visit)
{
    if (visit == NULL)
        return;
    turn_queue_leave(queue_of(visit), &visit->ticket);
    roster_leave(visit->house->roster, &visit->entry);
    if (visit->session != NULL)
        session_leave(visit->session);
}

void visit_free(struct visit *visit)
{
    if (visit == NULL)
        return;
    session_free(visit->session);
    free(visit->path);
    explicit_bzero(&visit->push, sizeof(visit->push));
    free(visit);
}

void visit_set_peer(struct visit *visit, const struct tls_peer *peer, const char *address)
{
    snprintf(visit->address, sizeof(visit->address), "%s", address);
    visit->peer = *peer;
}

void visit_set_over(struct visit *visit, int code, uint64_t sent, uint64_t received)
{
    visit_book_close(&visit->book, code, sent, received);
}

void visit_log_fields(const struct visit *visit, struct log_fields *fields)
{
    fields->client = visit->entry.who;
    fields->instance = visit->instance;
    fields->database = visit->database;
    fields->peer = visit->address;
}

struct party *visit_party(struct visit *visit)
{
    return &visit->party;
}

int visit_is_known(const struct visit *visit)
{
    return atomic_load(&visit->is_known);
}

uint32_t visit_place(struct visit *visit)
{
    return turn_queue_place(queue_of(visit), &visit->ticket);
}
