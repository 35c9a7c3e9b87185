/*
 * One question at a time goes IDLE -> (choose) -> FETCHING -> IDLE; answers that are at hand go by
 * a timer of 0 ms, so that none comes from inside the question.
 */
#include "lockstore/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <uv.h>

#include "lockstore/aws_config.h"
#include "lockstore/credentials_http.h"
#include "lockstore/credentials_parse.h"
#include "lockstore/credentials_process.h"
#include "lockstore/s3_settings.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"

/* Before they expire, keys are replaced this early; a request under way must not outlive them. */
#define REFRESH_BEFORE_S 300

/* A credential_process may ask a person or a slow vault. */
#define PROCESS_TIMEOUT_MS 60000

struct credential_chain {
    uv_loop_t *loop;
    uv_timer_t timer; /* 0 ms: answer the question */
    struct http_client *http;
    const struct s3_settings *settings;
    struct credentials credentials; /* the last ones; access_key NULL for none */
    struct error error;             /* why the last fetch gave none; code 0 for fine */
    char source[64];
    int fetching;
    int had_some;                        /* credentials were there once: their source works */
    struct credentials_http *http_fetch; /* one of these two, or neither, while fetching */
    struct credentials_process *process; /* stays until it is closed */
    int process_closing;
    credentials_callback *done; /* the question; NULL for none */
    void *arg;
    int closing;
    int timer_closed;
    void (*closed)(void *arg);
    void *closed_arg;
};

static int is_fresh(const struct credential_chain *chain, int64_t margin);
static void start_fetch(struct credential_chain *chain);
static int choose_and_start(struct credential_chain *chain, const struct aws_config *config,
                            struct error *error);
static void fetched(void *arg, const struct credentials *credentials, const struct error *error);
static void timer_cb(uv_timer_t *timer);
static void process_closed(void *arg);
static void timer_closed_cb(uv_handle_t *handle);
static void free_when_closed(struct credential_chain *chain);

int credential_chain_new(struct credential_chain **out, struct uv_loop_s *loop,
                         struct http_client *http, const struct s3_settings *settings,
                         struct error *error)
{
    struct credential_chain *chain = calloc(1, sizeof(*chain));

    if (chain == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for credentials");
    chain->loop = loop;
    chain->http = http;
    chain->settings = settings;
    uv_timer_init(loop, &chain->timer);
    chain->timer.data = chain;
    *out = chain;
    return 0;
}

void credential_chain_get(struct credential_chain *chain, credentials_callback *done, void *arg)
{
    chain->done = done;
    chain->arg = arg;
    if (is_fresh(chain, REFRESH_BEFORE_S))
        uv_timer_start(&chain->timer, timer_cb, 0, 0);
    else if (!chain->fetching && chain->process == NULL)
        start_fetch(chain); /* else fetched() or process_closed() goes on */
}

void credential_chain_cancel(struct credential_chain *chain)
{
    chain->done = NULL;
    uv_timer_stop(&chain->timer);
}

void credential_chain_forget(struct credential_chain *chain)
{
    credentials_release(&chain->credentials);
}

void credential_chain_copy(struct credential_chain *chain, const struct credential_chain *other)
{
    struct credentials copy;

    if (other->credentials.access_key == NULL ||
        credentials_fill(&copy, other->credentials.access_key, other->credentials.secret_key,
                         other->credentials.session_token, NULL, NULL) != 0)
        return;
    copy.expires = other->credentials.expires;
    credentials_release(&chain->credentials);
    chain->credentials = copy;
    memcpy(chain->source, other->source, sizeof(chain->source));
}

const char *credential_chain_source(const struct credential_chain *chain)
{
    return chain->source;
}

static int is_fresh(const struct credential_chain *chain, int64_t margin)
{
    return chain->credentials.access_key != NULL &&
           (chain->credentials.expires == 0 ||
            chain->credentials.expires - margin > clock_wall_seconds());
}

/* ---- asking ---- */

static void start_fetch(struct credential_chain *chain)
{
    struct aws_config *config = NULL;
    struct error error = {0};
    int rc;

    chain->fetching = 1;
    rc = aws_config_load(&config, &error);
    if (rc == 0)
        rc = choose_and_start(chain, config, &error);
    aws_config_free(config);
    if (rc != 0) {
        error.code = rc;
        fetched(chain, NULL, &error);
    }
}

/* The values of one of the sources that need no asking; fetched is called with them. */
static int take_values(struct credential_chain *chain, const char *source, const char *access_key,
                       const char *secret_key, const char *token, struct error *error)
{
    struct credentials credentials;
    int rc;

    snprintf(chain->source, sizeof(chain->source), "%s", source);
    rc = credentials_fill(&credentials, access_key, secret_key, token, NULL, error);
    if (rc != 0) {
        error_wrap(error, "taking credentials from the %s", source);
        return rc;
    }
    fetched(chain, &credentials, error);
    credentials_release(&credentials);
    return 0;
}

static int start_web_identity(struct credential_chain *chain, const char *role,
                              const char *token_file, const char *session, struct error *error)
{
    char name[64];

    if (role == NULL)
        return error_set(error, ERR_USAGE,
                         "a web identity's token file is configured, but no role "
                         "(AWS_ROLE_ARN or role_arn)");
    if (session == NULL) {
        snprintf(name, sizeof(name), "lockstep-%lld", (long long)clock_wall_seconds());
        session = name;
    }
    snprintf(chain->source, sizeof(chain->source), "web identity");
    return credentials_http_start_web_identity(&chain->http_fetch, chain->http, chain->settings,
                                               role, token_file, session, fetched, chain, error);
}

static int start_profile(struct credential_chain *chain, const struct aws_config *config,
                         int *is_configured, struct error *error)
{
    static const char *const unsupported[] = {"source_profile", "credential_source", "sso_session",
                                              "sso_start_url", "login_session"};
    const char *profile = aws_config_profile(config);
    const char *access_key = aws_config_get(config, "aws_access_key_id");
    const char *command = aws_config_get(config, "credential_process");

    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
        /* The AWS tools let a role go before the profile's own keys, and sign-on too. */
        if (aws_config_get(config, unsupported[i]) != NULL)
            return error_set(error, ERR_USAGE,
                             "the AWS profile \"%s\" has %s, which Lockstep does not do itself: "
                             "use a profile with credential_process = aws configure "
                             "export-credentials --profile %s",
                             profile, unsupported[i], profile);
    }
    *is_configured = 1;
    if (access_key != NULL)
        return take_values(chain, "AWS profile", access_key,
                           aws_config_get(config, "aws_secret_access_key"),
                           aws_config_get(config, "aws_session_token"), error);
    if (command != NULL) {
        snprintf(chain->source, sizeof(chain->source), "credential_process");
        return credentials_process_start(&chain->process, chain->loop, command, PROCESS_TIMEOUT_MS,
                                         fetched, chain, error);
    }
    *is_configured = 0;
    return 0;
}

static int choose_and_start(struct credential_chain *chain, const struct aws_config *config,
                            struct error *error)
{
    const char *access_key = aws_environment("AWS_ACCESS_KEY_ID");
    const char *secret_key = aws_environment("AWS_SECRET_ACCESS_KEY");
    const char *token_file = aws_environment("AWS_WEB_IDENTITY_TOKEN_FILE");
    const char *disabled = aws_environment("AWS_EC2_METADATA_DISABLED");
    int is_configured = 0;
    int rc;

    if (access_key != NULL || secret_key != NULL)
        return take_values(chain, "environment variables", access_key, secret_key,
                           aws_environment("AWS_SESSION_TOKEN"), error);
    if (token_file != NULL)
        return start_web_identity(chain, aws_environment("AWS_ROLE_ARN"), token_file,
                                  aws_environment("AWS_ROLE_SESSION_NAME"), error);
    token_file = aws_config_get(config, "web_identity_token_file");
    if (token_file != NULL)
        return start_web_identity(chain, aws_config_get(config, "role_arn"), token_file,
                                  aws_config_get(config, "role_session_name"), error);
    rc = start_profile(chain, config, &is_configured, error);
    if (rc != 0 || is_configured)
        return rc;
    if (aws_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != NULL ||
        aws_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI") != NULL) {
        snprintf(chain->source, sizeof(chain->source), "container's endpoint");
        return credentials_http_start_container(&chain->http_fetch, chain->http, chain->settings,
                                                fetched, chain, error);
    }
    if (disabled != NULL && strcasecmp(disabled, "true") == 0)
        return error_set(error, ERR_STORE_UNUSABLE,
                         "there are no credentials: set AWS_ACCESS_KEY_ID and "
                         "AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials");
    snprintf(chain->source, sizeof(chain->source), "machine's role");
    return credentials_http_start_machine(&chain->http_fetch, chain->http, chain->settings, fetched,
                                          chain, error);
}

/* ---- answers ---- */

/* From a source's callback, or from start_fetch itself. */
static void fetched(void *arg, const struct credentials *credentials, const struct error *error)
{
    struct credential_chain *chain = arg;
    struct credentials copy = {0};

    chain->http_fetch = NULL;
    chain->fetching = 0;
    if (chain->process != NULL && !chain->process_closing) {
        chain->process_closing = 1;
        credentials_process_close(chain->process, process_closed, chain);
    }
    chain->error = (struct error){0};
    if (credentials == NULL) {
        chain->error = *error;
    } else if (credentials->expires != 0 && credentials->expires <= clock_wall_seconds()) {
        error_set(&chain->error, ERR_STORE_UNUSABLE,
                  "the credentials from the %s have expired already", chain->source);
    } else if (credentials_fill(&copy, credentials->access_key, credentials->secret_key,
                                credentials->session_token, NULL, &chain->error) == 0) {
        copy.expires = credentials->expires;
        credentials_release(&chain->credentials);
        chain->credentials = copy;
        chain->had_some = 1;
    }
    if (strcmp(chain->source, "machine's role") == 0 && chain->error.code != 0 &&
        !chain->had_some) {
        /* Nothing was configured and nobody answered: waiting will not help. */
        chain->error.code = ERR_STORE_UNUSABLE;
        error_wrap(&chain->error,
                   "there are no credentials in the environment (AWS_ACCESS_KEY_ID, …), in the AWS "
                   "profile, or from a container, and this machine has no role to give");
    }
    if (chain->error.code != 0 && is_fresh(chain, 0)) {
        log_line(LOG_WARNING, "credentials could not be renewed yet: %s", chain->error.text);
        chain->error = (struct error){0};
    }
    if (chain->done != NULL)
        uv_timer_start(&chain->timer, timer_cb, 0, 0);
}

static void timer_cb(uv_timer_t *timer)
{
    struct credential_chain *chain = timer->data;
    credentials_callback *done = chain->done;

    chain->done = NULL;
    if (chain->error.code == 0 && chain->credentials.access_key != NULL)
        done(chain->arg, &chain->credentials, &chain->error);
    else
        done(chain->arg, NULL, &chain->error);
}

/* ---- closing ---- */

static void process_closed(void *arg)
{
    struct credential_chain *chain = arg;

    chain->process = NULL;
    chain->process_closing = 0;
    if (chain->closing)
        free_when_closed(chain);
    else if (chain->done != NULL && !chain->fetching && !uv_is_active((uv_handle_t *)&chain->timer))
        start_fetch(chain);
}

void credential_chain_close(struct credential_chain *chain, void (*closed)(void *arg), void *arg)
{
    chain->done = NULL;
    chain->closing = 1;
    chain->closed = closed;
    chain->closed_arg = arg;
    if (chain->http_fetch != NULL)
        credentials_http_abort(chain->http_fetch);
    chain->http_fetch = NULL;
    if (chain->process != NULL && !chain->process_closing) {
        chain->process_closing = 1;
        credentials_process_close(chain->process, process_closed, chain);
    }
    uv_close((uv_handle_t *)&chain->timer, timer_closed_cb);
}

static void timer_closed_cb(uv_handle_t *handle)
{
    struct credential_chain *chain = handle->data;

    chain->timer_closed = 1;
    free_when_closed(chain);
}

static void free_when_closed(struct credential_chain *chain)
{
    void (*closed)(void *arg) = chain->closed;
    void *arg = chain->closed_arg;

    if (!chain->closing || !chain->timer_closed || chain->process != NULL)
        return;
    credentials_release(&chain->credentials);
    free(chain);
    closed(arg);
}
