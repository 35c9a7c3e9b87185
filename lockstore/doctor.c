/*
 * The probe is a list of checks in the order in which a lock would need them. Each sends single
 * requests ("raw": store_s3.h), so that what a row says is what the store did. A check that makes
 * the following ones pointless ends the probe.
 *
 * A race is N clients that write one object at once, each under the same condition; the store may
 * let one win. A client that got no definite answer (Ceph gives its losers a 500) is taken for a
 * winner only if the object says so.
 */
#include "lockstore/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "lockstore/store.h"
#include "lockstore/store_s3.h"
#include "lockstore/store_wait.h"
#include "protocol/base/hex.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/base/random.h"

#define DEFAULT_CLIENTS 16
#define DEFAULT_ROUNDS  3
#define CLIENTS_MAX     64
#define READS           5
#define SKEW_WARNING_S  60
#define NO_SUCH_ETAG    "\"00000000000000000000000000000000\""

struct doctor {
    uv_loop_t loop;
    const struct doctor_options *options;
    struct doctor_report *report;
    struct store *store; /* on the probe's object */
    char probe[1024];    /* its URL */
    int is_s3;
    int wrote; /* there may be objects to delete */
    int bare_works;
    int quoted_works;
    char etag[STORE_ETAG_MAX];     /* of the object as it is */
    char old_etag[STORE_ETAG_MAX]; /* of what it was before */
    struct error first_bad;
};

static int check_reach(struct doctor *doctor);
static int check_create(struct doctor *doctor);
static int check_forms(struct doctor *doctor);
static int check_false_conditions(struct doctor *doctor);
static int check_reads(struct doctor *doctor);
static int check_create_race(struct doctor *doctor);
static int check_replace_race(struct doctor *doctor);
static void clean_up(struct doctor *doctor);

/* ---- the frame ---- */

static int open_store(struct doctor *doctor, const char *url, struct store **store,
                      struct error *error)
{
    int rc;

    if (!doctor->is_s3)
        return store_open(store, &doctor->loop, url, error);
    rc = store_s3_open(store, &doctor->loop, url, doctor->options->settings, error);
    if (rc == 0) {
        store_s3_set_raw(*store, doctor->bare_works && !doctor->quoted_works);
        if (doctor->store != NULL)
            store_s3_share(*store, doctor->store);
    }
    return rc;
}

int doctor_run(const char *url, const struct doctor_options *options, struct doctor_report *report,
               struct error *error)
{
    int (*const checks[])(struct doctor *) = {
        check_reach, check_create,      check_forms,       check_false_conditions,
        check_reads, check_create_race, check_replace_race};
    struct doctor doctor = {.options = options, .report = report};
    uint8_t noise[4];
    char digits[9];
    int rc;

    *report = (struct doctor_report){.usable = 1};
    if (strlen(url) > sizeof(doctor.probe) - 64)
        return error_set(error, ERR_USAGE, "the lock's URL is too long for the probe");
    if (uv_loop_init(&doctor.loop) != 0)
        return error_set(error, ERR_INTERNAL, "making an event loop failed");
    random_bytes(noise, sizeof(noise));
    snprintf(doctor.probe, sizeof(doctor.probe), "%s.doctor-%s", url,
             hex_encode(noise, sizeof(noise), digits));
    doctor.is_s3 = strncmp(url, "s3://", 5) == 0;
    rc = open_store(&doctor, doctor.probe, &doctor.store, error);
    if (rc == 0) {
        for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
            if (checks[i](&doctor) != 0)
                break;
        }
        clean_up(&doctor);
        if (doctor.is_s3 && (doctor.bare_works || doctor.quoted_works))
            store_s3_remember(doctor.store, !doctor.quoted_works, report->usable);
        store_wait_close(&doctor.loop, doctor.store);
        if (!report->usable) {
            if (error != NULL)
                *error = doctor.first_bad;
            rc = ERR_STORE_UNUSABLE;
        }
    } else {
        report->usable = 0;
    }
    uv_run(&doctor.loop, UV_RUN_DEFAULT);
    uv_loop_close(&doctor.loop);
    return rc;
}

const char *doctor_verdict_text(enum doctor_verdict verdict)
{
    static const char *const texts[] = {[DOCTOR_GOOD] = "good",
                                        [DOCTOR_ODD] = "works",
                                        [DOCTOR_UNCLEAR] = "unclear",
                                        [DOCTOR_BAD] = "BAD"};

    return texts[verdict];
}

static void add_row(struct doctor *doctor, const char *what, const char *expected,
                    enum doctor_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void add_row(struct doctor *doctor, const char *what, const char *expected,
                    enum doctor_verdict verdict, const char *format, ...)
{
    struct doctor_report *report = doctor->report;
    struct doctor_row *row = &report->rows[report->count++];
    char seen[1000];
    va_list args;

    va_start(args, format);
    vsnprintf(seen, sizeof(seen), format, args);
    va_end(args);
    snprintf(row->what, sizeof(row->what), "%s", what);
    snprintf(row->expected, sizeof(row->expected), "%s", expected);
    log_sanitize(seen, strlen(seen), row->seen, sizeof(row->seen));
    row->seen[strcspn(row->seen, "\n")] = '\0';
    row->verdict = verdict;
    if (verdict != DOCTOR_BAD && verdict != DOCTOR_UNCLEAR)
        return;
    report->usable = 0;
    if (doctor->first_bad.code == 0)
        error_set(&doctor->first_bad, ERR_STORE_UNUSABLE,
                  "a lock on this store would not hold: %s: expected %s, saw %s", what, expected,
                  seen);
}

/* ---- requests ---- */

/* Every body is another one, so that every ETag is. */
static void make_body(char out[STORE_WAIT_BODY])
{
    uint8_t noise[16];
    char digits[33];

    random_bytes(noise, sizeof(noise));
    snprintf(out, STORE_WAIT_BODY, "{\"probe\":\"lockstep lock doctor\",\"id\":\"%s\"}",
             hex_encode(noise, sizeof(noise), digits));
}

static void get_now(struct doctor *doctor, struct store_answer *answer)
{
    store_wait_get(&doctor->loop, doctor->store, answer);
}

static void put_now(struct doctor *doctor, enum store_condition condition, const char *etag,
                    struct store_answer *answer, char body[STORE_WAIT_BODY])
{
    make_body(body);
    store_wait_put(&doctor->loop, doctor->store, condition, etag, body, answer);
}

static const char *outcome_text(const struct store_answer *answer)
{
    static const char *const texts[] = {[STORE_OK] = "done",
                                        [STORE_ABSENT] = "no such object (404)",
                                        [STORE_MISMATCH] = "refused (412)",
                                        [STORE_CONFLICT] = "conflict (409)"};

    return answer->result.outcome <= STORE_CONFLICT ? texts[answer->result.outcome]
                                                    : answer->result.error.text;
}

static void add_answer_row(struct doctor *doctor, const char *what, const char *expected,
                           const struct store_answer *answer, int is_good)
{
    enum doctor_verdict verdict = is_good ? DOCTOR_GOOD : DOCTOR_BAD;

    if (!is_good && answer->result.outcome == STORE_UNKNOWN)
        verdict = DOCTOR_UNCLEAR;
    add_row(doctor, what, expected, verdict, "%s", outcome_text(answer));
}

/* ---- the checks ---- */

static int check_reach(struct doctor *doctor)
{
    struct store_answer answer;

    get_now(doctor, &answer);
    if (doctor->is_s3 && store_s3_credential_source(doctor->store)[0] != '\0')
        add_row(doctor, "credentials", "found", DOCTOR_GOOD, "from the %s",
                store_s3_credential_source(doctor->store));
    add_answer_row(doctor, "read an object that is not there", "no such object (404)", &answer,
                   answer.result.outcome == STORE_ABSENT);
    return answer.result.outcome == STORE_ABSENT ? 0 : -1;
}

static int check_create(struct doctor *doctor)
{
    struct store_answer answer;
    char body[STORE_WAIT_BODY];

    doctor->wrote = 1;
    put_now(doctor, STORE_IF_ABSENT, NULL, &answer, body);
    add_answer_row(doctor, "create (If-None-Match: *)", "done", &answer,
                   answer.result.outcome == STORE_OK);
    if (answer.result.outcome != STORE_OK)
        return -1;
    memcpy(doctor->etag, answer.result.etag, sizeof(doctor->etag));
    put_now(doctor, STORE_IF_ABSENT, NULL, &answer, body);
    add_answer_row(doctor, "create what exists (If-None-Match: *)", "refused (412)", &answer,
                   answer.result.outcome == STORE_MISMATCH);
    return answer.result.outcome == STORE_MISMATCH ? 0 : -1;
}

/* One replacement under the right ETag, with or without quotes. */
static int try_form(struct doctor *doctor, int bare)
{
    struct store_answer answer;
    char body[STORE_WAIT_BODY];

    if (doctor->is_s3)
        store_s3_set_raw(doctor->store, bare);
    put_now(doctor, STORE_IF_MATCH, doctor->etag, &answer, body);
    add_row(doctor, bare ? "replace (If-Match, ETag bare)" : "replace (If-Match, ETag in quotes)",
            "done",
            answer.result.outcome == STORE_OK         ? DOCTOR_GOOD
            : answer.result.outcome == STORE_MISMATCH ? DOCTOR_ODD
                                                      : DOCTOR_UNCLEAR,
            "%s", outcome_text(&answer));
    if (answer.result.outcome != STORE_OK)
        return 0;
    memcpy(doctor->old_etag, doctor->etag, sizeof(doctor->old_etag));
    memcpy(doctor->etag, answer.result.etag, sizeof(doctor->etag));
    return 1;
}

static int check_forms(struct doctor *doctor)
{
    doctor->quoted_works = try_form(doctor, 0);
    if (doctor->is_s3)
        doctor->bare_works = try_form(doctor, 1);
    if (!doctor->quoted_works && !doctor->bare_works) {
        add_row(doctor, "replace (If-Match), either form", "done", DOCTOR_BAD,
                "no ETag that it gave was good enough");
        return -1;
    }
    if (doctor->is_s3)
        store_s3_set_raw(doctor->store, !doctor->quoted_works);
    return 0;
}

static int check_false_conditions(struct doctor *doctor)
{
    struct store_answer answer;
    char body[STORE_WAIT_BODY];
    int is_refused;

    put_now(doctor, STORE_IF_MATCH, NO_SUCH_ETAG, &answer, body);
    is_refused = answer.result.outcome == STORE_MISMATCH;
    add_answer_row(doctor, "replace (If-Match, a wrong ETag)", "refused (412)", &answer,
                   is_refused);
    if (!is_refused)
        return -1;
    put_now(doctor, STORE_IF_MATCH, doctor->old_etag, &answer, body);
    is_refused = answer.result.outcome == STORE_MISMATCH;
    add_answer_row(doctor, "replace (If-Match, the ETag before)", "refused (412)", &answer,
                   is_refused);
    return is_refused ? 0 : -1;
}

static int check_reads(struct doctor *doctor)
{
    struct store_answer written = {0};
    struct store_answer read = {0};
    char body[STORE_WAIT_BODY];
    int stale = 0;

    for (int i = 0; i < READS; i++) {
        put_now(doctor, STORE_IF_MATCH, doctor->etag, &written, body);
        if (written.result.outcome != STORE_OK) {
            add_answer_row(doctor, "write, then read", "the new content", &written, 0);
            return -1;
        }
        memcpy(doctor->old_etag, doctor->etag, sizeof(doctor->old_etag));
        memcpy(doctor->etag, written.result.etag, sizeof(doctor->etag));
        get_now(doctor, &read);
        if (read.result.outcome != STORE_OK || read.body_len != strlen(body) ||
            memcmp(read.body, body, read.body_len) != 0)
            stale++;
    }
    add_row(doctor, "write, then read", "the new content", stale == 0 ? DOCTOR_GOOD : DOCTOR_BAD,
            "%d of %d reads were stale", stale, READS);
    add_row(doctor, "age of an object by the store's clock", "told",
            read.result.age_ms >= 0 ? DOCTOR_GOOD : DOCTOR_ODD, "%s",
            read.result.age_ms >= 0 ? "told" : "not told: a stale lock is waited out instead");
    if (doctor->is_s3) {
        int64_t lead = store_s3_clock_lead(doctor->store);

        add_row(doctor, "this machine's clock", "as the store's",
                lead > -SKEW_WARNING_S && lead < SKEW_WARNING_S ? DOCTOR_GOOD : DOCTOR_ODD,
                "the store is %lld s ahead", (long long)lead);
    }
    return stale == 0 ? 0 : -1;
}

/* ---- the races ---- */

/* What one round of a race came to. */
struct round {
    unsigned winners;   /* clients that were told "done" */
    unsigned undecided; /* clients without a definite answer */
    int applied_loser;  /* the object is neither the winner's nor, without one, a client's at all */
};

static int run_round(struct doctor *doctor, const char *url, unsigned clients,
                     enum store_condition condition, const char *etag, struct round *round,
                     char new_etag[STORE_ETAG_MAX], struct error *error)
{
    struct store_answer *answers = calloc(clients, sizeof(*answers));
    struct store *stores[CLIENTS_MAX] = {NULL};
    char(*bodies)[STORE_WAIT_BODY] = calloc(clients, sizeof(*bodies));
    struct store_answer read = {0};
    unsigned author = clients;
    unsigned winner = clients;
    int rc = answers == NULL || bodies == NULL
                 ? error_set(error, ERR_INTERNAL, "out of memory for a race")
                 : 0;

    *round = (struct round){0};
    for (unsigned i = 0; i < clients && rc == 0; i++)
        rc = open_store(doctor, url, &stores[i], error);
    for (unsigned i = 0; i < clients && rc == 0; i++) {
        make_body(bodies[i]);
        store_put(stores[i], condition, etag, (const uint8_t *)bodies[i], strlen(bodies[i]),
                  store_wait_cb, &answers[i]);
    }
    if (rc == 0) {
        store_wait_for(&doctor->loop, answers, clients);
        store_wait_get(&doctor->loop, stores[0], &read);
        memcpy(new_etag, read.result.etag, STORE_ETAG_MAX);
    }
    for (unsigned i = 0; i < clients && rc == 0; i++) {
        if (answers[i].result.outcome == STORE_OK) {
            round->winners++;
            winner = i;
        } else if (answers[i].result.outcome == STORE_UNKNOWN) {
            round->undecided++;
        }
        if (read.body_len == strlen(bodies[i]) && memcmp(read.body, bodies[i], read.body_len) == 0)
            author = i;
    }
    if (winner < clients)
        round->applied_loser = author != winner;
    else
        round->applied_loser = author < clients && answers[author].result.outcome != STORE_UNKNOWN;
    for (unsigned i = 0; i < clients; i++) {
        if (stores[i] != NULL)
            store_wait_close(&doctor->loop, stores[i]);
    }
    free(answers);
    free(bodies);
    return rc;
}

static unsigned clients_of(const struct doctor *doctor)
{
    unsigned clients = doctor->options->clients > 0 ? doctor->options->clients : DEFAULT_CLIENTS;

    return clients < CLIENTS_MAX ? clients : CLIENTS_MAX;
}

static unsigned rounds_of(const struct doctor *doctor)
{
    return doctor->options->rounds > 0 ? doctor->options->rounds : DEFAULT_ROUNDS;
}

/* One row for all rounds of a race; each is added to sum. */
static int report_race(struct doctor *doctor, const char *what, const struct round *rounds,
                       unsigned count)
{
    unsigned decided = 0;
    unsigned too_many = 0;
    unsigned overwritten = 0;
    unsigned undecided = 0;
    int is_bad;

    for (unsigned i = 0; i < count; i++) {
        decided += rounds[i].winners == 1;
        too_many += rounds[i].winners > 1;
        overwritten += rounds[i].applied_loser != 0;
        undecided += rounds[i].undecided;
    }
    is_bad = too_many > 0 || overwritten > 0;
    add_row(doctor, what, "one winner a round",
            is_bad             ? DOCTOR_BAD
            : decided == count ? DOCTOR_GOOD
                               : DOCTOR_UNCLEAR,
            "%u clients, %u rounds: %u with one winner, %u with more, %u overwritten; %u answers "
            "undecided",
            clients_of(doctor), count, decided, too_many, overwritten, undecided);
    return is_bad ? -1 : 0;
}

static int run_race(struct doctor *doctor, const char *what, enum store_condition condition)
{
    unsigned count = rounds_of(doctor);
    struct round *rounds = calloc(count, sizeof(*rounds));
    char etag[STORE_ETAG_MAX];
    char url[sizeof(doctor->probe) + 16];
    struct error error = {0};
    int rc = rounds == NULL ? error_set(&error, ERR_INTERNAL, "out of memory for a race") : 0;

    for (unsigned i = 0; i < count && rc == 0; i++) {
        if (condition == STORE_IF_ABSENT)
            snprintf(url, sizeof(url), "%s-%u", doctor->probe, i);
        else
            snprintf(url, sizeof(url), "%s", doctor->probe);
        rc = run_round(doctor, url, clients_of(doctor), condition, doctor->etag, &rounds[i], etag,
                       &error);
        if (condition == STORE_IF_MATCH)
            memcpy(doctor->etag, etag, sizeof(doctor->etag));
    }
    if (rc != 0)
        add_row(doctor, what, "one winner a round", DOCTOR_UNCLEAR, "%s", error.text);
    else
        rc = report_race(doctor, what, rounds, count);
    free(rounds);
    return rc;
}

static int check_create_race(struct doctor *doctor)
{
    return run_race(doctor, "race to create", STORE_IF_ABSENT);
}

static int check_replace_race(struct doctor *doctor)
{
    return run_race(doctor, "race to replace", STORE_IF_MATCH);
}

/* ---- afterwards ---- */

static int remove_now(struct doctor *doctor, struct store *store)
{
    struct store_answer answer;

    store_wait_remove(&doctor->loop, store, &answer);
    return answer.result.outcome == STORE_OK || answer.result.outcome == STORE_ABSENT ? 0 : -1;
}

/* Objects that cannot be deleted are named, and do not make a store unusable. */
static void clean_up(struct doctor *doctor)
{
    char url[sizeof(doctor->probe) + 16];
    unsigned left = 0;

    if (!doctor->wrote)
        return;
    if (remove_now(doctor, doctor->store) != 0)
        left++;
    for (unsigned i = 0; i < rounds_of(doctor) && left == 0; i++) {
        struct store *store;

        snprintf(url, sizeof(url), "%s-%u", doctor->probe, i);
        if (open_store(doctor, url, &store, NULL) != 0)
            break;
        if (remove_now(doctor, store) != 0)
            left++;
        store_wait_close(&doctor->loop, store);
    }
    if (left > 0)
        add_row(doctor, "delete the probe's objects", "done", DOCTOR_ODD, "left behind: %s*",
                doctor->probe);
    else
        add_row(doctor, "delete the probe's objects", "done", DOCTOR_GOOD, "done");
}
