#include "lockstore/record.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"

#define RECORD_VERSION 1

static int decode_lease(const json_t *root, struct record *record);
static int decode_foreign(const json_t *root, struct record *record);
static int decode_timeout(const json_t *value, int lenient, uint64_t *timeout_ms);
static int decode_text(const json_t *value, char out[RECORD_TEXT_MAX + 1]);
static int decode_number(const json_t *value, uint64_t max, uint64_t *out);
static json_t *encode_stamp(const struct record *record, int64_t seconds);

void record_decode(const uint8_t *body, size_t len, struct record *record)
{
    json_t *root = NULL;

    if (len <= LIMIT_LOCK_RECORD)
        root = json_loadb((const char *)body, len, JSON_REJECT_DUPLICATES, NULL);
    if (decode_lease(root, record) != 0 && decode_foreign(root, record) != 0) {
        memset(record, 0, sizeof(*record));
        record->kind = RECORD_UNKNOWN;
        record->held = 1;
        if (decode_timeout(json_object_get(root, "timeout"), 1, &record->timeout_ms) != 0)
            record->timeout_ms = RECORD_UNKNOWN_TIMEOUT_MS;
        decode_text(json_object_get(root, "instance_id"), record->instance);
    }
    json_decref(root);
}

/* Returns 0, or -1 where this is no record of ours. json_object_get of a non-object is NULL. */
static int decode_lease(const json_t *root, struct record *record)
{
    const char *state = json_string_value(json_object_get(root, "state"));
    const json_t *lease_id = json_object_get(root, "lease_id");
    const json_t *stamp = json_object_get(root, "timestamp");
    uint64_t version, pid = 0;

    memset(record, 0, sizeof(*record));
    record->kind = RECORD_LEASE;
    if (decode_number(json_object_get(root, "v"), RECORD_VERSION, &version) != 0 ||
        version != RECORD_VERSION || state == NULL || !json_is_string(lease_id))
        return -1;
    if (strcmp(state, "held") == 0)
        record->held = 1;
    else if (strcmp(state, "released") != 0)
        return -1;
    if (decode_number(json_object_get(root, "token"), LIMIT_LOCK_TOKEN, &record->token) != 0 ||
        decode_number(json_object_get(root, "rev"), INT64_MAX, &record->rev) != 0 ||
        decode_timeout(json_object_get(root, "timeout"), 0, &record->timeout_ms) != 0 ||
        hex_decode(json_string_value(lease_id), json_string_length(lease_id), record->lease_id,
                   sizeof(record->lease_id)) != 0 ||
        decode_text(json_object_get(root, "instance_id"), record->instance) != 0)
        return -1;
    if (!json_is_string(stamp) && !json_is_integer(stamp))
        return -1;
    record->stamp = json_is_integer(stamp) ? RECORD_STAMP_EPOCH : RECORD_STAMP_ISO;
    if (json_object_get(root, "host") != NULL &&
        decode_text(json_object_get(root, "host"), record->host) != 0)
        return -1;
    if (json_object_get(root, "pid") != NULL &&
        decode_number(json_object_get(root, "pid"), INT64_MAX, &pid) != 0)
        return -1;
    record->pid = (int64_t)pid;
    return 0;
}

/* Returns 0, or -1 where this is no record of the scripts' kind. Scripts quote their numbers or
 * not.
 */
static int decode_foreign(const json_t *root, struct record *record)
{
    static const char *const ours[] = {"v", "state", "token", "lease_id", "rev"};
    const json_t *stamp = json_object_get(root, "timestamp");

    memset(record, 0, sizeof(*record));
    record->kind = RECORD_FOREIGN;
    record->held = 1;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (json_object_get(root, ours[i]) != NULL)
            return -1;
    }
    if (!json_is_string(stamp) && !json_is_number(stamp))
        return -1;
    record->stamp = json_is_number(stamp) ? RECORD_STAMP_EPOCH : RECORD_STAMP_ISO;
    if (json_is_string(stamp) && json_string_length(stamp) > 0 &&
        strspn(json_string_value(stamp), "0123456789") == json_string_length(stamp))
        record->stamp = RECORD_STAMP_EPOCH;
    if (decode_timeout(json_object_get(root, "timeout"), 1, &record->timeout_ms) != 0)
        return -1;
    return decode_text(json_object_get(root, "instance_id"), record->instance);
}

/* lenient: a fraction, and a number in quotes, will do as well. */
static int decode_timeout(const json_t *value, int lenient, uint64_t *timeout_ms)
{
    uint64_t seconds;
    double real;
    char rest;

    if (json_is_integer(value)) {
        if (decode_number(value, LIMIT_LOCK_TIMEOUT, &seconds) != 0)
            return -1;
        *timeout_ms = seconds * 1000;
        return 0;
    }
    if (!lenient)
        return -1;
    if (json_is_real(value))
        real = json_real_value(value);
    else if (!json_is_string(value) || sscanf(json_string_value(value), "%lf%c", &real, &rest) != 1)
        return -1;
    if (!(real >= 0 && real <= LIMIT_LOCK_TIMEOUT)) /* NaN too */
        return -1;
    *timeout_ms = (uint64_t)(real * 1000);
    return 0;
}

/* A string, cut and made fit for one line on a terminal. */
static int decode_text(const json_t *value, char out[RECORD_TEXT_MAX + 1])
{
    out[0] = '\0';
    if (!json_is_string(value))
        return -1;
    log_sanitize(json_string_value(value), json_string_length(value), out, RECORD_TEXT_MAX + 1);
    for (char *at = out; *at != '\0'; at++) {
        if (*at == '\n' || *at == '\t')
            *at = ' ';
    }
    return 0;
}

static int decode_number(const json_t *value, uint64_t max, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max)
        return -1;
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

int record_encode(const struct record *record, uint8_t *out, size_t size, size_t *len,
                  struct error *error)
{
    char lease_id[2 * RECORD_LEASE_ID_SIZE + 1];
    uint64_t seconds = record->held ? (record->timeout_ms + 999) / 1000 : 0;
    json_t *root;
    size_t need = 0;

    hex_encode(record->lease_id, sizeof(record->lease_id), lease_id);
    root = json_pack("{s:s, s:o, s:I, s:i, s:s, s:I, s:s, s:I, s:s, s:I}", /* jansson's types */
                     "instance_id", record->instance, "timestamp",
                     encode_stamp(record, record->held ? record->timestamp : 0), "timeout",
                     (json_int_t)seconds, "v", RECORD_VERSION, "state",
                     record->held ? "held" : "released", "token", (json_int_t)record->token,
                     "lease_id", lease_id, "rev", (json_int_t)record->rev, "host", record->host,
                     "pid", (json_int_t)record->pid);
    if (root != NULL)
        need = json_dumpb(root, (char *)out, size, JSON_COMPACT);
    json_decref(root);
    if (need == 0 || need > size)
        return error_set(error, ERR_INTERNAL, "writing the lock record as JSON did not work");
    *len = need;
    return 0;
}

static json_t *encode_stamp(const struct record *record, int64_t seconds)
{
    char text[32];

    if (record->stamp == RECORD_STAMP_EPOCH)
        return json_integer(seconds);
    clock_format_utc(seconds, text, sizeof(text));
    return json_string(text);
}

uint64_t record_stale_after_ms(const struct record *record)
{
    return record->timeout_ms + 2000 + record->timeout_ms / 32;
}
