/*
 * One operation is a row of requests; each is: credentials, sign, send, judge, and where there is a
 * remedy (s3_answer.h) that was not tried yet, the same again. The rows:
 *
 *   get, remove       ASK -> done
 *   put               ASK -> done, unless
 *     412 to an If-Match, and the form of ETags that this store wants is not known for sure:
 *                     ASK -> LOOK (a GET) -> the ETag is another: MISMATCH
 *                                         -> it is the one that we named: RETRY in the other form
 *     done, and the store has not yet proven itself (the record is now ours, so that writing it
 *     again with the same body harms nobody):
 *                     ASK -> OWN (If-Match with the ETag just given; the other form if 412)
 *                         -> FALSE_MATCH (an ETag that no object has) -> FALSE_ABSENT -> done
 *
 * A proof that the network cuts short leaves the store unproven and the put done. AWS, Tigris and
 * R2 document their conditional writes and are taken at their word.
 *
 * LOOK and RETRY cannot lose an update: RETRY is itself conditional on the ETag that the caller
 * named. They are not enough where a store serves stale reads and ignores a malformed If-Match:
 * what the proof finds out beforehand.
 */
#include "lockstore/store_s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "lockstore/aws_config.h"
#include "lockstore/credentials.h"
#include "lockstore/http.h"
#include "lockstore/s3_address.h"
#include "lockstore/s3_answer.h"
#include "lockstore/s3_memory.h"
#include "lockstore/s3_request.h"
#include "lockstore/s3_settings.h"
#include "lockstore/secret.h"
#include "protocol/base/buffer.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

#define NO_SUCH_ETAG "00000000000000000000000000000000"

enum step {
    STEP_IDLE,
    STEP_ASK,
    STEP_LOOK,
    STEP_RETRY,
    STEP_OWN,
    STEP_FALSE_MATCH,
    STEP_FALSE_ABSENT
};

struct store_s3 {
    struct store base;
    uv_timer_t timer; /* the operation's deadline */
    struct s3_settings settings;
    struct s3_name name;
    struct s3_address address;
    struct s3_memory memory;
    struct http_client *http;
    struct credential_chain *chain;
    int form_known;       /* memory.bare_etags was seen to work by this process */
    int raw;              /* the doctor's: no remedies of form, no proof */
    int64_t clock_offset; /* seconds, added to our clock: what the store taught */
    int64_t clock_lead;

    /* The operation under way. */
    enum step step;
    enum s3_operation operation;
    struct buffer body;
    char etag[STORE_ETAG_MAX];
    store_callback *done;
    void *arg;
    struct http_call *call; /* the request under way, NULL while there are only credentials asked */
    unsigned remedies;      /* bit 1 << enum s3_remedy: tried in this operation */
    int other_form_tried;   /* in STEP_OWN */
    struct store_result result; /* the put's own, while the store proves itself */

    void (*closed)(void *arg);
    void *closed_arg;
};

static void get(struct store *store, store_callback *done, void *arg);
static void put(struct store *store, enum store_condition condition, const char *etag,
                const uint8_t *body, size_t len, store_callback *done, void *arg);
static void remove_object(struct store *store, store_callback *done, void *arg);
static void close_store(struct store *store, void (*closed)(void *arg), void *arg);
static void start(struct store_s3 *self, enum s3_operation operation, store_callback *done,
                  void *arg);
static void send_step(struct store_s3 *self, enum step step);
static void credentials_cb(void *arg, const struct credentials *credentials,
                           const struct error *error);
static void answer_cb(void *arg, const struct http_answer *answer);
static void deadline_cb(uv_timer_t *timer);

static const struct store_methods methods = {
    .get = get, .put = put, .remove = remove_object, .close = close_store};

/* ---- opening and closing ---- */

static void closed_nothing(void *arg)
{
    (void)arg;
}

static int load_settings(struct s3_settings *out, const struct s3_settings *given,
                         struct error *error)
{
    struct aws_config *config;
    int rc;

    if (given != NULL) {
        *out = *given;
        return 0;
    }
    rc = aws_config_load(&config, error);
    if (rc != 0)
        return rc;
    rc = s3_settings_load(out, config, error);
    aws_config_free(config);
    return rc;
}

int store_s3_open(struct store **out, struct uv_loop_s *loop, const char *url,
                  const struct s3_settings *settings, struct error *error)
{
    struct store_s3 *self = calloc(1, sizeof(*self));
    int rc;

    if (self == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for a lock store");
    secret_hide_process();
    self->base.methods = &methods;
    snprintf(self->base.url, sizeof(self->base.url), "%.1023s", url);
    buffer_init(&self->body, LIMIT_LOCK_RECORD);
    rc = load_settings(&self->settings, settings, error);
    if (rc == 0)
        rc = s3_name_parse(url, &self->name, error);
    if (rc == 0 && self->settings.remember)
        s3_memory_load(&self->memory, self->settings.endpoint, self->name.bucket);
    if (rc == 0)
        rc = s3_address_make(&self->settings,
                             self->memory.region[0] != '\0' ? self->memory.region : NULL,
                             &self->name, &self->address, error);
    if (rc == 0)
        rc = http_client_new(&self->http, loop, error);
    if (rc == 0) {
        rc = credential_chain_new(&self->chain, loop, self->http, &self->settings, error);
        if (rc != 0)
            http_client_close(self->http, closed_nothing, NULL);
    }
    if (rc != 0) {
        free(self);
        return error_wrap(error, "opening the lock store");
    }
    if (self->address.vendor != S3_VENDOR_OTHER)
        self->memory.proven = 1;
    uv_timer_init(loop, &self->timer);
    self->timer.data = self;
    *out = &self->base;
    return 0;
}

static void timer_closed_cb(uv_handle_t *handle)
{
    struct store_s3 *self = handle->data;
    void (*closed)(void *arg) = self->closed;
    void *arg = self->closed_arg;

    buffer_release(&self->body);
    free(self);
    closed(arg);
}

static void http_closed(void *arg)
{
    struct store_s3 *self = arg;

    uv_close((uv_handle_t *)&self->timer, timer_closed_cb);
}

static void chain_closed(void *arg)
{
    struct store_s3 *self = arg;

    http_client_close(self->http, http_closed, self);
}

static void close_store(struct store *store, void (*closed)(void *arg), void *arg)
{
    struct store_s3 *self = (struct store_s3 *)store;

    self->closed = closed;
    self->closed_arg = arg;
    uv_timer_stop(&self->timer);
    if (self->call != NULL)
        http_abort(self->call);
    self->call = NULL;
    credential_chain_close(self->chain, chain_closed, self);
}

/* ---- starting ---- */

static void get(struct store *store, store_callback *done, void *arg)
{
    struct store_s3 *self = (struct store_s3 *)store;

    self->body.len = 0;
    start(self, S3_GET, done, arg);
}

static void put(struct store *store, enum store_condition condition, const char *etag,
                const uint8_t *body, size_t len, store_callback *done, void *arg)
{
    struct store_s3 *self = (struct store_s3 *)store;

    /* The record's size is ours to keep within the limit; where memory ran out the request cannot
     * be made, which send_step finds by the length. */
    self->body.len = 0;
    if (buffer_append(&self->body, body, len, NULL) != 0)
        self->body.len = 0;
    snprintf(self->etag, sizeof(self->etag), "%s", etag != NULL ? etag : "");
    start(self, condition == STORE_IF_ABSENT ? S3_PUT_IF_ABSENT : S3_PUT_IF_MATCH, done, arg);
}

static void remove_object(struct store *store, store_callback *done, void *arg)
{
    struct store_s3 *self = (struct store_s3 *)store;

    self->body.len = 0;
    start(self, S3_DELETE, done, arg);
}

static void start(struct store_s3 *self, enum s3_operation operation, store_callback *done,
                  void *arg)
{
    self->operation = operation;
    self->done = done;
    self->arg = arg;
    self->remedies = 0;
    self->other_form_tried = 0;
    self->result = (struct store_result){.age_ms = -1};
    uv_timer_start(&self->timer, deadline_cb, self->settings.operation_timeout_ms, 0);
    send_step(self, STEP_ASK);
}

static void finish(struct store_s3 *self, const struct store_result *result)
{
    store_callback *done = self->done;

    uv_timer_stop(&self->timer);
    self->step = STEP_IDLE;
    self->done = NULL;
    done(self->arg, result);
}

static void finish_failed(struct store_s3 *self, enum store_outcome outcome,
                          const struct error *error)
{
    struct store_result result = {.outcome = outcome, .age_ms = -1, .error = *error};

    finish(self, &result);
}

static int is_proof(enum step step)
{
    return step == STEP_OWN || step == STEP_FALSE_MATCH || step == STEP_FALSE_ABSENT;
}

static void deadline_cb(uv_timer_t *timer)
{
    struct store_s3 *self = timer->data;
    struct error error;

    if (self->call != NULL)
        http_abort(self->call);
    self->call = NULL;
    credential_chain_cancel(self->chain);
    if (is_proof(self->step)) {
        finish(self, &self->result);
        return;
    }
    error_set(&error, ERR_TIMEOUT, "the store %s was not through with an operation after %u s",
              self->address.host, self->settings.operation_timeout_ms / 1000);
    finish_failed(self, STORE_UNKNOWN, &error);
}

/* ---- one request ---- */

static void send_step(struct store_s3 *self, enum step step)
{
    self->step = step;
    credential_chain_get(self->chain, credentials_cb, self);
}

/* The request that a step makes of the operation. */
static enum s3_operation step_operation(const struct store_s3 *self)
{
    switch (self->step) {
    case STEP_LOOK:
        return S3_GET;
    case STEP_OWN:
    case STEP_FALSE_MATCH:
        return S3_PUT_IF_MATCH;
    case STEP_FALSE_ABSENT:
        return S3_PUT_IF_ABSENT;
    default:
        return self->operation;
    }
}

static const char *step_etag(const struct store_s3 *self)
{
    if (self->step == STEP_FALSE_MATCH)
        return NO_SUCH_ETAG;
    return self->step == STEP_OWN ? self->result.etag : self->etag;
}

static int64_t store_time(const struct store_s3 *self)
{
    return clock_wall_seconds() + self->settings.clock_offset_s + self->clock_offset;
}

static int send_signed(struct store_s3 *self, const struct credentials *credentials,
                       struct error *error)
{
    enum s3_operation operation = step_operation(self);
    int is_put = operation == S3_PUT_IF_ABSENT || operation == S3_PUT_IF_MATCH;
    char etag[STORE_ETAG_MAX + 3];
    struct s3_request request = {.address = &self->address,
                                 .operation = operation,
                                 .etag = etag,
                                 .body = is_put ? self->body.data : NULL,
                                 .body_len = is_put ? self->body.len : 0,
                                 .time = store_time(self)};
    struct http_request http = {.method = "GET",
                                .url = self->address.url,
                                .body = request.body,
                                .body_len = request.body_len,
                                .ca_bundle = self->settings.ca_bundle,
                                .connect_timeout_ms = self->settings.connect_timeout_ms,
                                .timeout_ms = self->settings.request_timeout_ms,
                                .body_max = LIMIT_HTTP_BODY};
    struct s3_headers headers;
    int rc;

    if (is_put && self->body.len == 0)
        return error_set(error, ERR_INTERNAL, "out of memory for a lock record");
    if (is_put)
        http.method = "PUT";
    else if (operation == S3_DELETE)
        http.method = "DELETE";
    s3_etag_form(step_etag(self), self->memory.bare_etags, etag);
    rc = s3_request_sign(&request, credentials, &headers, error);
    if (rc != 0)
        return rc;
    http.headers = (const char *const *)headers.lines;
    http.header_count = headers.count;
    rc = http_start(self->http, &http, answer_cb, self, &self->call, error);
    s3_headers_release(&headers);
    return rc;
}

static void credentials_cb(void *arg, const struct credentials *credentials,
                           const struct error *error)
{
    struct store_s3 *self = arg;
    struct error failure = *error;

    if (credentials != NULL && send_signed(self, credentials, &failure) == 0)
        return;
    error_wrap(&failure, "asking the store %s", self->address.host);
    finish_failed(self, failure.code == ERR_TIMEOUT ? STORE_UNKNOWN : STORE_REFUSED, &failure);
}

/* ---- its answer ---- */

/* Whether the remedy is worth another try; makes the change that it needs. */
static int apply_remedy(struct store_s3 *self, const struct s3_verdict *verdict,
                        const struct http_answer *answer)
{
    unsigned bit = 1u << verdict->remedy;

    if (verdict->remedy == S3_REMEDY_NONE || (self->remedies & bit) != 0)
        return 0;
    self->remedies |= bit;
    switch (verdict->remedy) {
    case S3_REMEDY_CLOCK:
        if (answer->date < 0)
            return 0;
        self->clock_offset = answer->date - clock_wall_seconds() - self->settings.clock_offset_s;
        return 1;
    case S3_REMEDY_REGION:
        if (strcmp(verdict->region, self->address.region) == 0 ||
            s3_address_make(&self->settings, verdict->region, &self->name, &self->address, NULL) !=
                0)
            return 0;
        snprintf(self->memory.region, sizeof(self->memory.region), "%s", verdict->region);
        store_s3_remember(&self->base, self->memory.bare_etags, self->memory.proven);
        return 1;
    default:
        credential_chain_forget(self->chain);
        return 1;
    }
}

static void fill_result(struct store_s3 *self, const struct s3_verdict *verdict,
                        const struct http_answer *answer, struct store_result *result)
{
    *result = (struct store_result){.outcome = verdict->outcome,
                                    .age_ms = -1,
                                    .retry_after_ms = answer->retry_after_ms,
                                    .error = verdict->error};
    if (verdict->outcome != STORE_OK)
        return;
    snprintf(result->etag, sizeof(result->etag), "%.*s", STORE_ETAG_MAX - 1, answer->etag);
    if (self->operation != S3_GET)
        return;
    result->body = (const uint8_t *)answer->body;
    result->body_len = answer->body_len;
    /* Both are the store's own clock; a write in the second of the Date counts as new. */
    if (answer->date >= 0 && answer->last_modified >= 0)
        result->age_ms = answer->date > answer->last_modified
                             ? (answer->date - answer->last_modified) * 1000
                             : 0;
}

/* The put is done: report it, or let the store prove itself first. */
static void put_done(struct store_s3 *self, const struct store_result *result)
{
    if (self->memory.proven || self->raw) {
        finish(self, result);
        return;
    }
    self->result = *result;
    send_step(self, self->form_known ? STEP_FALSE_MATCH : STEP_OWN);
}

static void asked(struct store_s3 *self, const struct s3_verdict *verdict,
                  const struct http_answer *answer)
{
    struct store_result result;

    fill_result(self, verdict, answer, &result);
    if (self->operation == S3_PUT_IF_MATCH && verdict->outcome == STORE_OK && !self->raw)
        self->form_known = 1;
    if (self->operation == S3_PUT_IF_MATCH && verdict->outcome == STORE_MISMATCH &&
        !self->form_known && !self->raw)
        send_step(self, STEP_LOOK);
    else if (verdict->outcome == STORE_OK &&
             (self->operation == S3_PUT_IF_MATCH || self->operation == S3_PUT_IF_ABSENT))
        put_done(self, &result);
    else
        finish(self, &result);
}

static void looked(struct store_s3 *self, const struct s3_verdict *verdict,
                   const struct http_answer *answer)
{
    struct store_result result = {.outcome = STORE_MISMATCH, .age_ms = -1};

    if (verdict->outcome == STORE_OK && s3_etag_equal(answer->etag, self->etag)) {
        self->memory.bare_etags = !self->memory.bare_etags;
        send_step(self, STEP_RETRY);
    } else if (verdict->outcome == STORE_OK || verdict->outcome == STORE_ABSENT) {
        finish(self, &result);
    } else {
        /* The 412 may have meant the form only: nothing is known. */
        finish_failed(self, verdict->outcome == STORE_REFUSED ? STORE_REFUSED : STORE_UNKNOWN,
                      &verdict->error);
    }
}

static void retried(struct store_s3 *self, const struct s3_verdict *verdict,
                    const struct http_answer *answer)
{
    struct store_result result;

    fill_result(self, verdict, answer, &result);
    if (verdict->outcome != STORE_OK) {
        self->memory.bare_etags = !self->memory.bare_etags;
        finish(self, &result);
        return;
    }
    self->form_known = 1;
    store_s3_remember(&self->base, self->memory.bare_etags, self->memory.proven);
    put_done(self, &result);
}

static void owned(struct store_s3 *self, const struct s3_verdict *verdict,
                  const struct http_answer *answer)
{
    if (verdict->outcome == STORE_OK) {
        self->form_known = 1;
        snprintf(self->result.etag, sizeof(self->result.etag), "%.*s", STORE_ETAG_MAX - 1,
                 answer->etag);
        store_s3_remember(&self->base, self->memory.bare_etags, 0);
        send_step(self, STEP_FALSE_MATCH);
        return;
    }
    if (verdict->outcome == STORE_MISMATCH && !self->other_form_tried) {
        self->other_form_tried = 1;
        self->memory.bare_etags = !self->memory.bare_etags;
        send_step(self, STEP_OWN);
        return;
    }
    if (self->other_form_tried)
        self->memory.bare_etags = !self->memory.bare_etags;
    if (verdict->outcome == STORE_REFUSED)
        finish_failed(self, STORE_REFUSED, &verdict->error);
    else
        finish(self, &self->result);
}

/* A write whose condition is false was tried. */
static void falsified(struct store_s3 *self, const struct s3_verdict *verdict)
{
    const char *header = self->step == STEP_FALSE_MATCH ? "If-Match" : "If-None-Match";
    struct error error;

    if (verdict->outcome == STORE_MISMATCH || verdict->outcome == STORE_ABSENT) {
        if (self->step == STEP_FALSE_MATCH) {
            send_step(self, STEP_FALSE_ABSENT);
            return;
        }
        self->memory.proven = 1;
        store_s3_remember(&self->base, self->memory.bare_etags, 1);
        finish(self, &self->result);
    } else if (verdict->outcome == STORE_OK) {
        error_set(
            &error, ERR_STORE_UNUSABLE,
            "the store %s ignores %s: it wrote an object although the condition was false, so "
            "that two could hold one lock. Use a store with conditional writes (`lockstep lock "
            "doctor` shows what this one does)",
            self->address.host, header);
        finish_failed(self, STORE_REFUSED, &error);
    } else if (verdict->outcome == STORE_REFUSED) {
        finish_failed(self, STORE_REFUSED, &verdict->error);
    } else {
        finish(self, &self->result);
    }
}

static void answer_cb(void *arg, const struct http_answer *answer)
{
    struct store_s3 *self = arg;
    struct s3_verdict verdict;

    self->call = NULL;
    if (answer->date >= 0)
        self->clock_lead = answer->date - clock_wall_seconds() - self->settings.clock_offset_s;
    s3_answer_judge(answer, step_operation(self), self->address.host, self->name.bucket, &verdict);
    if (apply_remedy(self, &verdict, answer)) {
        send_step(self, self->step);
        return;
    }
    switch (self->step) {
    case STEP_ASK:
        asked(self, &verdict, answer);
        break;
    case STEP_LOOK:
        looked(self, &verdict, answer);
        break;
    case STEP_RETRY:
        retried(self, &verdict, answer);
        break;
    case STEP_OWN:
        owned(self, &verdict, answer);
        break;
    case STEP_FALSE_MATCH:
    case STEP_FALSE_ABSENT:
        falsified(self, &verdict);
        break;
    case STEP_IDLE:
        break;
    }
}

/* ---- the doctor's ---- */

void store_s3_set_raw(struct store *store, int bare_etags)
{
    struct store_s3 *self = (struct store_s3 *)store;

    self->raw = 1;
    self->memory.bare_etags = bare_etags;
}

void store_s3_remember(struct store *store, int bare_etags, int proven)
{
    struct store_s3 *self = (struct store_s3 *)store;

    self->memory.bare_etags = bare_etags;
    self->memory.proven = proven;
    if (self->settings.remember)
        s3_memory_save(&self->memory, self->settings.endpoint, self->name.bucket);
}

void store_s3_share(struct store *store, const struct store *other)
{
    struct store_s3 *self = (struct store_s3 *)store;
    const struct store_s3 *source = (const struct store_s3 *)other;

    self->clock_offset = source->clock_offset;
    credential_chain_copy(self->chain, source->chain);
}

const char *store_s3_host(const struct store *store)
{
    return ((const struct store_s3 *)store)->address.host;
}

const char *store_s3_credential_source(const struct store *store)
{
    return credential_chain_source(((const struct store_s3 *)store)->chain);
}

int64_t store_s3_clock_lead(const struct store *store)
{
    return ((const struct store_s3 *)store)->clock_lead;
}
