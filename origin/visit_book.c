#include "origin/visit_book.h"

#include <stdio.h>

#include "protocol/base/buffer.h"
#include "protocol/wire/message.h"

void visit_book_open(struct visit_book *book, const struct session_names *names)
{
    book->names = *names;
    snprintf(book->what, sizeof(book->what), "%s for %s (%s)", names->database, names->client,
             names->instance);
}

void visit_book_begin(struct visit_book *book)
{
    health_begin(book->health, &book->work, book->what[0] != '\0' ? book->what : "a stranger");
}

/* The request at hand is through. */
static void finish_deed(struct visit_book *book, int code)
{
    if (book->has_deed)
        metrics_deed(book->metrics, book->names.database, book->deed, code);
    book->has_deed = 0;
}

static void begin_deed(struct visit_book *book, int type)
{
    /* Asked again, because what HELLO said did not hold: it is the same one. */
    if (type == MESSAGE_PULL)
        book->deed = METRICS_PULL;
    else if (type == MESSAGE_PUSH)
        book->deed = METRICS_PUSH;
    else if (type == MESSAGE_VERIFY)
        book->deed = METRICS_VERIFY;
    else
        return;
    book->has_deed = 1;
}

/* Tell the metrics what the session has found out since they were last told. */
static void tell_report(struct visit_book *book, const struct session_report *report)
{
    const char *database = book->names.database;
    struct session_report *told = &book->told;

    if (report->version != told->version)
        metrics_version(book->metrics, database, report->version);
    if (report->replica_version != told->replica_version)
        metrics_replica_holds(book->metrics, database, book->names.instance,
                              report->replica_version);
    if (report->fence_token != told->fence_token ||
        report->is_fence_theirs != told->is_fence_theirs)
        metrics_fence(book->metrics, database, report->fence_token,
                      report->is_fence_theirs ? book->names.instance : NULL);
    if (report->lease_reads != told->lease_reads)
        metrics_lease(book->metrics, database, report->lease_state, report->lease_token, report->lease_holder);
    *told = *report;
}

static void tell_waiting(struct visit_book *book, int waits)
{
    if (waits != book->is_waiting)
        metrics_waits(book->metrics, book->names.database, book->queue, waits ? 1 : -1);
    book->is_waiting = waits;
}

void visit_book_end(struct visit_book *book, const struct message *heard, const struct buffer *out,
                    size_t from, const struct session *session, int waits, int rc)
{
    health_end(book->health, &book->work);
    traffic_count_said(&book->traffic, book->metrics, out, from);
    if (heard != NULL)
        traffic_count_heard(&book->traffic, book->metrics, heard);
    if (book->names.database == NULL)
        return;
    tell_waiting(book, waits);
    if (session == NULL)
        return;
    if (heard != NULL)
        begin_deed(book, (int)heard->type);
    tell_report(book, session_report(session));
    /* A digest is answered and the session listens again; a pull and a push end it. */
    if (rc != 0 || session_is_done(session) || (book->deed == METRICS_VERIFY && heard == NULL))
        finish_deed(book, rc);
}

void visit_book_close(struct visit_book *book, int code, uint64_t sent, uint64_t received)
{
    if (book->names.database != NULL)
        tell_waiting(book, 0);
    finish_deed(book, code);
    traffic_finish(&book->traffic, book->metrics, sent, received);
    metrics_connection_closed(book->metrics, code);
}
