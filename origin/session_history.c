/* Who made which version: the answer to HISTORY, and what a push that comes too late is told. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "origin/session_state.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

/* So many of the versions that came in between are told in an error. */
#define MOVES_TOLD 2

static int say_entry(const struct push_record *record, uint32_t left, struct buffer *out,
                     struct error *error)
{
    struct message message = {.type = MESSAGE_ENTRY};
    struct message_entry *entry = &message.entry;

    entry->kind = record->kind <= ENTRY_CHANGED ? record->kind : ENTRY_PUSHED;
    entry->left = left;
    entry->version = record->version;
    entry->time = record->time > 0 ? (uint64_t)record->time : 0;
    memcpy(entry->root, record->new_root, sizeof(entry->root));
    entry->token = record->fence.token;
    entry->pages = record->pages;
    entry->bytes = record->bytes;
    snprintf(entry->instance, sizeof(entry->instance), "%s", record->instance);
    return message_encode(&message, out, error);
}

int session_hear_history(struct session *session, const struct message_history *request,
                         struct buffer *out, struct error *error)
{
    static const struct push_record none = {.kind = ENTRY_NONE};
    struct push_record *records;
    uint32_t count = 0;
    int rc;

    if (!session->options.may_pull)
        return error_set(error, ERR_NOT_ALLOWED,
                         "this link may not pull, so it may not ask for the history either");
    records = calloc(request->count, sizeof(*records));
    if (records == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    rc = sidecar_list_versions(session->copy.sidecar, request->before, records, request->count,
                               &count, error);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = say_entry(&records[i], count - i - 1, out, error);
    if (rc == 0 && count == 0)
        rc = say_entry(&none, 0, out, error);
    free(records);
    return rc;
}

/* "3 minutes" */
static void tell_age(int64_t seconds, char *out, size_t out_size)
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    size_t i = 0;

    seconds = seconds < 0 ? 0 : seconds;
    while (i < 3 && seconds < 2 * units[i].seconds)
        i++;
    seconds /= units[i].seconds;
    snprintf(out, out_size, "%" PRId64 " %s%s", seconds, units[i].unit, seconds == 1 ? "" : "s");
}

static int tell_move(const struct push_record *record, char *out, size_t out_size)
{
    char stamp[32];
    char age[48];

    clock_format_utc(record->time, stamp, sizeof(stamp));
    tell_age(clock_wall_seconds() - record->time, age, sizeof(age));
    if (record->kind == ENTRY_CHANGED)
        return snprintf(out, out_size, "version %" PRIu64 " was made on the origin's machine, without Lockstep (noticed %s, %s ago)",
                        record->version, stamp, age);
    return snprintf(out, out_size, "version %" PRIu64 " was pushed by %.60s at %s, %s ago", record->version,
                    record->instance, stamp, age);
}

void session_tell_moves(struct session *session, uint64_t since, char *out, size_t out_size)
{
    const struct local_copy *copy = &session->copy;
    struct push_record records[MOVES_TOLD];
    uint64_t version = sidecar_version_of(&copy->book, copy->geometry.root);
    uint32_t count = 0;
    size_t used = 0;

    out[0] = '\0';
    if (version > copy->book.version)
        used += (size_t)snprintf(
            out, out_size, " (version %" PRIu64 " was made on the origin's machine, without Lockstep, and is noticed only now)", version);
    /* What cannot be read is not told: the push is refused all the same. */
    if (sidecar_list_versions(copy->sidecar, 0, records, MOVES_TOLD, &count, NULL) != 0)
        return;
    for (uint32_t i = 0; i < count && records[i].version > since && used < out_size; i++) {
        char text[200];
        tell_move(&records[i], text, sizeof(text));
        used += (size_t)snprintf(out + used, out_size - used, " (%s)", text);
    }
}
