/*
 * A push: the guards, in this order: lineage, fence, lease, base, page size; then the pages, then
 * the commit between two entries in the sidecar. sidecar.h says how a crash between these is told
 * from one before or after.
 */
#include <stdio.h>
#include <string.h>

#include "lockstore/lock.h"
#include "origin/lease_guard.h"
#include "origin/session_state.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/sync/history.h"
#include "protocol/sync/receiver.h"

static int speak_receipt(struct session *session, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_RECEIPT};

    memcpy(message.receipt.lineage, session->lineage, LINEAGE_SIZE);
    memcpy(message.receipt.push_id, session->record.push_id, LINEAGE_SIZE);
    memcpy(message.receipt.root, session->record.new_root, ROOT_SIZE);
    message.receipt.version = session->record.version;
    session->report.version = session->report.replica_version = session->record.version;
    if (session->record.fence.token > 0) {
        session->report.fence_token = session->record.fence.token;
        session->report.is_fence_theirs = 1;
    }
    session_move(session, FINISHED);
    return message_encode(&message, out, error);
}

/* An earlier push may have died between its two commits: find out under the write lock what became
 * of it. */
static int settle(struct session *session, struct error *error)
{
    struct local_copy *copy = &session->copy;
    int rc;

    if (!copy->book.has_intent)
        return 0;
    if (copy->db != NULL) {
        rc = local_copy_lock(copy, error);
        if (rc != 0)
            return rc;
    }
    rc = sidecar_settle(copy->sidecar, copy->geometry.root, error);
    if (copy->db != NULL)
        database_end(copy->db);
    if (rc == 0)
        rc = sidecar_read(copy->sidecar, &copy->book, error);
    return rc;
}

/* An origin without a lineage takes the replica's, if its own content is nothing, the same, or what
 * the replica's was made from. */
static int take_lineage(struct session *session, struct error *error)
{
    const struct message_push *push = &session->push;
    struct local_copy *copy = &session->copy;
    int rc;

    memcpy(session->lineage, push->lineage, sizeof(session->lineage));
    memcpy(session->hash_key, push->hash_key, sizeof(session->hash_key));
    rc = local_copy_scan(copy, session->hash_key, error);
    if (rc != 0 || copy->state.is_empty ||
        (push->flags & (SYNC_ADOPT | SYNC_FORCE_RESET | SYNC_ANY_BASE)) ||
        memcmp(push->geometry.root, copy->geometry.root, ROOT_SIZE) == 0 ||
        memcmp(push->base_root, copy->geometry.root, ROOT_SIZE) == 0)
        return rc;
    return error_set(error, ERR_FOREIGN_LINEAGE,
                     "%s was never synced with the replica's database and has other content; to "
                     "replace it, give --adopt",
                     copy->path);
}

/* Whether the lineages allow the push. */
static int check_lineage(struct session *session, struct error *error)
{
    static const uint8_t none[LINEAGE_SIZE];
    const struct message_push *push = &session->push;
    const struct local_copy *copy = &session->copy;
    int replica_has_one = memcmp(push->lineage, none, LINEAGE_SIZE) != 0;
    int same_content = memcmp(push->geometry.root, copy->geometry.root, ROOT_SIZE) == 0;
    int forced = (push->flags & SYNC_FORCE_RESET) != 0;

    if ((push->flags & SYNC_EMPTY) && !copy->state.is_empty && !forced)
        return error_set(error, ERR_FOREIGN_LINEAGE,
                         "the replica's database has no tables and would replace one that has; to "
                         "do that all the same, "
                         "give --force-reset");
    if (!copy->book.has_lineage)
        return replica_has_one ? take_lineage(session, error) : 0;
    if (memcmp(push->lineage, session->lineage, LINEAGE_SIZE) == 0 || forced)
        return 0;
    if (replica_has_one)
        return error_set(error, ERR_FOREIGN_LINEAGE,
                         "the replica's database is of another lineage: it never came from %s; to "
                         "replace that, give "
                         "--force-reset",
                         copy->path);
    if (same_content || copy->state.is_empty || (push->flags & SYNC_ADOPT))
        return 0;
    return error_set(error, ERR_FOREIGN_LINEAGE,
                     "the replica's database never came from %s and has other content; to join "
                     "them, give --adopt",
                     copy->path);
}

static int check_base(struct session *session, struct error *error)
{
    const struct message_push *push = &session->push;
    const struct local_copy *copy = &session->copy;
    uint64_t version = sidecar_version_of(&copy->book, copy->geometry.root);
    char moves[400];

    if ((!(push->flags & SYNC_DIRECT) && ((push->flags & (SYNC_ANY_BASE | SYNC_FORCE_RESET)) ||
                                          (!copy->book.has_lineage && copy->state.is_empty))) ||
        sidecar_is_base(&copy->book, push->base_root, copy->geometry.root) ||
        memcmp(push->geometry.root, copy->geometry.root, ROOT_SIZE) == 0)
        return 0;
    if (copy->geometry.page_count == 0)
        return error_set(
            error, ERR_STALE_BASE,
            "there is no database at %s any more; to put this copy there, give --force-reset",
            copy->path);
    session_tell_moves(session, push->base_version, moves, sizeof(moves));
    return error_set(
        error, ERR_STALE_BASE,
        "%s is at version %llu now%s, and the replica's copy was made from version %llu; nothing was changed; "
        "`lockstep history` lists the versions; `lockstep resolve --take-origin` keeps this copy's work in a file beside it and "
        "pulls again, `lockstep resolve --keep-local` puts this copy over what is there",
        copy->path, (unsigned long long)version, moves, (unsigned long long)push->base_version);
}

static int check_lease(struct session *session, struct error *error)
{
    struct session_report *report = &session->report;
    struct lock_holder holder;
    int was_read;
    int rc;

    if (session->options.lock_url == NULL)
        return 0;
    rc = lease_guard_check(session->options.lock_url, &session->push.fence, &holder, &was_read, error);
    if (was_read) {
        report->lease_reads++;
        report->lease_state = lease_guard_state(&holder);
        report->lease_token = holder.token;
        snprintf(report->lease_holder, sizeof(report->lease_holder), "%s", holder.exists ? holder.instance : "");
    }
    return rc;
}

static int check_push(struct session *session, struct error *error)
{
    const struct message_push *push = &session->push;
    struct local_copy *copy = &session->copy;
    int rc;

    rc = check_lineage(session, error);
    if (rc == 0)
        rc = sidecar_check_fence(&copy->book, &push->fence, error);
    if (rc == 0)
        rc = check_lease(session, error);
    if (rc != 0)
        return rc;
    if ((push->flags & SYNC_WAL_ONLY) && copy->geometry.page_count > 0 && !copy->state.is_wal)
        return error_set(error, ERR_USAGE, "%s is not in WAL mode, and --wal-only was given",
                         copy->path);
    rc = check_base(session, error);
    if (rc != 0)
        return rc;
    if (copy->geometry.page_count > 0 && copy->geometry.page_size != push->geometry.page_size &&
        !(push->flags & SYNC_REPLACE) && !copy->state.is_empty)
        return error_set(error, ERR_PAGE_SIZE,
                         "%s has pages of %u bytes, the replica's copy has pages of %u; to rebuild "
                         "the origin's file with "
                         "the replica's page size first, give --replace",
                         copy->path, copy->geometry.page_size, push->geometry.page_size);
    return 0;
}

/* Nothing differs: the push is done as it stands. */
static int accept_unchanged(struct session *session, struct buffer *out, struct error *error)
{
    struct local_copy *copy = &session->copy;
    int rc = sidecar_join(copy->sidecar, session->lineage, session->hash_key, 0, error);

    session->record.version = sidecar_version_of(&copy->book, copy->geometry.root);
    if (rc == 0)
        rc = sidecar_set_fence(copy->sidecar, &session->record.fence, error);
    if (rc == 0)
        rc = sidecar_finish_push(copy->sidecar, &session->record, error);
    return rc != 0 ? rc : speak_receipt(session, out, error);
}

/* The file gets the replica's page size, in a transaction of its own that keeps its content; then
 * all starts anew. */
static int change_page_size(struct session *session, struct error *error)
{
    int rc;

    if (session->options.scans != NULL)
        scan_cache_forget(session->options.scans, session->copy.real_path);
    rc = local_copy_change_page_size(&session->copy, session->push.geometry.page_size, error);

    local_copy_let_go(&session->copy);
    if (rc == 0)
        session_move(session, GREETING);
    return rc;
}

static void fill_record(struct session *session)
{
    const struct message_push *push = &session->push;
    struct push_record *record = &session->record;

    memset(record, 0, sizeof(*record));
    memcpy(record->push_id, push->push_id, sizeof(record->push_id));
    memcpy(record->old_root, session->copy.geometry.root, sizeof(record->old_root));
    memcpy(record->new_root, push->geometry.root, sizeof(record->new_root));
    record->kind = ENTRY_PUSHED;
    record->time = clock_wall_seconds();
    record->fence = push->fence;
    snprintf(record->instance, sizeof(record->instance), "%s", push->instance);
}

static int begin_apply(void *arg, struct error *error)
{
    struct session *session = arg;
    int rc = sidecar_join(session->copy.sidecar, session->lineage, session->hash_key, 0, error);

    session->record.pages = receiver_pages(session->receiver);
    session->record.bytes = receiver_bytes(session->receiver);
    return rc != 0 ? rc : sidecar_begin_push(session->copy.sidecar, &session->record, error);
}

/* For the receiver: a page that the push replaces goes to the page-version log. */
static void keep_old_page(void *arg, uint32_t pgno, const struct page_version *before,
                          const struct page_version *after)
{
    struct session *session = arg;

    history_add(session->history, pgno, before, after);
}

static int start_receiving(struct session *session, struct error *error)
{
    const struct receiver_hooks hooks = {
        .replace = keep_old_page, .before_apply = begin_apply, .arg = session};
    struct local_copy *copy = &session->copy;
    int describe = !(session->push.flags & SYNC_DIRECT);
    int rc = 0;

    /* Writers must not wait for the transfer. */
    if (!copy->state.is_wal)
        local_copy_let_go(copy);
    /* The replica saw no pages in HELLO and sends all of them: nothing to go on from. */
    if (copy->geometry.page_count == 0)
        rc = local_copy_open_partial(copy, session->push.geometry.page_size, 0, error);
    if (rc == 0)
        rc = session_open_history(session, error);
    if (rc == 0) {
        history_begin(session->history, sidecar_version_of(&copy->book, copy->geometry.root) + 1,
                      copy->geometry.page_size);
        rc = receiver_new(&session->receiver, copy, &session->push.geometry, session->push.seed,
                          describe, &hooks, error);
    }
    if (rc == 0)
        session_move(session, RECEIVING);
    return rc;
}

/*
 * A shared scan was not held since HELLO: see that it still holds, else look anew, for the guards
 * to speak of what is there. *moved: that is other content than HELLO announced.
 */
static int look_again(struct session *session, int *moved, struct error *error)
{
    struct local_copy *copy = &session->copy;
    uint8_t told[ROOT_SIZE];
    int got = 0;
    int rc = local_copy_hold(copy, error);

    memcpy(told, copy->geometry.root, sizeof(told));
    if (rc == ERR_MOVED) {
        error_init(error);
        rc = session_borrow(session, &got, error);
    }
    if (rc == 0 && got)
        rc = local_copy_hold(copy, error);
    /* Not even now: this session scans for itself, in its own transaction. */
    if (rc == ERR_MOVED || (rc == 0 && copy->db != NULL && !copy->held)) {
        error_init(error);
        rc = local_copy_scan(copy, session->hash_key, error);
    }
    *moved = rc == 0 && memcmp(told, copy->geometry.root, sizeof(told)) != 0;
    if (!copy->state.is_wal)
        local_copy_let_go(copy);
    return rc;
}

int session_hear_push(struct session *session, const struct message_push *push, struct buffer *out,
                      struct error *error)
{
    struct local_copy *copy = &session->copy;
    int known = 0;
    int moved = 0;
    int rc = 0;

    if (session->options.origin != NULL)
        return session_refuse_change(&session->options, error);
    if (!session->options.may_push)
        return error_set(error, ERR_NOT_ALLOWED, "this link may not push");
    if (push->geometry.page_count == 0)
        return error_set(error, ERR_PROTOCOL, "a push of no pages is none");
    session->push = *push;
    if (session->options.scans != NULL)
        rc = look_again(session, &moved, error);
    if (push->flags & SYNC_DRY_RUN) {
        if (rc == 0)
            rc = check_push(session, error);
        return rc != 0 ? rc : session_start_dry_push(session, error);
    }
    if (rc == 0)
        rc = settle(session, error);
    if (rc == 0)
        rc = sidecar_find_push(copy->sidecar, push->push_id, &session->record, &known, error);
    if (rc != 0)
        return rc;
    if (known && memcmp(session->record.new_root, push->geometry.root, ROOT_SIZE) == 0)
        return speak_receipt(session, out, error);
    rc = check_push(session, error);
    if (rc != 0)
        return rc;
    fill_record(session);
    if (memcmp(push->geometry.root, copy->geometry.root, ROOT_SIZE) == 0)
        return accept_unchanged(session, out, error);
    if (moved)
        return error_set(
            error, ERR_STALE_BASE,
            "%s was changed by another program meanwhile; nothing was changed here; try again",
            copy->path);
    if (copy->geometry.page_count > 0 && copy->geometry.page_size != push->geometry.page_size)
        return change_page_size(session, error);
    return start_receiving(session, error);
}

int session_speak_apply(struct session *session, struct buffer *out, struct error *error)
{
    struct log_fields fields;
    int rc =
        check_lease(session, error); /* once more: the pages may have been hours on their way */

    if (rc == 0)
        rc = receiver_apply(session->receiver, error);
    if (rc == ERR_MOVED)
        error->code = rc = ERR_STALE_BASE;
    if (rc == 0)
        rc = sidecar_finish_push(session->copy.sidecar, &session->record, error);
    if (rc != 0)
        return rc;
    history_end(session->history);
    if (session->options.scans != NULL)
        scan_cache_publish(session->options.scans, &session->copy);
    fields = session_log_fields(session, "push", session->record.version);
    log_event(LOG_INFO, &fields, "%s pushed version %llu of %s: %u pages", session->record.instance,
              (unsigned long long)session->record.version, session->copy.path,
              receiver_pages(session->receiver));
    return speak_receipt(session, out, error);
}
