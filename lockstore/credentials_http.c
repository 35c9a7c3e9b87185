#include "lockstore/credentials_http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lockstore/aws_config.h"
#include "lockstore/credentials_parse.h"
#include "lockstore/http.h"
#include "lockstore/s3_settings.h"
#include "lockstore/secret.h"
#include "lockstore/sigv4.h"
#include "lockstore/xml_text.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"

/* The machine's endpoint is one hop away or absent; a machine without one must not wait long. */
#define MACHINE_TIMEOUT_MS 2000

#define ROLE_PATH "/latest/meta-data/iam/security-credentials/"

/* What the request under way asks. IMDSv2: token, then role, then keys. */
enum step { STEP_STS, STEP_CONTAINER, STEP_MACHINE_TOKEN, STEP_MACHINE_ROLE, STEP_MACHINE_KEYS };

struct credentials_http {
    struct http_client *http;
    const struct s3_settings *settings;
    struct http_call *call;
    enum step step;
    char endpoint[S3_ENDPOINT_MAX]; /* the machine's */
    char *token;                    /* the machine's session token, as a header */
    credentials_callback *done;
    void *arg;
};

static int read_token_file(const char *path, struct buffer *out, struct error *error);
static int ask(struct credentials_http *self, const char *method, const char *url,
               const char *header, const struct buffer *body, int direct, struct error *error);
static void answered(void *arg, const struct http_answer *answer);

static struct credentials_http *make(struct http_client *http, const struct s3_settings *settings,
                                     credentials_callback *done, void *arg, struct error *error)
{
    struct credentials_http *self = calloc(1, sizeof(*self));

    if (self == NULL) {
        error_set(error, ERR_INTERNAL, "out of memory for credentials");
        return NULL;
    }
    self->http = http;
    self->settings = settings;
    self->done = done;
    self->arg = arg;
    return self;
}

static void destroy(struct credentials_http *self)
{
    secret_free(self->token);
    free(self);
}

void credentials_http_abort(struct credentials_http *self)
{
    if (self->call != NULL)
        http_abort(self->call);
    destroy(self);
}

/* ---- web identity ---- */

static int append_field(struct buffer *form, const char *name, const char *value, size_t len,
                        struct error *error)
{
    int rc = buffer_append(form, name, strlen(name), error);

    return rc != 0 ? rc : sigv4_encode(value, len, 0, form, error);
}

int credentials_http_start_web_identity(struct credentials_http **out, struct http_client *http,
                                        const struct s3_settings *settings, const char *role_arn,
                                        const char *token_file, const char *session_name,
                                        credentials_callback *done, void *arg, struct error *error)
{
    struct credentials_http *self = make(http, settings, done, arg, error);
    char url[S3_ENDPOINT_MAX + 1];
    struct buffer token;
    struct buffer form;
    int rc;

    if (self == NULL)
        return ERR_INTERNAL;
    buffer_init(&token, LIMIT_CREDENTIAL);
    buffer_init(&form, LIMIT_HTTP_REQUEST);
    self->step = STEP_STS;
    if (settings->sts_endpoint[0] != '\0')
        snprintf(url, sizeof(url), "%s/", settings->sts_endpoint);
    else if (strcmp(settings->region, "auto") == 0)
        snprintf(url, sizeof(url), "https://sts.amazonaws.com/");
    else
        snprintf(url, sizeof(url), "https://sts.%s.amazonaws.com%s/", settings->region,
                 strncmp(settings->region, "cn-", 3) == 0 ? ".cn" : "");
    rc = read_token_file(token_file, &token, error);
    if (rc == 0)
        rc = append_field(&form,
                          "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=", role_arn,
                          strlen(role_arn), error);
    if (rc == 0)
        rc = append_field(&form, "&RoleSessionName=", session_name, strlen(session_name), error);
    if (rc == 0)
        rc = append_field(&form, "&WebIdentityToken=", (const char *)token.data, token.len, error);
    if (rc == 0)
        rc = ask(self, "POST", url, "Content-Type: application/x-www-form-urlencoded", &form, 0,
                 error);
    buffer_wipe(&token);
    buffer_wipe(&form);
    if (rc != 0) {
        destroy(self);
        return error_wrap(error, "trading the web identity at STS");
    }
    *out = self;
    return 0;
}

/* A file with one token, white space around it cut off. */
static int read_token_file(const char *path, struct buffer *out, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;
    uint8_t *spot;
    int rc;

    if (fd < 0)
        return error_set_errno(error, ERR_STORE_UNUSABLE, errno, "opening the token file %s", path);
    rc = buffer_reserve(out, out->max, &spot, error);
    while (rc == 0 && got > 0 && out->len < out->max) {
        got = read(fd, out->data + out->len, out->max - out->len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got < 0)
            rc = error_set_errno(error, ERR_STORE_UNUSABLE, errno, "reading the token file %s",
                                 path);
        else
            out->len += (size_t)got;
    }
    close(fd);
    if (rc == 0 && out->len == out->max)
        rc = error_set(error, ERR_STORE_UNUSABLE, "the token file %s has more than %zu bytes", path,
                       out->max - 1);
    while (out->len > 0 && out->data[out->len - 1] <= ' ')
        out->len--;
    if (rc == 0 && out->len == 0)
        rc = error_set(error, ERR_STORE_UNUSABLE, "the token file %s is empty", path);
    return rc;
}

/* ---- containers ---- */

/* A token must go to the machine itself or by TLS: the hosts that the AWS tools allow. */
static int check_container_url(const char *url, struct error *error)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
                                        "localhost", "[::1]"};
    const char *host = url + 7;
    size_t authority_len;
    size_t len;

    if (strncasecmp(url, "https://", 8) == 0)
        return 0;
    if (strncasecmp(url, "http://", 7) == 0) {
        authority_len = strcspn(host, "/?#\\");
        len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#\\");
        if (memchr(host, '@', authority_len) == NULL && strncmp(host, "127.", 4) == 0 &&
            strspn(host, "0123456789.") == len)
            return 0;
        for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
            if (memchr(host, '@', authority_len) == NULL && strlen(hosts[i]) == len &&
                strncasecmp(host, hosts[i], len) == 0)
                return 0;
        }
    }
    return error_set(error, ERR_USAGE,
                     "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this "
                     "machine");
}

int credentials_http_start_container(struct credentials_http **out, struct http_client *http,
                                     const struct s3_settings *settings, credentials_callback *done,
                                     void *arg, struct error *error)
{
    struct credentials_http *self = make(http, settings, done, arg, error);
    const char *relative = aws_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *token_file = aws_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    char url[LIMIT_PATH];
    struct buffer header;
    struct buffer file;
    int rc = 0;

    if (self == NULL)
        return ERR_INTERNAL;
    self->step = STEP_CONTAINER;
    buffer_init(&header, LIMIT_CREDENTIAL + 64);
    buffer_init(&file, LIMIT_CREDENTIAL);
    if (relative != NULL)
        snprintf(url, sizeof(url), "http://169.254.170.2%s%s", relative[0] == '/' ? "" : "/",
                 relative);
    else
        snprintf(url, sizeof(url), "%s", full);
    rc = check_container_url(url, error);
    if (rc == 0 && token_file != NULL)
        rc = read_token_file(token_file, &file, error);
    else if (rc == 0 && token != NULL)
        rc = buffer_append(&file, token, strlen(token), error);
    for (size_t i = 0; rc == 0 && i < file.len; i++) {
        if (file.data[i] < ' ' || file.data[i] > '~')
            rc = error_set(error, ERR_USAGE,
                           "the container's authorization token has a line end or another "
                           "character that cannot stand in a header");
    }
    if (rc == 0 && file.len > 0) {
        rc = buffer_append(&header, "Authorization: ", 15, error);
        if (rc == 0)
            rc = buffer_append(&header, file.data, file.len, error);
        if (rc == 0)
            rc = buffer_append(&header, "", 1, error);
    }
    if (rc == 0)
        rc = ask(self, "GET", url, header.len > 0 ? (const char *)header.data : NULL, NULL,
                 strncasecmp(url, "https", 5) != 0, error);
    buffer_wipe(&header);
    buffer_wipe(&file);
    if (rc != 0) {
        destroy(self);
        return error_wrap(error, "asking the container's endpoint for credentials");
    }
    *out = self;
    return 0;
}

/* ---- the machine's role ---- */

static int ask_machine(struct credentials_http *self, enum step step, const char *path,
                       const char *role, struct error *error)
{
    char url[S3_ENDPOINT_MAX + sizeof(ROLE_PATH) + 256];

    self->step = step;
    snprintf(url, sizeof(url), "%s%s%s", self->endpoint, path, role);
    return ask(self, step == STEP_MACHINE_TOKEN ? "PUT" : "GET", url,
               step == STEP_MACHINE_TOKEN ? "X-aws-ec2-metadata-token-ttl-seconds: 21600"
                                          : self->token,
               NULL, 1, error);
}

int credentials_http_start_machine(struct credentials_http **out, struct http_client *http,
                                   const struct s3_settings *settings, credentials_callback *done,
                                   void *arg, struct error *error)
{
    struct credentials_http *self = make(http, settings, done, arg, error);
    const char *endpoint = aws_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = aws_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    size_t len;
    int rc;

    if (self == NULL)
        return ERR_INTERNAL;
    if (endpoint == NULL)
        endpoint = mode != NULL && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]"
                                                                 : "http://169.254.169.254";
    snprintf(self->endpoint, sizeof(self->endpoint), "%s", endpoint);
    len = strlen(self->endpoint);
    while (len > 0 && self->endpoint[len - 1] == '/')
        self->endpoint[--len] = '\0';
    rc = ask_machine(self, STEP_MACHINE_TOKEN, "/latest/api/token", "", error);
    if (rc != 0) {
        destroy(self);
        return rc;
    }
    *out = self;
    return 0;
}

static int keep_machine_token(struct credentials_http *self, const struct http_answer *answer,
                              struct error *error)
{
    static const char name[] = "X-aws-ec2-metadata-token: ";
    size_t size = sizeof(name) + answer->body_len;

    for (size_t i = 0; i < answer->body_len; i++) {
        if (answer->body[i] <= ' ' || answer->body[i] > '~')
            return error_set(error, ERR_STORE_UNUSABLE, "the session token is not one");
    }
    self->token = malloc(size);
    if (self->token == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for a session token");
    snprintf(self->token, size, "%s%s", name, answer->body);
    return 0;
}

static int ask_for_role(struct credentials_http *self, const struct http_answer *answer,
                        struct error *error)
{
    size_t len = strcspn(answer->body, "\r\n");
    char role[129];

    if (len == 0 || len >= sizeof(role) ||
        strspn(answer->body, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "+=,.@_-") < len)
        return error_set(error, ERR_STORE_UNUSABLE, "the machine has no role");
    snprintf(role, sizeof(role), "%.*s", (int)len, answer->body);
    return ask_machine(self, STEP_MACHINE_KEYS, ROLE_PATH, role, error);
}

/* ---- what all have in common ---- */

static int ask(struct credentials_http *self, const char *method, const char *url,
               const char *header, const struct buffer *body, int direct, struct error *error)
{
    uint32_t timeout = self->settings->request_timeout_ms;
    struct http_request request = {.method = method,
                                   .url = url,
                                   .headers = &header,
                                   .header_count = header != NULL ? 1 : 0,
                                   .body = body != NULL ? body->data : NULL,
                                   .body_len = body != NULL ? body->len : 0,
                                   .ca_bundle = self->settings->ca_bundle,
                                   .connect_timeout_ms = self->settings->connect_timeout_ms,
                                   .timeout_ms = timeout,
                                   .body_max = LIMIT_HTTP_BODY,
                                   .direct = direct};

    if (self->step >= STEP_MACHINE_TOKEN && timeout > MACHINE_TIMEOUT_MS) {
        request.connect_timeout_ms = MACHINE_TIMEOUT_MS / 2;
        request.timeout_ms = MACHINE_TIMEOUT_MS;
    }
    return http_start(self->http, &request, answered, self, &self->call, error);
}

static const char *step_text(enum step step)
{
    switch (step) {
    case STEP_STS:
        return "trading the web identity at STS";
    case STEP_CONTAINER:
        return "asking the container's endpoint for credentials";
    default:
        return "asking this machine's metadata service for credentials";
    }
}

static int check_answer(const struct http_answer *answer, struct error *error)
{
    char code[128];
    char message[300];

    if (answer->reach != HTTP_ANSWERED)
        return error_set(error,
                         answer->reach == HTTP_NOT_SENT || answer->reach == HTTP_BROKEN
                             ? ERR_TIMEOUT
                             : ERR_STORE_UNUSABLE,
                         "%s", answer->error.text);
    if (answer->status == 200)
        return 0;
    xml_text(answer->body, answer->body_len, "Code", code, sizeof(code));
    xml_text(answer->body, answer->body_len, "Message", message, sizeof(message));
    return error_set(error, answer->status >= 500 ? ERR_TIMEOUT : ERR_STORE_UNUSABLE,
                     "it answered %d%s%s%s%s", answer->status, code[0] != '\0' ? " " : "", code,
                     message[0] != '\0' ? ": " : "", message);
}

static void answered(void *arg, const struct http_answer *answer)
{
    struct credentials_http *self = arg;
    struct credentials credentials = {0};
    struct error error = {0};
    int rc = check_answer(answer, &error);

    self->call = NULL;
    if (rc == 0 && self->step == STEP_MACHINE_TOKEN) {
        rc = keep_machine_token(self, answer, &error);
        if (rc == 0)
            rc = ask_machine(self, STEP_MACHINE_ROLE, ROLE_PATH, "", &error);
        if (rc == 0)
            return;
    } else if (rc == 0 && self->step == STEP_MACHINE_ROLE) {
        rc = ask_for_role(self, answer, &error);
        if (rc == 0)
            return;
    } else if (rc == 0 && self->step == STEP_STS) {
        rc = credentials_parse_sts(answer->body, answer->body_len, &credentials, &error);
    } else if (rc == 0) {
        rc = credentials_parse_json(answer->body, answer->body_len, &credentials, &error);
    }
    if (rc != 0)
        error_wrap(&error, "%s", step_text(self->step));
    self->done(self->arg, rc == 0 ? &credentials : NULL, &error);
    credentials_release(&credentials);
    destroy(self);
}
