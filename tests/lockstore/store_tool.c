/*
 * store_tool: the store interface for tests in Python. Each line on stdin is an operation, its
 * words parted by tabs; each is answered by one line of JSON on stdout.
 *
 *     open NAME URL | get NAME | absent NAME BODY | match NAME ETAG BODY | remove NAME | close NAME
 *     doctor URL CLIENTS ROUNDS
 *     terms URL COUNT   (one lock, taken and given back that many times)
 *     begin get NAME | …  (as above, without waiting: a "close" abandons it)
 *
 * Options: --request-timeout MS, --operation-timeout MS, --clock-offset SECONDS, --forget.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <uv.h>

#include "lockstore/aws_config.h"
#include "lockstore/doctor.h"
#include "lockstore/lock.h"
#include "lockstore/s3_settings.h"
#include "lockstore/store.h"
#include "lockstore/store_s3.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"

#define STORES 64
#define WORDS  5

static struct {
    char name[32];
    struct store *store;
} stores[STORES];

static uv_loop_t loop;
static struct s3_settings settings;
static int settings_given;

static void reply(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);

    puts(text);
    fflush(stdout);
    free(text);
    json_decref(object);
}

static void reply_error(const struct error *error)
{
    reply(json_pack("{s:s, s:s}", "failed", error_name(error->code), "error", error->text));
}

static struct store **find_store(const char *name)
{
    struct store **vacant = NULL;

    for (size_t i = 0; i < STORES; i++) {
        if (stores[i].store != NULL && strcmp(stores[i].name, name) == 0)
            return &stores[i].store;
        if (stores[i].store == NULL && vacant == NULL) {
            snprintf(stores[i].name, sizeof(stores[i].name), "%s", name);
            vacant = &stores[i].store;
        }
    }
    return vacant;
}

static void print_result(void *arg, const struct store_result *result)
{
    static const char *const outcomes[] = {[STORE_OK] = "ok",
                                           [STORE_ABSENT] = "absent",
                                           [STORE_MISMATCH] = "mismatch",
                                           [STORE_CONFLICT] = "conflict",
                                           [STORE_UNKNOWN] = "unknown",
                                           [STORE_REFUSED] = "refused"};
    int *left = arg;

    reply(json_pack("{s:s, s:s, s:s%, s:I, s:i, s:s}", "outcome", outcomes[result->outcome], "etag",
                    result->etag, "body", result->body != NULL ? (const char *)result->body : "",
                    result->body_len, "age_ms", (json_int_t)result->age_ms, "retry_after_ms",
                    (int)result->retry_after_ms, "error", result->error.text));
    *left = 0;
}

static void clear_flag(void *arg)
{
    *(int *)arg = 0;
}

static void wait_for(const int *flag)
{
    while (*flag) {
        if (uv_run(&loop, UV_RUN_ONCE) == 0 && *flag) {
            fprintf(stderr, "store_tool: the loop has nothing left to wait for\n");
            exit(1);
        }
    }
}

static void open_store(const char *name, const char *url)
{
    struct store **spot = find_store(name);
    struct error error = {0};
    int rc;

    if (strncmp(url, "s3:", 3) == 0)
        rc = store_s3_open(spot, &loop, url, settings_given ? &settings : NULL, &error);
    else
        rc = store_open(spot, &loop, url, &error);
    if (rc != 0) {
        *spot = NULL;
        reply_error(&error);
    } else {
        reply(json_pack("{s:s}", "outcome", "open"));
    }
}

static void close_store(struct store **spot)
{
    int left = 1;

    store_close(*spot, clear_flag, &left);
    wait_for(&left);
    *spot = NULL;
}

static void run_doctor(const char *url, unsigned clients, unsigned rounds)
{
    struct doctor_options options = {
        .clients = clients, .rounds = rounds, .settings = settings_given ? &settings : NULL};
    struct doctor_report report;
    struct error error = {0};
    json_t *rows = json_array();
    int rc = doctor_run(url, &options, &report, &error);

    for (size_t i = 0; i < report.count; i++)
        json_array_append_new(rows, json_pack("[s, s, s, s]", report.rows[i].what,
                                              report.rows[i].expected, report.rows[i].seen,
                                              doctor_verdict_text(report.rows[i].verdict)));
    reply(json_pack("{s:s, s:b, s:o, s:s}", "failed", rc == 0 ? "" : error_name(rc), "usable",
                    report.usable, "rows", rows, "error", error.text));
}

/* ---- terms ---- */

struct terms {
    struct lock *lock;
    int left;
    json_t *tokens;
    struct error error;
    int open;
};

static void end_terms(struct terms *terms, const struct error *error)
{
    terms->error = *error;
    lock_close(terms->lock, clear_flag, &terms->open);
}

static void on_waiting(void *user, const struct lock_holder *holder)
{
    (void)user;
    (void)holder;
}

static void on_acquired(void *user, uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE])
{
    struct terms *terms = user;

    (void)lease_id;
    json_array_append_new(terms->tokens, json_integer((json_int_t)token));
    lock_release(terms->lock);
}

static void on_failed(void *user, const struct error *error)
{
    end_terms(user, error);
}

static void on_released(void *user, const struct error *error)
{
    struct terms *terms = user;

    if (error->code != ERR_NONE || --terms->left == 0)
        end_terms(terms, error);
    else
        lock_acquire(terms->lock);
}

static void run_terms(const char *url, int count)
{
    static const struct lock_callbacks callbacks = {on_waiting, on_acquired, NULL, on_failed,
                                                    on_released};
    const struct lock_options options = {.instance = "terms"};
    struct terms terms = {.left = count, .tokens = json_array(), .open = 1};

    if (lock_new(&terms.lock, &loop, url, &options, &callbacks, &terms, &terms.error) == 0) {
        lock_acquire(terms.lock);
        wait_for(&terms.open);
    }
    reply(json_pack("{s:o, s:s}", "tokens", terms.tokens, "error", terms.error.text));
}

static void run_line(char *line)
{
    static int left; /* static: an operation that "begin" started may end later */
    char *words[WORDS] = {NULL};
    size_t count = 0;
    char *save = NULL;
    struct store *store;
    int wait = 1;
    char **word = words;

    for (char *next = strtok_r(line, "\t\n", &save); next != NULL && count < WORDS;
         next = strtok_r(NULL, "\t\n", &save))
        words[count++] = next;
    if (count > 2 && strcmp(words[0], "begin") == 0) {
        wait = 0;
        word++;
    }
    if (strcmp(word[0], "open") == 0) {
        open_store(word[1], word[2]);
        return;
    }
    if (strcmp(word[0], "doctor") == 0) {
        run_doctor(word[1], (unsigned)atoi(word[2]), (unsigned)atoi(word[3]));
        return;
    }
    if (strcmp(word[0], "terms") == 0) {
        run_terms(word[1], atoi(word[2]));
        return;
    }
    store = *find_store(word[1]);
    left = 1;
    if (strcmp(word[0], "close") == 0) {
        close_store(find_store(word[1]));
        reply(json_pack("{s:s}", "outcome", "closed"));
        return;
    }
    if (strcmp(word[0], "get") == 0)
        store_get(store, print_result, &left);
    else if (strcmp(word[0], "absent") == 0)
        store_put(store, STORE_IF_ABSENT, NULL, (uint8_t *)word[2], strlen(word[2]), print_result,
                  &left);
    else if (strcmp(word[0], "match") == 0)
        store_put(store, STORE_IF_MATCH, word[2], (uint8_t *)word[3], strlen(word[3]), print_result,
                  &left);
    else if (strcmp(word[0], "remove") == 0)
        store->methods->remove(store, print_result, &left);
    if (wait)
        wait_for(&left);
    else
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void read_options(int argc, char **argv)
{
    struct aws_config *config = NULL;
    struct error error = {0};

    if (argc < 2)
        return;
    if (aws_config_load(&config, &error) != 0 || s3_settings_load(&settings, config, &error) != 0) {
        reply_error(&error);
        exit(1);
    }
    aws_config_free(config);
    settings_given = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--forget") == 0)
            settings.remember = 0;
        else if (strcmp(argv[i], "--request-timeout") == 0)
            settings.request_timeout_ms = (uint32_t)atoi(argv[++i]);
        else if (strcmp(argv[i], "--operation-timeout") == 0)
            settings.operation_timeout_ms = (uint32_t)atoi(argv[++i]);
        else if (strcmp(argv[i], "--clock-offset") == 0)
            settings.clock_offset_s = atoll(argv[++i]);
    }
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t size = 0;

    read_options(argc, argv);
    uv_loop_init(&loop);
    while (getline(&line, &size, stdin) > 0)
        run_line(line);
    free(line);
    for (size_t i = 0; i < STORES; i++) {
        if (stores[i].store != NULL)
            close_store(&stores[i].store);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
