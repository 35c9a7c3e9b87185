/*
 * What changes nothing: a description of the pages for whoever wants to know which differ, and dry runs of a push, which add the guards
 * and the receipt of what is there.
 */
#include <string.h>

#include "origin/session_state.h"
#include "protocol/base/error.h"
#include "protocol/sync/description.h"

/* Describe the pages to a replica that has this geometry, where they have pages in common that may differ. */
static int start_describing(struct session *session, const struct geometry *theirs, const uint8_t seed[LINEAGE_SIZE],
                            struct error *error)
{
    const struct local_copy *copy = &session->copy;
    int rc = 0;

    description_free(session->description);
    session->description = NULL;
    if (theirs->page_count > 0 && copy->geometry.page_count > 0 && theirs->page_size == copy->geometry.page_size &&
        memcmp(theirs->root, copy->geometry.root, ROOT_SIZE) != 0)
        rc = description_new(&session->description, &copy->index, theirs->page_count, seed, error);
    if (rc != 0)
        return rc;
    /* The hashes are at hand: the database is not looked at any more. */
    local_copy_let_go(&session->copy);
    session_rest(session);
    session_move(session, DESCRIBING);
    return 0;
}

int session_hear_describe(struct session *session, const struct message_describe *request, struct error *error)
{
    const struct local_copy *copy = &session->copy;

    if (!session->options.may_pull)
        return error_set(error, ERR_NOT_ALLOWED, "this link may not pull, so its pages are not described either");
    if (copy->geometry.page_count > 0 && request->geometry.page_count > 0 &&
        request->geometry.page_size != copy->geometry.page_size)
        return error_set(error, ERR_PAGE_SIZE, "pages of %u bytes cannot be compared with pages of %u bytes",
                         copy->geometry.page_size, request->geometry.page_size);
    session->is_dry = 0;
    return start_describing(session, &request->geometry, request->seed, error);
}

int session_start_dry_push(struct session *session, struct error *error)
{
    static const struct geometry none;
    const struct message_push *push = &session->push;

    session->is_dry = 1;
    return start_describing(session, push->flags & SYNC_DIRECT ? &none : &push->geometry, push->seed, error);
}

/* The end of a dry run: what is there, as it was. */
static int speak_present(struct session *session, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_RECEIPT};

    memcpy(message.receipt.lineage, session->lineage, LINEAGE_SIZE);
    memcpy(message.receipt.root, session->copy.geometry.root, ROOT_SIZE);
    message.receipt.version = sidecar_version_of(&session->copy.book, session->copy.geometry.root);
    session_move(session, FINISHED);
    return message_encode(&message, out, error);
}

int session_hear_describing(struct session *session, const struct message *message, struct buffer *out, struct error *error)
{
    if (message->type == MESSAGE_END && session->is_dry)
        return speak_present(session, out, error);
    if (message->type != MESSAGE_ASK || session->description == NULL || description_speaks(session->description))
        return error_set(error, ERR_PROTOCOL, "%s came where pages are described", message_name(message->type));
    description_hear(session->description, &message->ask);
    session_move(session, DESCRIBING);
    return 0;
}

int session_speak_description(struct session *session, struct buffer *out, struct error *error)
{
    int rc = description_speak(session->description, out, error);

    session_move(session, DESCRIBING);
    return rc;
}
