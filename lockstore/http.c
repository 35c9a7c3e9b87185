/*
 * How libcurl and libuv meet (https://curl.se/libcurl/c/libcurl-multi.html, "multi_socket"):
 * libcurl says which sockets it waits for (on_socket_wish) and when it wants to be called next
 * (on_timer_wish); a uv_poll_t per socket and one uv_timer_t do the waiting and call
 * curl_multi_socket_action; after each such call the finished transfers are collected (drain).
 *
 * A user's callback runs in drain only, when no libcurl function is on the stack, so that it may
 * start, abort and close as it likes.
 */
#include "lockstore/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define CURL_DISABLE_TYPECHECK /* those checks are macros that call the functions by name */
#include <curl/curl.h>
#include <uv.h>

#include "lockstore/secret.h"
#include "protocol/base/buffer.h"
#include "protocol/base/clock.h"
#include "protocol/base/late_library.h"
#include "protocol/base/log.h"

/* libcurl's functions, which are there once a client was made. */
/* clang-format off */
#define CALLS(X) \
    X(curl_easy_cleanup) \
    X(curl_easy_getinfo) \
    X(curl_easy_init) \
    X(curl_easy_setopt) \
    X(curl_easy_strerror) \
    X(curl_getdate) \
    X(curl_global_cleanup) \
    X(curl_global_init_mem) \
    X(curl_multi_add_handle) \
    X(curl_multi_assign) \
    X(curl_multi_cleanup) \
    X(curl_multi_info_read) \
    X(curl_multi_init) \
    X(curl_multi_remove_handle) \
    X(curl_multi_setopt) \
    X(curl_multi_socket_action) \
    X(curl_slist_append) \
    X(curl_slist_free_all)
/* clang-format on */
static struct {
    CALLS(LATE_FUNCTION)
} lib;
static const struct late_symbol symbols[] = {CALLS(LATE_SYMBOL){NULL, NULL}};

struct http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;        /* libcurl's own deadline */
    struct http_call *calls; /* under way */
    struct socket_watch *watches;
    size_t open_handles; /* the timer and the watches, until their close callbacks came */
    int closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct http_call {
    struct http_client *client;
    struct http_call *next;
    CURL *easy;
    struct curl_slist *headers; /* ours to wipe: a session token may be among them */
    struct buffer request_body; /* wiped: a web identity token may be in it */
    struct buffer body;         /* wiped: credentials may be in it */
    struct http_answer answer;
    char curl_text[CURL_ERROR_SIZE];
    int too_long; /* the body passed its maximum */
    int sendings; /* how often libcurl set out to send it */
    int only_once;
    http_callback *done;
    void *arg;
};

/* One socket that libcurl waits for. */
struct socket_watch {
    uv_poll_t poll;
    struct http_client *client;
    struct socket_watch *next;
    curl_socket_t fd;
};

static int set_up_multi(struct http_client *client);
static int set_up_call(struct http_call *call, const struct http_request *request);
static void free_call(struct http_call *call);
static void drain(struct http_client *client);
static void read_outcome(struct http_call *call, CURLcode result);
static void close_watch(struct socket_watch *watch);
static void timer_closed_cb(uv_handle_t *handle);

int http_client_new(struct http_client **out, struct uv_loop_s *loop, struct error *error)
{
    struct http_client *client;
    int rc = late_library_load("libcurl.so.4", symbols, error);

    if (rc != 0)
        return rc;
    /* Counted by libcurl itself; http_client_close gives it back. */
    if (lib.curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, secret_heap_free, secret_heap_realloc,
                                 strdup, calloc) != CURLE_OK)
        return error_set(error, ERR_INTERNAL, "starting libcurl failed");
    client = calloc(1, sizeof(*client));
    if (client == NULL || (client->multi = lib.curl_multi_init()) == NULL) {
        free(client);
        lib.curl_global_cleanup();
        return error_set(error, ERR_INTERNAL, "out of memory for an HTTP client");
    }
    client->loop = loop;
    if (set_up_multi(client) != 0) {
        lib.curl_multi_cleanup(client->multi);
        free(client);
        lib.curl_global_cleanup();
        return error_set(error, ERR_INTERNAL, "setting up libcurl failed");
    }
    uv_timer_init(loop, &client->timer);
    client->timer.data = client;
    client->open_handles = 1;
    *out = client;
    return 0;
}

int http_start(struct http_client *client, const struct http_request *request, http_callback *done,
               void *arg, struct http_call **out, struct error *error)
{
    struct http_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for an HTTP request");
    *call = (struct http_call){.client = client, .done = done, .arg = arg};
    call->answer.date = call->answer.last_modified = -1;
    buffer_init(&call->request_body, request->body_len);
    buffer_init(&call->body, request->body_max + 1);
    if (set_up_call(call, request) != 0 ||
        lib.curl_multi_add_handle(client->multi, call->easy) != CURLM_OK) {
        if (call->easy != NULL)
            lib.curl_easy_cleanup(call->easy);
        call->easy = NULL;
        free_call(call);
        return error_set(error, ERR_INTERNAL, "setting up an HTTP request failed");
    }
    call->next = client->calls;
    client->calls = call;
    if (out != NULL)
        *out = call;
    return 0;
}

/* Take a call off its client and libcurl. */
static void detach_call(struct http_call *call)
{
    struct http_call **link = &call->client->calls;

    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    lib.curl_multi_remove_handle(call->client->multi, call->easy);
    lib.curl_easy_cleanup(call->easy);
    call->easy = NULL;
}

void http_abort(struct http_call *call)
{
    detach_call(call);
    free_call(call);
}

static void free_call(struct http_call *call)
{
    for (struct curl_slist *header = call->headers; header != NULL; header = header->next)
        explicit_bzero(header->data, strlen(header->data));
    lib.curl_slist_free_all(call->headers);
    buffer_wipe(&call->request_body);
    buffer_wipe(&call->body);
    free(call);
}

void http_client_close(struct http_client *client, void (*closed)(void *arg), void *arg)
{
    client->closing = 1;
    client->closed = closed;
    client->closed_arg = arg;
    while (client->calls != NULL)
        http_abort(client->calls);
    lib.curl_multi_cleanup(client->multi);
    client->multi = NULL;
    while (client->watches != NULL)
        close_watch(client->watches);
    uv_close((uv_handle_t *)&client->timer, timer_closed_cb);
}

static void handle_closed(struct http_client *client)
{
    void (*closed)(void *arg) = client->closed;
    void *arg = client->closed_arg;

    client->open_handles--;
    if (client->open_handles > 0)
        return;
    free(client);
    lib.curl_global_cleanup();
    closed(arg);
}

static void timer_closed_cb(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

/* ---- what libcurl wishes ---- */

static void timer_cb(uv_timer_t *timer)
{
    struct http_client *client = timer->data;
    int running;

    lib.curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    drain(client);
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *arg)
{
    struct http_client *client = arg;

    (void)multi;
    if (client->closing || timeout_ms < 0)
        uv_timer_stop(&client->timer);
    else
        uv_timer_start(&client->timer, timer_cb, (uint64_t)timeout_ms, 0);
    return 0;
}

static void poll_cb(uv_poll_t *poll, int status, int events)
{
    struct socket_watch *watch = poll->data;
    struct http_client *client = watch->client;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    int running;

    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    lib.curl_multi_socket_action(client->multi, watch->fd, flags, &running);
    drain(client);
}

static void watch_closed_cb(uv_handle_t *handle)
{
    struct socket_watch *watch = handle->data;
    struct http_client *client = watch->client;

    free(watch);
    handle_closed(client);
}

static void close_watch(struct socket_watch *watch)
{
    struct socket_watch **link = &watch->client->watches;

    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, watch_closed_cb);
}

static struct socket_watch *open_watch(struct http_client *client, curl_socket_t fd)
{
    struct socket_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return NULL;
    if (uv_poll_init_socket(client->loop, &watch->poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->client = client;
    watch->fd = fd;
    watch->next = client->watches;
    client->watches = watch;
    client->open_handles++;
    return watch;
}

/* A negative return makes libcurl fail all transfers (CURLM_ABORTED_BY_CALLBACK). */
static int on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct http_client *client = arg;
    struct socket_watch *watch = socket_arg;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL)
            close_watch(watch);
        lib.curl_multi_assign(client->multi, fd, NULL);
        return 0;
    }
    if (watch == NULL) {
        watch = open_watch(client, fd);
        if (watch == NULL)
            return -1;
        lib.curl_multi_assign(client->multi, fd, watch);
    }
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    return uv_poll_start(&watch->poll, events, poll_cb) == 0 ? 0 : -1;
}

static int set_up_multi(struct http_client *client)
{
    CURLM *multi = client->multi;

    return lib.curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish) == CURLM_OK &&
                   lib.curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
                   lib.curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wish) ==
                       CURLM_OK &&
                   lib.curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client) == CURLM_OK
               ? 0
               : -1;
}

/* ---- one request ---- */

/*
 * When a kept-alive connection breaks under a request, libcurl sends it again by itself. For a
 * write that would be a lie to come: the second sending is told 412 because of the first.
 */
static int on_before_sending(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    struct http_call *call = arg;

    (void)remote;
    (void)local;
    (void)remote_port;
    (void)local_port;
    call->sendings++;
    return call->only_once && call->sendings > 1 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* A program that we start must not inherit the connection: libcurl of Debian 12 does not see to it.
 */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    size_t room = call->body.max - 1 - call->body.len;
    size_t take = len < room ? len : room;

    if (buffer_append(&call->body, data, take, NULL) != 0)
        return CURL_WRITEFUNC_ERROR;
    if (take < len)
        call->too_long = 1;
    return take < len ? CURL_WRITEFUNC_ERROR : len;
}

/* Copy a header's value where it fits and is printable ASCII; leave out empty otherwise. */
static void keep_header(const char *value, size_t len, char out[LIMIT_HTTP_HEADER])
{
    out[0] = '\0';
    if (len >= LIMIT_HTTP_HEADER)
        return;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < 0x20 || value[i] > 0x7e)
            return;
    }
    memcpy(out, value, len);
    out[len] = '\0';
}

/* Seconds, or a date (RFC 9110, section 10.2.3), which is taken relative to the server's own Date.
 */
static uint32_t parse_retry_after(const char *text, int64_t date)
{
    char *end;
    long long seconds = strtoll(text, &end, 10);

    if (end == text || *end != '\0') {
        int64_t moment = lib.curl_getdate(text, NULL);

        seconds = moment < 0 ? 0 : moment - (date >= 0 ? date : clock_wall_seconds());
    }
    if (seconds <= 0)
        return 0;
    return seconds >= LIMIT_HTTP_RETRY_AFTER_MS / 1000 ? LIMIT_HTTP_RETRY_AFTER_MS
                                                       : (uint32_t)seconds * 1000;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    struct http_answer *answer = &call->answer;
    size_t len = size * count;
    const char *colon = memchr(data, ':', len);
    char value[LIMIT_HTTP_HEADER];
    size_t name_len;
    size_t start;
    size_t end = len;

    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        /* The head of another answer, after a 100 or a proxy's: what was kept is not of this one.
         */
        answer->etag[0] = answer->request_id[0] = answer->bucket_region[0] = '\0';
        answer->server[0] = '\0';
        answer->date = answer->last_modified = -1;
        answer->retry_after_ms = 0;
        return len;
    }
    if (colon == NULL)
        return len;
    name_len = (size_t)(colon - data);
    start = name_len + 1;
    while (start < end && (data[start] == ' ' || data[start] == '\t'))
        start++;
    while (end > start && (data[end - 1] == '\r' || data[end - 1] == '\n' || data[end - 1] == ' '))
        end--;
    keep_header(data + start, end - start, value);
#define IS(name) (name_len == sizeof(name) - 1 && strncasecmp(data, name, name_len) == 0)
    if (IS("etag"))
        memcpy(answer->etag, value, sizeof(value));
    else if (IS("x-amz-request-id"))
        memcpy(answer->request_id, value, sizeof(value));
    else if (IS("x-amz-bucket-region"))
        memcpy(answer->bucket_region, value, sizeof(value));
    else if (IS("server"))
        memcpy(answer->server, value, sizeof(value));
    else if (IS("date"))
        answer->date = lib.curl_getdate(value, NULL);
    else if (IS("last-modified"))
        answer->last_modified = lib.curl_getdate(value, NULL);
    else if (IS("retry-after"))
        answer->retry_after_ms = parse_retry_after(value, answer->date);
#undef IS
    return len;
}

static int add_header(struct http_call *call, const char *line)
{
    struct curl_slist *longer = lib.curl_slist_append(call->headers, line);

    if (longer == NULL)
        return -1;
    call->headers = longer;
    return 0;
}

static int set_up_call(struct http_call *call, const struct http_request *request)
{
    CURL *easy = call->easy = lib.curl_easy_init();
    int failed = 0;

    call->only_once = strcmp(request->method, "GET") != 0;
    if (easy == NULL ||
        buffer_append(&call->request_body, request->body, request->body_len, NULL) != 0)
        return -1;
    for (size_t i = 0; i < request->header_count; i++)
        failed |= add_header(call, request->headers[i]);
    failed |= add_header(call, "Expect:"); /* no round trip to ask whether the body may come */
    failed |= add_header(call, "Accept:");
#define SET(option, value) failed |= lib.curl_easy_setopt(easy, CURLOPT_##option, value) != CURLE_OK
    SET(PRIVATE, call);
    SET(URL, request->url);
    SET(PATH_AS_IS, 1L); /* "//" and "/../" are parts of keys */
    SET(PROTOCOLS_STR, "http,https");
    SET(FOLLOWLOCATION, 0L);
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(SUPPRESS_CONNECT_HEADERS, 1L);
    SET(HTTPHEADER, call->headers);
    SET(USERAGENT, "lockstep/" LOCKSTEP_VERSION);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    if (request->ca_bundle != NULL && request->ca_bundle[0] != '\0') {
        SET(CAINFO, request->ca_bundle);
        SET(CAPATH, NULL); /* in the place of the system's, not besides */
    }
    if (request->direct)
        SET(PROXY, "");
    SET(CONNECTTIMEOUT_MS, (long)request->connect_timeout_ms);
    SET(TIMEOUT_MS, (long)request->timeout_ms);
    SET(NOSIGNAL, 1L);
    SET(QUICK_EXIT, 1L); /* a resolver's thread that hangs is left behind, not waited for */
    SET(ERRORBUFFER, call->curl_text);
    SET(OPENSOCKETFUNCTION, on_open_socket);
    SET(PREREQFUNCTION, on_before_sending);
    SET(PREREQDATA, call);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, call);
    SET(HEADERFUNCTION, on_header);
    SET(HEADERDATA, call);
    if (strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0) {
        SET(POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        SET(POSTFIELDS, request->body_len > 0 ? (const char *)call->request_body.data : "");
    }
    SET(CUSTOMREQUEST, request->method);
#undef SET
    return failed ? -1 : 0;
}

/* ---- what became of it ---- */

static void drain(struct http_client *client)
{
    CURLMsg *message;
    int left;

    while (!client->closing && (message = lib.curl_multi_info_read(client->multi, &left)) != NULL) {
        struct http_call *call;
        CURLcode result = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        lib.curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        read_outcome(call, result);
        detach_call(call);
        call->done(call->arg, &call->answer);
        free_call(call);
    }
}

static enum http_reach reach_of(CURLcode result)
{
    switch (result) {
    case CURLE_OK:
        return HTTP_ANSWERED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
        return HTTP_NOT_SENT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return HTTP_UNTRUSTED;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_NOT_BUILT_IN:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return HTTP_INVALID;
    default:
        return HTTP_BROKEN;
    }
}

static void read_outcome(struct http_call *call, CURLcode result)
{
    struct http_answer *answer = &call->answer;
    const char *why = call->curl_text[0] != '\0' ? call->curl_text : lib.curl_easy_strerror(result);
    char clean[CURL_ERROR_SIZE];
    uint8_t *end;
    long status = 0;
    long sent = 0;

    lib.curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    lib.curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
    answer->status = (int)status;
    answer->reach = call->too_long ? HTTP_CUT : reach_of(result);
    /* Bytes that are no HTTP are an "unsupported protocol" too, and a refused connection may be
     * the second try after a kept-alive one broke: what was sent may have been received. */
    if (answer->reach != HTTP_ANSWERED && answer->reach != HTTP_CUT && sent > 0)
        answer->reach = HTTP_BROKEN;
    if (call->only_once && call->sendings > 1)
        why = "the connection broke before an answer came";
    if (buffer_reserve(&call->body, 1, &end, NULL) == 0) {
        *end = '\0';
        answer->body = (const char *)call->body.data;
        answer->body_len = call->body.len;
    } else {
        answer->body = "";
    }
    if (answer->reach == HTTP_CUT) {
        error_set(&answer->error, ERR_STORE_UNUSABLE, "the answer is longer than %zu bytes",
                  call->body.max - 1);
    } else if (answer->reach != HTTP_ANSWERED) {
        log_sanitize(why, strlen(why), clean, sizeof(clean));
        error_set(&answer->error,
                  result == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_STORE_UNUSABLE, "%s",
                  clean);
    }
}
