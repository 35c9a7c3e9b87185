#include "tests/sync/duet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "origin/session.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/sync/party.h"
#include "replica/push.h"
#include "tests/page/sample.h"

/* ---- the two and what is between them ---- */

static void lose(struct duet *duet, const char *why)
{
    duet->is_lost = 1;
    if (duet->error.code == ERR_NONE)
        error_set(&duet->error, ERR_NO_LINK, "%s", why);
}

/* What a side says, or what was said before it failed, comes to the other. */
static void deliver(struct duet *duet, enum duet_side to, struct buffer *out)
{
    struct duet_stream *stream = &duet->streams[to];
    size_t len = out->len;

    if (duet->options.is_cut && duet->options.cut_side == to &&
        stream->total + len >= duet->options.cut)
        len = (size_t)(duet->options.cut - stream->total);
    assert_int_equal(buffer_append(&stream->arrived, out->data, len, NULL), 0);
    stream->total += len;
    buffer_release(out);
}

static void note_failure(struct duet *duet, enum duet_side side, const struct error *error)
{
    if (duet->error.code != ERR_NONE)
        return;
    duet->error = *error;
    duet->failed_side = side;
}

void duet_start(struct duet *duet, const struct duet_options *options)
{
    struct session_options session = {.path = options->origin,
                                      .may_pull = !options->push_only,
                                      .may_push = !options->pull_only,
                                      .timeout_ms = 2000,
                                      .lock_url = options->lock_url,
                                      .level = options->sync.level};
    int rc;

    log_setup(LOG_ERROR, "duet", 0);
    memset(duet, 0, sizeof(*duet));
    duet->options = *options;
    if (duet->options.sync.timeout_ms == 0)
        duet->options.sync.timeout_ms = 2000;
    session.timeout_ms = duet->options.sync.timeout_ms;
    snprintf(duet->options.sync.instance, sizeof(duet->options.sync.instance), "duet");
    for (int side = 0; side < 2; side++) {
        frame_reader_init(&duet->streams[side].reader);
        buffer_init(&duet->streams[side].arrived, 1u << 30);
        buffer_init(&duet->streams[side].injected, 1u << 24);
    }
    ok(session_new(&duet->session, &session, &failure));
    duet->parties[DUET_ORIGIN] = session_party(duet->session);
    rc =
        local_copy_open(&duet->copy, options->replica, duet->options.sync.timeout_ms, &duet->error);
    duet->copy_is_open = rc == 0;
    duet->failed_side = DUET_REPLICA;
    if (rc == 0 && options->kind == DUET_PULL) {
        ok(pull_new(&duet->pull, &duet->copy, &duet->options.sync, &failure));
        duet->parties[DUET_REPLICA] = pull_party(duet->pull);
    } else if (rc == 0) {
        ok(push_new(&duet->push, &duet->copy, &duet->options.sync, &failure));
        duet->parties[DUET_REPLICA] = push_party(duet->push);
    }
}

/* Find the next message for a side. Returns whether there is one. */
static int look(struct duet *duet, enum duet_side side)
{
    struct duet_stream *stream = &duet->streams[side];
    size_t take;

    if (stream->payload != NULL)
        return 1;
    for (;;) {
        ok(frame_reader_next(&stream->reader, &stream->payload, &stream->len, &failure));
        if (stream->payload != NULL || stream->arrived.len == 0)
            return stream->payload != NULL;
        take = stream->arrived.len < LIMIT_CHUNK ? stream->arrived.len : LIMIT_CHUNK;
        ok(frame_reader_feed(&stream->reader, stream->arrived.data, take, &failure));
        buffer_consume(&stream->arrived, take);
    }
}

static int hear_one(struct duet *duet, enum duet_side side, const struct message *message)
{
    struct party *party = duet->parties[side];
    struct error error = {0};
    struct buffer out;
    int rc = 0;

    buffer_init(&out, 4u * LIMIT_FRAME);
    if (message->type == MESSAGE_ERROR) {
        error_set(&error, error_from_name(message->error.name, strlen(message->error.name)), "%s",
                  message->error.text);
        rc = error.code;
    } else if (message->type != MESSAGE_WAIT && party->status != PARTY_DONE) {
        rc = party->methods->hear(party, message, &out, &error);
        assert_int_equal(rc, error.code);
    }
    if (rc != 0)
        note_failure(duet, side, &error);
    deliver(duet, !side, &out);
    return rc;
}

/* Hear the message that was found, and what a tamperer makes of it. */
static int hear(struct duet *duet, enum duet_side side)
{
    struct duet_stream *stream = &duet->streams[side];
    struct message message;
    struct frame_reader injected;
    const uint8_t *payload;
    size_t len;
    int is_lost = 0;
    int rc = 0;

    ok(message_decode(stream->payload, stream->len, &message, &failure));
    stream->payload = NULL;
    if (duet->options.tamper == NULL)
        return hear_one(duet, side, &message);
    is_lost = duet->options.tamper(duet->options.arg, side, &message, &stream->injected);
    frame_reader_init(&injected);
    ok(frame_reader_feed(&injected, stream->injected.data, stream->injected.len, &failure));
    buffer_consume(&stream->injected, stream->injected.len);
    while (rc == 0) {
        struct message extra;
        ok(frame_reader_next(&injected, &payload, &len, &failure));
        if (payload == NULL)
            break;
        ok(message_decode(payload, len, &extra, &failure));
        rc = hear_one(duet, side, &extra);
    }
    frame_reader_release(&injected);
    return rc == 0 && !is_lost ? hear_one(duet, side, &message) : rc;
}

static int speak(struct duet *duet, enum duet_side side)
{
    struct party *party = duet->parties[side];
    struct error error = {0};
    struct buffer out;
    int rc;

    buffer_init(&out, 4u * LIMIT_FRAME);
    rc = party->methods->speak(party, &out, &error);
    assert_int_equal(rc, error.code);
    if (rc != 0)
        note_failure(duet, side, &error);
    deliver(duet, !side, &out);
    return rc;
}

static int is_cut_off(const struct duet *duet)
{
    return duet->options.is_cut && duet->streams[duet->options.cut_side].total >= duet->options.cut;
}

/* The next thing that happens, seen from one side, hearing before speaking. 1: something did; 0: it
 * waits; -1: it failed. */
static int step(struct duet *duet, enum duet_side side, enum duet_side stop_side, int stop_type)
{
    struct message message;

    if (duet->error.code != ERR_NONE)
        return -1;
    if (look(duet, side)) {
        if (stop_type != 0 && side == stop_side) {
            ok(message_decode(duet->streams[side].payload, duet->streams[side].len, &message,
                              &failure));
            if ((int)message.type == stop_type)
                return 0;
        }
        return hear(duet, side) == 0 ? 1 : -1;
    }
    if (is_cut_off(duet) && duet->options.cut_side == side)
        return 0;
    if (duet->parties[side]->status == PARTY_SPEAKS)
        return speak(duet, side) == 0 ? 1 : -1;
    return 0;
}

/* Whether `side` has a message of that type before it. */
static int is_before(struct duet *duet, enum duet_side side, int type)
{
    struct message message;

    if (type == 0 || duet->error.code != ERR_NONE || !look(duet, side))
        return 0;
    ok(message_decode(duet->streams[side].payload, duet->streams[side].len, &message, &failure));
    return (int)message.type == type;
}

static int advance(struct duet *duet, enum duet_side stop_side, int stop_type)
{
    while (duet->error.code == ERR_NONE) {
        /* The replica speaks first: it scans, and describes itself, while nothing has come yet. */
        int replica = step(duet, DUET_REPLICA, stop_side, stop_type);
        if (is_before(duet, stop_side, stop_type))
            return 1;
        int origin = replica >= 0 ? step(duet, DUET_ORIGIN, stop_side, stop_type) : 0;
        if (is_before(duet, stop_side, stop_type))
            return 1;
        if (replica <= 0 && origin <= 0)
            break;
    }
    return 0;
}

int duet_until(struct duet *duet, enum duet_side side, enum message_type type)
{
    return advance(duet, side, (int)type);
}

struct duet_outcome duet_finish(struct duet *duet)
{
    struct duet_outcome outcome = {0};
    struct party *replica = duet->parties[DUET_REPLICA];

    advance(duet, DUET_ORIGIN, 0);
    if (duet->error.code == ERR_NONE && replica->status != PARTY_DONE)
        lose(duet, is_cut_off(duet) ? "the link was cut" : "both sides wait for each other");
    outcome.code = duet->error.code;
    outcome.error = duet->error;
    outcome.failed_side = duet->failed_side;
    outcome.origin_done = duet->parties[DUET_ORIGIN]->status == PARTY_DONE;
    outcome.to_origin = duet->streams[DUET_ORIGIN].total;
    outcome.to_replica = duet->streams[DUET_REPLICA].total;
    if (outcome.code == 0)
        outcome.result = duet->pull != NULL ? *pull_result(duet->pull) : *push_result(duet->push);
    pull_free(duet->pull);
    push_free(duet->push);
    if (duet->copy_is_open)
        local_copy_release(&duet->copy);
    session_free(duet->session);
    for (int side = 0; side < 2; side++) {
        frame_reader_release(&duet->streams[side].reader);
        buffer_release(&duet->streams[side].arrived);
        buffer_release(&duet->streams[side].injected);
    }
    return outcome;
}

struct duet_outcome duet_run(const struct duet_options *options)
{
    struct duet duet;

    duet_start(&duet, options);
    return duet_finish(&duet);
}

struct duet_outcome duet_sync(enum duet_kind kind, const char *origin, const char *replica,
                              const struct sync_options *sync)
{
    struct duet_options options = {.kind = kind, .origin = origin, .replica = replica};

    if (sync != NULL)
        options.sync = *sync;
    return duet_run(&options);
}

/* ---- checks ---- */

void duet_expect_at(struct duet_outcome outcome, int expected, const char *file, int line)
{
    if (outcome.code == expected)
        return;
    print_error("%s:%d: %s instead of %s: %s\n", file, line, error_name(outcome.code),
                error_name(expected), outcome.error.text);
    _fail(file, line);
}

static uint64_t mix(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return (sum ^ len) * 0x100000001b3u;
}

/* All rows of a query, in order. */
static uint64_t mix_rows(sqlite3 *handle, const char *sql, uint64_t sum)
{
    sqlite3_stmt *statement;
    int rc;

    if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            int type = sqlite3_column_type(statement, i);
            sum = mix(sum, &type, sizeof(type));
            if (type != SQLITE_NULL)
                sum = mix(sum, sqlite3_column_blob(statement, i),
                          (size_t)sqlite3_column_bytes(statement, i));
        }
    }
    if (rc != SQLITE_DONE)
        fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
    sqlite3_finalize(statement);
    return sum;
}

uint64_t duet_content(const char *path)
{
    sqlite3_stmt *tables;
    sqlite3 *handle;
    uint64_t sum;

    if (access(path, F_OK) != 0)
        return 0;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    sqlite3_busy_timeout(handle, 5000);
    sum =
        mix_rows(handle, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name",
                 0xcbf29ce484222325u);
    assert_int_equal(
        sqlite3_prepare_v2(handle,
                           "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", -1,
                           &tables, NULL),
        SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        char *sql =
            sqlite3_mprintf("SELECT * FROM \"%w\" ORDER BY 1", sqlite3_column_text(tables, 0));
        sum = mix_rows(handle, sql, sum);
        sqlite3_free(sql);
    }
    sqlite3_finalize(tables);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
    return sum;
}

void duet_check_whole(const char *path)
{
    sample_check_integrity(path);
}

void duet_check_equal(const char *a, const char *b)
{
    sample_check_integrity(a);
    sample_check_integrity(b);
    assert_true(duet_content(a) == duet_content(b));
    sample_check_same(a, b);
}

struct sidecar_state duet_book(const char *path)
{
    struct sidecar_state state;
    struct sidecar *sidecar;

    ok(sidecar_open(&sidecar, path, 2000, &failure));
    ok(sidecar_read(sidecar, &state, &failure));
    sidecar_free(sidecar);
    return state;
}

/* ---- files ---- */

char *duet_path(const char *name)
{
    char sidecar[200];

    snprintf(sidecar, sizeof(sidecar), "%s-lockstep", name);
    sample_path(sidecar);
    return sample_path(name);
}

static void copy_file(const char *from, const char *to, const char *suffix)
{
    char paths[2][300];
    uint8_t *data;
    long size;

    snprintf(paths[0], sizeof(paths[0]), "%s%s", from, suffix);
    snprintf(paths[1], sizeof(paths[1]), "%s%s", to, suffix);
    if (access(paths[0], F_OK) != 0) {
        unlink(paths[1]);
        return;
    }
    data = sample_read_file(paths[0], &size);
    sample_write_file(paths[1], data, size);
    free(data);
}

void duet_copy(const char *from, const char *to)
{
    static const char *const suffixes[] = {"",
                                           "-wal",
                                           "-shm",
                                           "-journal",
                                           "-lockstep",
                                           "-lockstep-wal",
                                           "-lockstep-shm",
                                           "-lockstep-journal",
                                           ".lockstep-partial"};

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        copy_file(from, to, suffixes[i]);
}
