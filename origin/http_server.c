#include "origin/http_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "origin/socket_address.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/late_library.h"
#include "protocol/base/limits.h"

/* libmicrohttpd's functions, which are there once a server was started. */
/* clang-format off */
#define CALLS(X) \
    X(MHD_add_response_header) \
    X(MHD_create_response_from_buffer) \
    X(MHD_destroy_response) \
    X(MHD_get_connection_info) \
    X(MHD_get_daemon_info) \
    X(MHD_get_timeout) \
    X(MHD_queue_response) \
    X(MHD_run) \
    X(MHD_start_daemon) \
    X(MHD_stop_daemon)
/* clang-format on */
static struct {
    CALLS(LATE_FUNCTION)
} lib;
static const struct late_symbol symbols[] = {CALLS(LATE_SYMBOL){NULL, NULL}};

#define BACKLOG 64
/* How often the thread looks at the clock while connections are open. */
#define SWEEP_MS 250
/* An age from which a connection may be given up for another one that waits. */
#define MAY_GO_MS 1000
/* The library's time-out counts whole seconds of silence. Ours comes first. */
#define SILENCE_S (LIMIT_HTTP_SERVER_TIME_MS / 1000 + 1)

struct connection {
    struct connection *next; /* a newer one */
    uint64_t since;          /* clock_monotonic_ms */
    int fd;                  /* the library's */
    int was_ended;           /* shut down by us; the library has not noticed yet */
};

struct http_server {
    struct http_server_options options;
    struct MHD_Daemon *daemon;
    struct connection *oldest; /* touched by the thread only */
    unsigned count;
    int epoll_fd; /* the library's */
    int stop_fd;  /* an eventfd */
    pthread_t thread;
    int has_thread;
};

/* ---- one request ---- */

static enum MHD_Result respond(struct MHD_Connection *connection, struct http_answer *answer)
{
    struct MHD_Response *response;
    enum MHD_Result result;
    size_t len;
    uint8_t *body = buffer_detach(&answer->body, &len);

    response = lib.MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    lib.MHD_add_response_header(response, "Content-Type", answer->content_type);
    lib.MHD_add_response_header(response, "Cache-Control", "no-store");
    lib.MHD_add_response_header(response, "Connection", "close");
    if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        lib.MHD_add_response_header(response, "Allow", "GET, HEAD");
    result = lib.MHD_queue_response(connection, answer->status, response);
    lib.MHD_destroy_response(response);
    return result;
}

static void say(struct http_answer *answer, unsigned status, const char *text)
{
    answer->status = status;
    answer->content_type = "text/plain; charset=utf-8";
    answer->body.len = 0;
    buffer_append(&answer->body, text, strlen(text), NULL);
}

/* Called when the head of a request is there. Answered at once: whatever body comes is not read. */
static enum MHD_Result request_cb(void *user, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    struct http_server *server = user;
    struct http_answer answer = {.status = MHD_HTTP_OK,
                                 .content_type = "text/plain; charset=utf-8"};
    enum MHD_Result result;

    (void)version;
    (void)upload;
    (void)upload_size;
    (void)request;
    buffer_init(&answer.body, LIMIT_METRICS_ANSWER);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        say(&answer, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
    else if (!server->options.answer(server->options.user, path, &answer))
        say(&answer, MHD_HTTP_NOT_FOUND, "there are /healthz and /metrics\n");
    result = respond(connection, &answer);
    buffer_release(&answer.body);
    return result;
}

/* ---- connections, by age ---- */

static void connection_cb(void *user, struct MHD_Connection *handle, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = user;
    struct connection **spot = &server->oldest;
    struct connection *connection = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        connection = calloc(1, sizeof(*connection));
        *context = connection;
        if (connection == NULL)
            return;
        connection->since = clock_monotonic_ms();
        connection->fd =
            lib.MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        while (*spot != NULL)
            spot = &(*spot)->next;
        *spot = connection;
        server->count++;
    } else if (connection != NULL) {
        while (*spot != connection)
            spot = &(*spot)->next;
        *spot = connection->next;
        server->count--;
        free(connection);
    }
}

/* End those whose time is over, and, at the cap, the oldest one. The library sees the end of the
 * stream, and closes; until then the descriptor is good. */
static void sweep(struct http_server *server)
{
    uint64_t now = clock_monotonic_ms();
    int is_full = server->count >= LIMIT_HTTP_SERVER_CONNECTIONS;

    for (struct connection *one = server->oldest; one != NULL; one = one->next) {
        uint64_t age = now - one->since;

        if (one->was_ended || age < (is_full ? MAY_GO_MS : LIMIT_HTTP_SERVER_TIME_MS))
            continue;
        shutdown(one->fd, SHUT_RDWR);
        one->was_ended = 1;
        is_full = 0;
    }
}

/* ---- the thread ---- */

static int wait_time(const struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG library_ms;
    int ms = server->count > 0 ? SWEEP_MS : -1;

    if (lib.MHD_get_timeout(server->daemon, &library_ms) == MHD_YES &&
        (ms < 0 || library_ms < (unsigned)ms))
        ms = (int)(library_ms < 60000 ? library_ms : 60000);
    return ms;
}

static void *thread_main(void *user)
{
    struct http_server *server = user;
    struct pollfd fds[] = {{.fd = server->epoll_fd, .events = POLLIN},
                           {.fd = server->stop_fd, .events = POLLIN}};

    while (fds[1].revents == 0) {
        if (poll(fds, 2, wait_time(server)) < 0 && errno != EINTR)
            break;
        lib.MHD_run(server->daemon);
        sweep(server);
    }
    return NULL;
}

/* The daemon's signals are for its loop. SIGPIPE, which the library's writing can make, stays
 * pending here. */
static int start_thread(struct http_server *server)
{
    sigset_t all;
    sigset_t before;
    int status;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    status = pthread_create(&server->thread, NULL, thread_main, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    server->has_thread = status == 0;
    return status;
}

/* ---- the start and the end ---- */

/* The socket, listening; -1: none. */
static int listen_at(const char *address, struct error *error)
{
    struct sockaddr_storage numbers;
    int yes = 1;
    int no = 0;
    int fd;

    if (socket_address_read(address, &numbers) != 0) {
        error_set(error, ERR_USAGE,
                  "--http: \"%s\" is neither ADDRESS:PORT nor [IPv6 ADDRESS]:PORT", address);
        return -1;
    }
    fd = socket(numbers.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
        if (numbers.ss_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    }
    if (fd < 0 || bind(fd, (const struct sockaddr *)&numbers, socket_address_size(&numbers)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        error_set_errno(error, ERR_IO, errno, "--http: listening at %s", address);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* What the library says of requests that are none is for nobody. */
static void log_cb(void *user, const char *format, va_list args)
{
    (void)user;
    (void)format;
    (void)args;
}

static int start(struct http_server *server, struct error *error)
{
    const union MHD_DaemonInfo *info;
    int fd, rc;

    rc = late_library_load("libmicrohttpd.so.12", symbols, error);
    if (rc != 0)
        return rc;
    fd = listen_at(server->options.address, error);
    if (fd < 0)
        return error->code;
    server->daemon = lib.MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, request_cb, server,
        MHD_OPTION_EXTERNAL_LOGGER, log_cb, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, LIMIT_HTTP_SERVER_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LIMIT_HTTP_SERVER_REQUEST,
        MHD_OPTION_NOTIFY_CONNECTION, connection_cb, server, MHD_OPTION_END);
    if (server->daemon == NULL) {
        close(fd);
        return error_set(error, ERR_INTERNAL, "--http: libmicrohttpd did not start");
    }
    info = lib.MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || info->epoll_fd < 0)
        return error_set(error, ERR_INTERNAL, "--http: this libmicrohttpd has no epoll");
    server->epoll_fd = info->epoll_fd;
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (server->stop_fd < 0 || start_thread(server) != 0)
        return error_set(error, ERR_INTERNAL, "--http: no thread could be started");
    return 0;
}

int http_server_start(struct http_server **server, const struct http_server_options *options,
                      struct error *error)
{
    struct http_server *new = calloc(1, sizeof(*new));
    int rc;

    *server = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->options = *options;
    new->stop_fd = -1;
    rc = start(new, error);
    if (rc != 0)
        http_server_free(new);
    else
        *server = new;
    return rc;
}

void http_server_free(struct http_server *server)
{
    const uint64_t one = 1;

    if (server == NULL)
        return;
    if (server->has_thread) {
        (void)!write(server->stop_fd, &one, sizeof(one));
        pthread_join(server->thread, NULL);
    }
    if (server->daemon != NULL)
        lib.MHD_stop_daemon(server->daemon);
    if (server->stop_fd >= 0)
        close(server->stop_fd);
    free(server);
}
