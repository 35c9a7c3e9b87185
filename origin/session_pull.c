#include <string.h>

#include "origin/session_state.h"
#include "origin/stream_maker.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/sync/history.h"
#include "protocol/sync/page_scan.h"
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

/* A copy has no page-version log: only pushes write one. */
static struct old_pages old_pages(struct session *session)
{
    int is_copy = session->options.origin != NULL;

    return (struct old_pages){is_copy ? NULL : find_old_page, session, 1};
}

static int open_history(struct session *session, struct error *error)
{
    return session->options.origin != NULL ? 0 : session_open_history(session, error);
}

static struct sender_options sender_options(struct session *session,
                                            const struct message_pull *pull)
{
    return (struct sender_options){.theirs = pull->geometry,
                                   .seed = pull->seed,
                                   .build_on_nothing = (pull->flags & SYNC_PARTIAL) != 0,
                                   .is_dry = session->is_dry,
                                   .old = old_pages(session),
                                   .version = session->version,
                                   .level = session->level};
}

/* The pages go as they are made, to this session alone. */
static int start_sending(struct session *session, const struct message_pull *pull,
                         struct error *error)
{
    const struct sender_options options = sender_options(session, pull);
    struct local_copy *copy = &session->copy;
    int rc = 0;

    /* In rollback mode writers are held up only while pages are read: the sender holds the snapshot
     * again then. */
    if (!copy->state.is_wal && !session->hold)
        local_copy_let_go(copy);
    if (session->options.streams != NULL) {
        rc = stream_cache_take_memory(session->options.streams, session->level, error);
        session->has_memory = rc == 0;
    }
    if (rc == 0)
        rc = open_history(session, error);
    if (rc == 0)
        rc = sender_new(&session->sender, copy, &options, error);
    if (rc == 0)
        session_move(session, SENDING);
    return rc;
}

/* ---- a stream that is shared ---- */

/* No stream of all the pages is to be had: they go as they are made. */
static int send_alone(struct session *session, struct error *error)
{
    const struct old_pages old = old_pages(session);
    int rc = stream_cache_take_memory(session->options.streams, session->level, error);

    session->has_memory = rc == 0;
    if (rc == 0)
        rc = local_copy_connect(&session->copy, error);
    if (rc == 0)
        rc = open_history(session, error);
    return rc != 0 ? rc : sender_begin(session->sender, &session->copy, &old, error);
}

/* What differs is known: read the stream that has it, or make it. */
static int open_stream(struct session *session, struct error *error)
{
    const struct stream_options options = {.path = session->copy.path,
                                           .timeout_ms = session->options.timeout_ms,
                                           .level = session->level,
                                           .build_on_nothing = session->builds_on_nothing,
                                           .has_history = session->options.origin == NULL,
                                           .history_bytes = session_history_bytes(session)};
    int rc = stream_open(session->options.streams, &session->reader, &session->sender,
                         &session->copy, &options, error);

    if (rc == 0 && session->reader.stream == NULL)
        rc = send_alone(session, error);
    return rc;
}

/*
 * Find out what differs, without a connection to the database. Where the replica still has what an
 * earlier scan found, that is known at once, and what it says of its pages unasked is passed over.
 */
static int start_sharing(struct session *session, const struct message_pull *pull,
                         struct error *error)
{
    struct sender_options options = sender_options(session, pull);
    struct local_copy *copy = &session->copy;
    struct page_scan *known = scan_cache_find(session->options.scans, copy->real_path,
                                              session->hash_key, pull->geometry.root);
    int rc;

    local_copy_let_go(copy);
    session_rest(session);
    options.stops = 1;
    options.known = known != NULL ? page_scan_index(known) : NULL;
    session->builds_on_nothing = options.build_on_nothing;
    session->passes_over = known != NULL;
    rc = sender_new(&session->sender, copy, &options, error);
    page_scan_free(known);
    if (rc == 0 && sender_status(session->sender) == PARTY_WAITS)
        rc = open_stream(session, error);
    if (rc == 0)
        session_move(session, SENDING);
    return rc;
}

/*
 * Number the content that is to be sent. Where the sidecar has the number already, it was asked for
 * before HELLO, and the database is not needed. ERR_MOVED.
 */
static int find_version(struct session *session, struct error *error)
{
    struct local_copy *copy = &session->copy;
    int rc;

    if (session->options.origin != NULL)
        return session_copy_version(session, &session->version, error);
    session->version = sidecar_version_of(&copy->book, copy->geometry.root);
    if (session->is_dry)
        return 0;
    if (session->options.scans != NULL && copy->book.has_lineage &&
        memcmp(copy->book.root, copy->geometry.root, ROOT_SIZE) == 0)
        return 0;
    rc = local_copy_connect(copy, error);
    if (rc == 0)
        rc = local_copy_hold(copy, error);
    if (rc == 0)
        rc = sidecar_join(copy->sidecar, session->lineage, session->hash_key, 0, error);
    if (rc == 0)
        rc = sidecar_observe(copy->sidecar, copy->geometry.root, &session->version, error);
    return rc;
}

static int say_end(struct session *session, uint32_t pages, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_END};

    message.end.geometry = session->copy.geometry;
    message.end.version = session->version;
    message.end.pages = pages;
    session_stop_sending(session);
    session_move(session, session->is_dry ? FINISHED : CONFIRMING);
    return message_encode(&message, out, error);
}

/* The level that the replica asks for, as far as it may; above that, the most that it may. */
static int choose_level(const struct session_options *options, uint32_t wanted)
{
    int most = options->level > options->level_max ? options->level : options->level_max;

    if (wanted == LEVEL_UNSAID)
        return options->level;
    if (wanted == LEVEL_NONE)
        return 0;
    return wanted < (uint32_t)most ? (int)wanted : most;
}

int session_hear_pull(struct session *session, const struct message_pull *pull, struct buffer *out,
                      struct error *error)
{
    struct log_fields fields;
    int rc = check_pull(session, pull, error);

    session->is_dry = (pull->flags & SYNC_DRY_RUN) != 0;
    session->party.send_rate = pull->rate;
    session->level = choose_level(&session->options, pull->level);
    if (rc == 0)
        rc = find_version(session, error);
    if (rc == ERR_MOVED) {
        error_init(error);
        session_greet_again(session);
        return 0;
    }
    if (rc != 0)
        return rc;
    session->report.version = session->version;
    if (memcmp(pull->lineage, session->lineage, LINEAGE_SIZE) == 0)
        session->report.replica_version = pull->version;
    fields = session_log_fields(session, "pull", session->version);
    log_event(LOG_INFO, &fields, "%s pulls version %llu of %s%s", pull->instance,
              (unsigned long long)session->version, session->copy.path,
              session->is_dry ? ", as a dry run" : "");
    if (memcmp(pull->geometry.root, session->copy.geometry.root, ROOT_SIZE) == 0)
        return say_end(session, 0, out, error);
    return session->options.streams != NULL && session->copy.borrowed != NULL && !session->is_dry
               ? start_sharing(session, pull, error)
               : start_sending(session, pull, error);
}

int session_hear_description(struct session *session, const struct message *message,
                             struct error *error)
{
    int rc;

    if (session->sender == NULL)
        return error_set(error, ERR_PROTOCOL, "%s came at a time when nothing was asked for",
                         message_name(message->type));
    rc = sender_hear(session->sender, message, error);
    if (rc == 0 && sender_status(session->sender) == PARTY_WAITS)
        rc = open_stream(session, error);
    session_move(session, SENDING);
    return rc;
}

/* The same for what is sent alone and for what is shared: the database is not what was announced.
 */
static int start_anew(struct session *session, struct error *error)
{
    error_init(error);
    session_stop_sending(session);
    session_greet_again(session);
    return 0;
}

static int speak_stream(struct session *session, struct buffer *out, struct error *error)
{
    enum stream_status status = STREAM_GOES_ON;
    int rc = stream_read(session->options.streams, &session->reader, &status, out, error);

    if (rc == ERR_MOVED)
        return start_anew(session, error);
    if (rc == 0 && status == STREAM_ENDS)
        return say_end(session, stream_pages(&session->reader), out, error);
    session_move(session, SENDING);
    if (status == STREAM_WAITS)
        session->party.status = PARTY_WAITS;
    return rc;
}

int session_speak_pages(struct session *session, struct buffer *out, struct error *error)
{
    int rc;

    if (session->reader.stream != NULL)
        return speak_stream(session, out, error);
    rc = sender_speak(session->sender, out, error);
    if (rc == ERR_MOVED)
        return start_anew(session, error);
    if (rc != 0 || sender_status(session->sender) != PARTY_DONE) {
        session_move(session, SENDING);
        return rc;
    }
    session_move(session, session->is_dry ? FINISHED : CONFIRMING);
    session_stop_sending(session);
    return 0;
}

void session_stop_sending(struct session *session)
{
    sender_free(session->sender);
    history_free(session->history);
    session->sender = NULL;
    session->history = NULL;
    if (session->reader.stream != NULL)
        stream_close(session->options.streams, &session->reader);
    if (session->has_memory)
        stream_cache_give_memory(session->options.streams, session->level);
    session->has_memory = 0;
    if (!session->opened)
        return;
    local_copy_let_go(&session->copy);
    session_rest(session);
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
