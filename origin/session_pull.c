#include <string.h>

#include "origin/session_state.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/sync/history.h"
#include "protocol/sync/sender.h"

static int check_pull(struct session *session, const struct message_pull *pull, struct error *error)
{
    const struct local_copy *copy = &session->copy;

    if (!session->options.may_pull)
        return error_set(error, ERR_NOT_ALLOWED, "this link may not pull");
    if (copy->geometry.page_count == 0)
        return error_set(error, ERR_NO_DATABASE, "there is no database at %s, or it is empty",
                         copy->path);
    if (pull->geometry.page_count > 0 && pull->geometry.page_size != copy->geometry.page_size)
        return error_set(error, ERR_PAGE_SIZE,
                         "pages of %u bytes cannot be compared with pages of %u bytes",
                         copy->geometry.page_size, pull->geometry.page_size);
    return 0;
}

/* For the sender: a page that the replica still has. */
static int find_old_page(void *arg, uint32_t pgno, uint64_t hash_low,
                         const struct page_version *now, uint8_t *page, int *known,
                         struct error *error)
{
    struct session *session = arg;

    (void)error;
    *known = history_find(session->history, pgno, hash_low, now, session->copy.geometry.page_size,
                          page);
    return 0;
}

static int start_sending(struct session *session, const struct message_pull *pull, uint64_t version,
                         struct error *error)
{
    /* A copy has no page-version log: only pushes write one. */
    int is_copy = session->options.origin != NULL;
    const struct sender_options options = {.theirs = pull->geometry,
                                           .seed = pull->seed,
                                           .build_on_nothing = (pull->flags & SYNC_PARTIAL) != 0,
                                           .is_dry = session->is_dry,
                                           .old = {is_copy ? NULL : find_old_page, session, 1},
                                           .version = version,
                                           .level = session->options.level};
    int rc = is_copy ? 0 : session_open_history(session, error);

    return rc != 0 ? rc : sender_new(&session->sender, &session->copy, &options, error);
}

/* Which version it is that is held now. At an origin what was changed without Lockstep is counted by this, unless nothing may be changed. */
static int find_version(struct session *session, uint64_t *version, struct error *error)
{
    struct local_copy *copy = &session->copy;
    int rc;

    if (session->options.origin != NULL)
        return session_copy_version(session, version, error);
    *version = sidecar_version_of(&copy->book, copy->geometry.root);
    if (session->is_dry)
        return 0;
    rc = sidecar_join(copy->sidecar, session->lineage, session->hash_key, 0, error);
    return rc != 0 ? rc : sidecar_observe(copy->sidecar, copy->geometry.root, version, error);
}

int session_hear_pull(struct session *session, const struct message_pull *pull, struct buffer *out,
                      struct error *error)
{
    struct local_copy *copy = &session->copy;
    struct message message = {.type = MESSAGE_END};
    struct log_fields fields;
    uint64_t version = 0;
    int rc = check_pull(session, pull, error);

    if (rc == 0)
        rc = local_copy_hold(copy, error);
    if (rc == ERR_MOVED) {
        error_init(error);
        session_greet_again(session);
        return 0;
    }
    session->is_dry = (pull->flags & SYNC_DRY_RUN) != 0;
    session->party.send_rate = pull->rate;
    if (rc == 0)
        rc = find_version(session, &version, error);
    if (rc != 0)
        return rc;
    session->report.version = version;
    if (memcmp(pull->lineage, session->lineage, LINEAGE_SIZE) == 0)
        session->report.replica_version = pull->version;
    fields = session_log_fields(session, "pull", version);
    log_event(LOG_INFO, &fields, "%s pulls version %llu of %s%s", pull->instance, (unsigned long long)version,
              copy->path, session->is_dry ? ", as a dry run" : "");
    if (memcmp(pull->geometry.root, copy->geometry.root, ROOT_SIZE) == 0) {
        message.end.geometry = copy->geometry;
        message.end.version = version;
        session_move(session, session->is_dry ? FINISHED : CONFIRMING);
        local_copy_let_go(copy);
        session_rest(session);
        return message_encode(&message, out, error);
    }
    /* In rollback mode writers are held up only while pages are read: the sender holds the snapshot
     * again then. */
    if (!copy->state.is_wal && !session->hold)
        local_copy_let_go(copy);
    rc = start_sending(session, pull, version, error);
    if (rc == 0)
        session_move(session, SENDING);
    return rc;
}

int session_speak_pages(struct session *session, struct buffer *out, struct error *error)
{
    int rc = sender_speak(session->sender, out, error);

    if (rc == ERR_MOVED) {
        error_init(error);
        sender_free(session->sender);
        session->sender = NULL;
        session_greet_again(session);
        return 0;
    }
    if (rc != 0 || sender_status(session->sender) != PARTY_DONE) {
        session_move(session, SENDING);
        return rc;
    }
    session_move(session, session->is_dry ? FINISHED : CONFIRMING);
    local_copy_let_go(&session->copy);
    sender_free(session->sender);
    history_free(session->history);
    session->sender = NULL;
    session->history = NULL;
    session_rest(session);
    return 0;
}

int session_hear_receipt(struct session *session, const struct message_receipt *receipt)
{
    const struct log_fields fields = session_log_fields(session, "arrived", receipt->version);

    session->report.replica_version = receipt->version;
    log_event(LOG_INFO, &fields, "version %llu of %s arrived", (unsigned long long)receipt->version,
              session->copy.path);
    session_move(session, FINISHED);
    return 0;
}
