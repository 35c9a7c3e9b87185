/* record: bodies to records and back; what is not ours, and what is nobody's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lockstore/record.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

#define ID     "000102030405060708090a0b0c0d0e0f"
#define SCRIPT "\"instance_id\":\"job\",\"timestamp\":\"2026-11-21T20:04:06Z\",\"timeout\":60"
#define OURS                                                                                       \
    "\"v\":1,\"state\":\"held\",\"token\":42,\"lease_id\":\"" ID                                   \
    "\",\"rev\":3,\"host\":\"worker\",\"pid\":4711"

static void decode(const char *text, struct record *record)
{
    /* A copy of exactly that size, so that a read past it is seen. */
    size_t len = strlen(text);
    uint8_t *copy = malloc(len + (len == 0));

    memcpy(copy, text, len);
    record_decode(copy, len, record);
    free(copy);
}

static struct record example(void)
{
    struct record record = {.kind = RECORD_LEASE,
                            .held = 1,
                            .instance = "job \"7\" \xc3\xa4",
                            .host = "worker",
                            .pid = 4711,
                            .timestamp = 1795291446,
                            .timeout_ms = 60000,
                            .token = LIMIT_LOCK_TOKEN,
                            .rev = 3};

    for (uint8_t i = 0; i < RECORD_LEASE_ID_SIZE; i++)
        record.lease_id[i] = i;
    return record;
}

static void encode(const struct record *record, char text[LIMIT_LOCK_RECORD])
{
    size_t len;
    struct error error;

    assert_int_equal(record_encode(record, (uint8_t *)text, LIMIT_LOCK_RECORD - 1, &len, &error),
                     0);
    text[len] = '\0';
}

/* The bytes, once and for all: other programs read them. */
static void test_golden(void **state)
{
    struct record record = example();
    char text[LIMIT_LOCK_RECORD];

    (void)state;
    encode(&record, text);
    assert_string_equal(
        text, "{\"instance_id\":\"job \\\"7\\\" \xc3\xa4\",\"timestamp\":\"2026-11-21T20:04:06Z\","
              "\"timeout\":60,\"v\":1,\"state\":\"held\",\"token\":9007199254740991,"
              "\"lease_id\":\"" ID "\",\"rev\":3,\"host\":\"worker\",\"pid\":4711}");
    record.held = 0;
    record.token = 42;
    encode(&record, text);
    assert_string_equal(
        text, "{\"instance_id\":\"job \\\"7\\\" \xc3\xa4\",\"timestamp\":\"1970-01-01T00:00:00Z\","
              "\"timeout\":0,\"v\":1,\"state\":\"released\",\"token\":42,"
              "\"lease_id\":\"" ID "\",\"rev\":3,\"host\":\"worker\",\"pid\":4711}");
    record.stamp = RECORD_STAMP_EPOCH;
    encode(&record, text);
    assert_non_null(strstr(text, "\"timestamp\":0,\"timeout\":0,"));
    record.held = 1;
    record.timeout_ms = 1001;
    encode(&record, text);
    assert_non_null(strstr(text, "\"timestamp\":1795291446,\"timeout\":2,"));
}

static void test_round_trip(void **state)
{
    struct record record = example(), back;
    char text[LIMIT_LOCK_RECORD];

    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        record.held = variant & 1;
        record.stamp = variant & 2 ? RECORD_STAMP_EPOCH : RECORD_STAMP_ISO;
        encode(&record, text);
        decode(text, &back);
        assert_int_equal(back.kind, RECORD_LEASE);
        assert_int_equal(back.held, record.held);
        assert_int_equal(back.stamp, record.stamp);
        assert_string_equal(back.instance, record.instance);
        assert_string_equal(back.host, record.host);
        assert_int_equal(back.pid, record.pid);
        assert_int_equal(back.timeout_ms, record.held ? record.timeout_ms : 0);
        assert_int_equal(back.token, record.token);
        assert_memory_equal(back.lease_id, record.lease_id, RECORD_LEASE_ID_SIZE);
        assert_int_equal(back.rev, record.rev);
    }
}

static void test_no_room(void **state)
{
    struct record record = example();
    struct error error;
    uint8_t out[100];
    size_t len;

    (void)state;
    assert_int_equal(record_encode(&record, out, sizeof(out), &len, &error), ERR_INTERNAL);
}

/* What stands in the store, and what it is taken for. */
static const struct {
    const char *text;
    enum record_kind kind;
    uint64_t timeout_ms;
    enum record_stamp stamp;
} bodies[] = {
    /* Ours; unknown fields are skipped, host and pid may be missing. */
    {"{" SCRIPT "," OURS "}", RECORD_LEASE, 60000, RECORD_STAMP_ISO},
    {"{" SCRIPT "," OURS ",\"new\":[{}]}", RECORD_LEASE, 60000, RECORD_STAMP_ISO},
    {"{" SCRIPT ",\"v\":1,\"state\":\"held\",\"token\":0,\"lease_id\":\"" ID "\",\"rev\":0}",
     RECORD_LEASE, 60000, RECORD_STAMP_ISO},
    {"{\"instance_id\":\"a\",\"timestamp\":5,\"timeout\":7," OURS "}", RECORD_LEASE, 7000,
     RECORD_STAMP_EPOCH},
    /* The scripts'. */
    {"{" SCRIPT "}", RECORD_FOREIGN, 60000, RECORD_STAMP_ISO},
    {" {\"timeout\": 300, \"timestamp\": 1795291446, \"instance_id\": \"x\"}\n", RECORD_FOREIGN,
     300000, RECORD_STAMP_EPOCH},
    {"{\"instance_id\":\"x\",\"timestamp\":\"1795291446\",\"timeout\":\"300\"}", RECORD_FOREIGN,
     300000, RECORD_STAMP_EPOCH},
    {"{\"instance_id\":\"x\",\"timestamp\":1795291446.25,\"timeout\":1.5,\"extra\":null}",
     RECORD_FOREIGN, 1500, RECORD_STAMP_EPOCH},
    {"{\"instance_id\":\"\",\"timestamp\":\"\",\"timeout\":0}", RECORD_FOREIGN, 0,
     RECORD_STAMP_ISO},
    /* Nobody's that we know; a time-out that can be read counts. */
    {"", RECORD_UNKNOWN, RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"x", RECORD_UNKNOWN, RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"null", RECORD_UNKNOWN, RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"[]", RECORD_UNKNOWN, RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"{}", RECORD_UNKNOWN, RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"{" SCRIPT "," OURS "} x", RECORD_UNKNOWN, RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"{" SCRIPT "," OURS ",\"token\":43}", RECORD_UNKNOWN, RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"{" SCRIPT ",\"v\":2}", RECORD_UNKNOWN, 60000, 0},
    {"{" SCRIPT ",\"token\":5}", RECORD_UNKNOWN, 60000, 0},
    {"{\"instance_id\":5,\"timestamp\":\"x\",\"timeout\":60}", RECORD_UNKNOWN, 60000, 0},
    {"{\"instance_id\":\"x\",\"timestamp\":true,\"timeout\":60}", RECORD_UNKNOWN, 60000, 0},
    {"{\"instance_id\":\"x\",\"timestamp\":\"x\",\"timeout\":-1}", RECORD_UNKNOWN,
     RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"{\"instance_id\":\"x\",\"timestamp\":\"x\",\"timeout\":\"5m\"}", RECORD_UNKNOWN,
     RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"{\"instance_id\":\"x\",\"timestamp\":\"x\",\"timeout\":\"nan\"}", RECORD_UNKNOWN,
     RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"{\"instance_id\":\"x\",\"timestamp\":\"x\",\"timeout\":1e300}", RECORD_UNKNOWN,
     RECORD_UNKNOWN_TIMEOUT_MS, 0},
    {"{\"instance_id\":\"x\",\"timestamp\":\"x\",\"timeout\":315360001}", RECORD_UNKNOWN,
     RECORD_UNKNOWN_TIMEOUT_MS, 0},
};

static void test_bodies(void **state)
{
    struct record record;

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        decode(bodies[i].text, &record);
        if (record.kind != bodies[i].kind || record.timeout_ms != bodies[i].timeout_ms ||
            record.stamp != bodies[i].stamp || !record.held ||
            (record.kind != RECORD_LEASE && record.token != 0))
            fail_msg("%s: kind %d, timeout %llu, stamp %d, held %d", bodies[i].text,
                     (int)record.kind, (unsigned long long)record.timeout_ms, (int)record.stamp,
                     record.held);
    }
}

/* One field of ours at a time with the wrong type or out of its range: not ours. */
static void test_strict(void **state)
{
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"\"v\":1", "\"v\":\"1\""},
        {"\"v\":1", "\"v\":2"},
        {"\"v\":1", "\"v\":0"},
        {"\"held\"", "\"helt\""},
        {"\"held\"", "true"},
        {"\"token\":42", "\"token\":-1"},
        {"\"token\":42", "\"token\":9007199254740992"},
        {"\"token\":42", "\"token\":4.5"},
        {"\"token\":42", "\"token\":\"42\""},
        {"\"token\":42", "\"t\":42"},
        {ID, "00"},
        {ID, ID "00"},
        {"\"" ID "\"", "5"},
        {"0f\"", "0g\""},
        {"\"rev\":3", "\"rev\":-3"},
        {"\"rev\":3", "\"rev\":null"},
        {"\"worker\"", "{}"},
        {"4711", "\"4711\""},
        {"4711", "-1"},
        {"\"timeout\":60", "\"timeout\":\"60\""},
        {"\"timeout\":60", "\"timeout\":1.5"},
        {"\"job\"", "[]"},
        {"\"2026-11-21T20:04:06Z\"", "{}"},
        {"\"2026-11-21T20:04:06Z\"", "1.5"},
    };
    static const char good[] = "{" SCRIPT "," OURS "}";
    struct record record;
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        const char *at = strstr(good, changes[i].from);

        assert_non_null(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, changes[i].to,
                 at + strlen(changes[i].from));
        decode(text, &record);
        if (record.kind != RECORD_UNKNOWN || !record.held)
            fail_msg("%s was taken for a record", text);
    }
}

static void test_texts_are_cleaned_and_cut(void **state)
{
    struct record record;
    char text[4096], name[1000];

    (void)state;
    decode("{\"instance_id\":\"a\\u001b[31mb\\nc\\td\",\"timestamp\":1,\"timeout\":1}", &record);
    assert_null(strpbrk(record.instance, "\033\n\t"));
    assert_int_equal(record.instance[0], 'a');
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(text, sizeof(text), "{\"instance_id\":\"%s\",\"timestamp\":1,\"timeout\":1}", name);
    decode(text, &record);
    assert_int_equal(strlen(record.instance), RECORD_TEXT_MAX);
}

static void test_too_long(void **state)
{
    static char text[LIMIT_LOCK_RECORD + 100];
    struct record record;

    (void)state;
    memset(text, ' ', sizeof(text) - 1);
    memcpy(text, "{" SCRIPT, sizeof("{" SCRIPT) - 1);
    text[LIMIT_LOCK_RECORD - 1] = '}';
    record_decode((uint8_t *)text, LIMIT_LOCK_RECORD, &record);
    assert_int_equal(record.kind, RECORD_FOREIGN);
    record_decode((uint8_t *)text, LIMIT_LOCK_RECORD + 1, &record);
    assert_int_equal(record.kind, RECORD_UNKNOWN);
}

static void test_stale_after(void **state)
{
    struct record record = {.timeout_ms = 64000};

    (void)state;
    assert_int_equal(record_stale_after_ms(&record), 68000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_room),  cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_strict),   cmocka_unit_test(test_texts_are_cleaned_and_cut),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_stale_after),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
