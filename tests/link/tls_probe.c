/*
 * tls_probe: one side of link_tls, for the tests of that link in isolation.
 *
 *   tls_probe client [KEY=VALUE...] HOST PORT   stdin goes to the link, the link to stdout; with
 * times=N that often, one connection after the other, of one context tls_probe serve [KEY=VALUE...]
 * ADDRESS      listens (host:port on 127.0.0.1 is given as the port, else a path), says
 *                                               "listening", takes `times` connections and echoes
 *
 * Keys: ca, pin, cert, key, client_ca, needed (1: clients need a certificate), timeout_ms, pause_ms
 * (after each delivery), times, slow (1: a server does one thing in each turn of its loop). stderr
 * gets "open: RESUMED NAME,…", "drain", "queued: BYTES" (the most that waited), and for each link
 * "closed: CODE: TEXT" and "traffic: SENT RECEIVED". The exit status is the one that stands for the
 * last code.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/link.h"
#include "protocol/link/link_tls.h"
#include "protocol/link/loop_turn.h"
#include "protocol/link/tls_certificate.h"
#include "protocol/link/tls_context.h"

struct settings {
    struct tls_client_options client;
    struct tls_server_options server;
    uint64_t timeout_ms;
    int pause_ms;
    int times;
    int is_slow;
};

struct probe {
    struct link *link;
    uv_timer_t resume_timer;
    int is_paused;
};

static uv_loop_t loop;
static struct settings settings = {.timeout_ms = 5000, .times = 1};
static struct tls_context *context;
static const char *host;
static int port;
static uint8_t *input; /* stdin */
static size_t input_len;
static int is_server;
static int left;
static int last_code;
static struct loop_turn *turn; /* of the server */
static size_t most_queued;
static union {
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
} listener;

static void start_client(void);

static void on_open(void *user)
{
    struct probe *probe = user;
    struct tls_peer peer;

    link_tls_peer(probe->link, &peer);
    fprintf(stderr, "open: %d ", link_tls_is_resumed(probe->link));
    for (unsigned i = 0; i < peer.count; i++)
        fprintf(stderr, "%s%s", i > 0 ? "," : "", peer.names[i]);
    fprintf(stderr, "\n");
}

static void resume_cb(uv_timer_t *timer)
{
    struct probe *probe = timer->data;

    probe->is_paused = 0;
    if (probe->link != NULL)
        link_resume(probe->link);
}

static void on_bytes(void *user, const uint8_t *data, size_t len)
{
    struct probe *probe = user;
    uint8_t *copy = malloc(len);

    assert(!probe->is_paused && copy != NULL);
    memcpy(copy, data, len);
    if (is_server) {
        link_write_take(probe->link, copy, len);
        if (link_queued(probe->link) > most_queued)
            most_queued = link_queued(probe->link);
        if (link_queued(probe->link) > LIMIT_LINK_QUEUE)
            link_pause(probe->link);
    } else {
        assert(fwrite(copy, 1, len, stdout) == len);
        free(copy);
    }
    if (settings.pause_ms > 0) {
        probe->is_paused = 1;
        link_pause(probe->link);
        uv_timer_start(&probe->resume_timer, resume_cb, (uint64_t)settings.pause_ms, 0);
    }
}

static void on_drain(void *user)
{
    struct probe *probe = user;

    fprintf(stderr, "drain\n");
    if (!probe->is_paused)
        link_resume(probe->link);
}

static void probe_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_close(void *user, const struct error *error)
{
    struct probe *probe = user;
    struct link_traffic traffic = link_traffic(probe->link);

    probe->link = NULL;
    last_code = error->code;
    fprintf(stderr, "queued: %zu\n", most_queued);
    fprintf(stderr, "closed: %s: %s\n", error_name(error->code), error->text);
    fprintf(stderr, "traffic: %llu %llu\n", (unsigned long long)traffic.sent,
            (unsigned long long)traffic.received);
    uv_close((uv_handle_t *)&probe->resume_timer, probe_closed);
    if (--left == 0 && is_server) {
        uv_close((uv_handle_t *)&listener.stream, NULL);
        loop_turn_close(turn);
    } else if (left > 0 && !is_server)
        start_client();
}

static const struct link_callbacks callbacks = {on_open, on_bytes, on_drain, NULL, on_close};

static struct probe *new_probe(void)
{
    struct probe *probe = calloc(1, sizeof(*probe));

    assert(probe != NULL);
    uv_timer_init(&loop, &probe->resume_timer);
    probe->resume_timer.data = probe;
    return probe;
}

static void start_client(void)
{
    const struct link_tls_options options = {
        .host = host, .port = port, .context = context, .timeout_ms = settings.timeout_ms};
    struct probe *probe = new_probe();
    uint8_t *copy = malloc(input_len > 0 ? input_len : 1);
    struct error error;

    assert(copy != NULL);
    memcpy(copy, input, input_len);
    if (link_tls_connect(&loop, &callbacks, probe, &options, &probe->link, &error) != 0)
        abort();
    link_write_take(probe->link, copy, input_len);
    link_shutdown(probe->link);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct probe *probe = new_probe();
    struct error error;

    assert(status == 0);
    if (link_tls_accept(stream, &callbacks, probe, context, turn, settings.timeout_ms, &probe->link,
                        &error) != 0)
        abort();
}

static void listen_at(const char *address)
{
    struct sockaddr_in in;

    if (address[0] == '/') {
        uv_pipe_init(&loop, &listener.pipe, 0);
        assert(uv_pipe_bind(&listener.pipe, address) == 0);
    } else {
        uv_tcp_init(&loop, &listener.tcp);
        uv_ip4_addr("127.0.0.1", atoi(address), &in);
        assert(uv_tcp_bind(&listener.tcp, (struct sockaddr *)&in, 0) == 0);
    }
    assert(uv_listen(&listener.stream, 16, on_connection) == 0);
    fprintf(stderr, "listening\n");
}

static void read_input(void)
{
    size_t size = 65536;

    input = malloc(size);
    while (input != NULL && !feof(stdin)) {
        input_len += fread(input + input_len, 1, size - input_len, stdin);
        if (input_len == size)
            input = realloc(input, size *= 2);
    }
    assert(input != NULL);
}

/* Read KEY=VALUE words. Returns the first word behind them. */
static char **read_settings(char **argv)
{
    for (; *argv != NULL && strchr(*argv, '=') != NULL; argv++) {
        const char *value = strchr(*argv, '=') + 1;
        struct {
            const char *key;
            const char **text;
            int *number;
        } rows[] = {{"ca=", &settings.client.ca, NULL},
                    {"pin=", &settings.client.pin, NULL},
                    {"cert=", &settings.client.cert, NULL},
                    {"key=", &settings.client.key, NULL},
                    {"client_ca=", &settings.server.client_ca, NULL},
                    {"needed=", NULL, &settings.server.is_cert_needed},
                    {"pause_ms=", NULL, &settings.pause_ms},
                    {"slow=", NULL, &settings.is_slow},
                    {"times=", NULL, &settings.times}};

        if (strncmp(*argv, "timeout_ms=", 11) == 0)
            settings.timeout_ms = (uint64_t)atoi(value);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            if (strncmp(*argv, rows[i].key, strlen(rows[i].key)) != 0)
                continue;
            if (rows[i].text != NULL)
                *rows[i].text = value;
            else
                *rows[i].number = atoi(value);
        }
    }
    settings.server.cert = settings.client.cert;
    settings.server.key = settings.client.key;
    return argv;
}

int main(int argc, char **argv)
{
    struct error error = {0};
    int rc;

    if (argc < 3)
        return error_exit_status(ERR_USAGE);
    is_server = strcmp(argv[1], "serve") == 0;
    argv = read_settings(argv + 2);
    rc = is_server ? tls_context_new_server(&context, &settings.server, &error)
                   : tls_context_new_client(&context, &settings.client, &error);
    if (rc != 0) {
        fprintf(stderr, "closed: %s: %s\n", error_name(rc), error.text);
        return error_exit_status(rc);
    }
    uv_loop_init(&loop);
    left = settings.times;
    host = argv[0];
    if (is_server) {
        static const uint64_t one_each[TURN_KINDS] = {0, 0};

        turn = loop_turn_new(&loop, settings.is_slow ? one_each : NULL);
        assert(turn != NULL);
        listen_at(argv[0]);
    } else {
        port = atoi(argv[1]);
        read_input();
        start_client();
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    tls_context_free(context);
    free(input);
    /* Every handle is closed: a link that leaves one behind fails here. */
    if (uv_loop_close(&loop) != 0)
        abort();
    return error_exit_status(last_code);
}
