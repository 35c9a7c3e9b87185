/*
 * bench_link_proxy: makes a slow link between two programs, and counts what crosses it.
 *
 *   bench_link_proxy [--rtt MS] [--rate RATE] [--count FILE] -- COMMAND…
 *       stands before COMMAND: its stdin is carried to COMMAND's, COMMAND's stdout to its own. It
 * exits as COMMAND does. So it fits wherever a program is told how to start the far side.
 *   bench_link_proxy [--rtt MS] [--rate RATE] [--count FILE] --listen [ADDRESS:]PORT --connect
 * HOST:PORT carries every connection to ADDRESS (127.0.0.1 unless given), PORT on to HOST:PORT (an
 * address, no name) until it is killed. It prints "listening PORT"; port 0 takes a free one.
 *
 * RATE is 100mbit, 500kbit, 1gbit, or none; it holds in each direction. FILE gets one JSON object,
 * written anew at the end of each connection, with the totals of all.
 */
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "bench/relay.h"
#include "protocol/base/error.h"

static const char USAGE[] =
    "usage: bench_link_proxy [--rtt MS] [--rate 100mbit|none] [--count FILE] -- COMMAND...\n"
    "       bench_link_proxy [--rtt MS] [--rate 100mbit|none] [--count FILE]"
    " --listen [ADDRESS:]PORT --connect HOST:PORT\n";

struct proxy {
    uv_loop_t loop;
    struct relay_options link;  /* what --rtt and --rate say */
    const char *count_path;     /* where the totals go; NULL for nowhere */
    const char *listen;         /* --listen's argument, or NULL */
    const char *connect;        /* --connect's argument, or NULL */
    struct relay_counts totals; /* of the connections that ended; legs is the largest */
    uint64_t started;           /* ns */
    uv_process_t child;         /* COMMAND */
    int child_status;           /* how it ended, as a shell would tell it */
    struct relay *child_relay;  /* its connection; NULL before and after */
    uv_tcp_t listener;          /* for TCP */
    struct sockaddr_in far;     /* for TCP: where to connect */
    struct error error;         /* what to say at the end */
};

/* A TCP connection that is being made to the far side. */
struct dial {
    struct proxy *proxy;
    uv_connect_t request;
    uv_tcp_t *near; /* accepted; waits for the other */
    uv_tcp_t *far;  /* being connected */
};

static int parse(struct proxy *proxy, int argc, char **argv);
static int start_child(struct proxy *proxy, char **command);
static int start_listening(struct proxy *proxy);

int main(int argc, char **argv)
{
    struct proxy proxy = {.started = uv_hrtime()};
    int err;

    err = parse(&proxy, argc, argv);
    if (err) {
        fputs(USAGE, stderr);
        return error_exit_status(err);
    }
    signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&proxy.loop) != 0)
        return error_exit_status(ERR_INTERNAL);
    err = proxy.listen ? start_listening(&proxy) : start_child(&proxy, argv + optind);
    uv_run(&proxy.loop, UV_RUN_DEFAULT);
    uv_loop_close(&proxy.loop);
    if (!err)
        err = proxy.error.code;
    if (err)
        fprintf(stderr, "bench_link_proxy: %s\n", proxy.error.text);
    return err ? error_exit_status(err) : proxy.child_status;
}

/* ---- the command line ---- */

/* "100mbit" in bytes a second, 0 for "none"; -1 where text is neither. */
static int64_t parse_rate(const char *text)
{
    static const struct {
        const char *name;
        double bits;
    } UNITS[] = {{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}};
    char *unit;
    double number = strtod(text, &unit);

    if (strcmp(text, "none") == 0)
        return 0;
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++)
        if (strcmp(unit, UNITS[i].name) == 0 && number * UNITS[i].bits >= 8 &&
            number * UNITS[i].bits <= 1e12)
            return (int64_t)(number * UNITS[i].bits / 8);
    return -1;
}

static int parse(struct proxy *proxy, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"rtt", required_argument, NULL, 't'},     {"rate", required_argument, NULL, 'r'},
        {"count", required_argument, NULL, 'c'},   {"listen", required_argument, NULL, 'l'},
        {"connect", required_argument, NULL, 'o'}, {0}};
    double milliseconds = 0;
    int64_t rate = 0;
    int option;

    while ((option = getopt_long(argc, argv, "+", OPTIONS, NULL)) != -1) {
        if (option == 't')
            milliseconds = strtod(optarg, NULL);
        else if (option == 'r')
            rate = parse_rate(optarg);
        else if (option == 'c')
            proxy->count_path = optarg;
        else if (option == 'l')
            proxy->listen = optarg;
        else if (option == 'o')
            proxy->connect = optarg;
        else
            return ERR_USAGE;
    }
    if (rate < 0 || !(milliseconds >= 0 && milliseconds <= 60000) ||
        !proxy->listen != !proxy->connect || !proxy->listen == (optind == argc))
        return ERR_USAGE;
    proxy->link.round_trip = (uint64_t)llround(milliseconds * 1e6);
    proxy->link.rate = (uint64_t)rate;
    return 0;
}

/* ---- counting ---- */

static void write_counts(struct proxy *proxy)
{
    FILE *file;

    if (!proxy->count_path)
        return;
    file = fopen(proxy->count_path, "w");
    if (!file) {
        error_set(&proxy->error, ERR_IO, "%s cannot be written", proxy->count_path);
        return;
    }
    fprintf(file,
            "{\"near_sent\": %llu, \"far_sent\": %llu, \"legs\": %u, \"round_trips\": %u, "
            "\"seconds\": %.6f}\n",
            (unsigned long long)proxy->totals.sent[RELAY_NEAR],
            (unsigned long long)proxy->totals.sent[RELAY_FAR], proxy->totals.legs,
            (proxy->totals.legs + 1) / 2, (double)(uv_hrtime() - proxy->started) / 1e9);
    if (fclose(file) != 0)
        error_set(&proxy->error, ERR_IO, "%s cannot be written", proxy->count_path);
}

static void relay_end_cb(void *user, const struct relay_counts *counts)
{
    struct proxy *proxy = user;

    proxy->child_relay = NULL;
    proxy->totals.sent[RELAY_NEAR] += counts->sent[RELAY_NEAR];
    proxy->totals.sent[RELAY_FAR] += counts->sent[RELAY_FAR];
    if (counts->legs > proxy->totals.legs)
        proxy->totals.legs = counts->legs;
    write_counts(proxy);
}

/* ---- before a command ---- */

static void child_exit_cb(uv_process_t *child, int64_t status, int signal_number)
{
    struct proxy *proxy = child->data;

    proxy->child_status = signal_number ? 128 + signal_number : (int)status;
    if (proxy->child_relay)
        relay_far_gone(proxy->child_relay);
    uv_close((uv_handle_t *)child, NULL);
}

/* A pipe handle, on the loop and not yet open; NULL without memory. */
static uv_pipe_t *new_pipe(struct proxy *proxy)
{
    uv_pipe_t *pipe = malloc(sizeof(*pipe));

    if (pipe)
        uv_pipe_init(&proxy->loop, pipe, 0);
    return pipe;
}

static void close_pipe(uv_pipe_t *pipe)
{
    if (pipe)
        uv_close((uv_handle_t *)pipe, (uv_close_cb)free);
}

static int start_child(struct proxy *proxy, char **command)
{
    uv_pipe_t *own[2] = {new_pipe(proxy), new_pipe(proxy)};   /* stdin and stdout */
    uv_pipe_t *child[2] = {new_pipe(proxy), new_pipe(proxy)}; /* the child's */
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)child[0]},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)child[1]},
        {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {.exit_cb = child_exit_cb,
                                    .file = command[0],
                                    .args = command,
                                    .stdio_count = 3,
                                    .stdio = stdio};
    struct relay_end ends[2] = {{(uv_stream_t *)own[0], (uv_stream_t *)own[1]},
                                {(uv_stream_t *)child[1], (uv_stream_t *)child[0]}};
    int err = ERR_INTERNAL, rc;

    if (!own[0] || !own[1] || !child[0] || !child[1]) {
        error_set(&proxy->error, err, "memory ran out");
        goto out;
    }
    if (uv_pipe_open(own[0], 0) != 0 || uv_pipe_open(own[1], 1) != 0) {
        err = error_set(&proxy->error, ERR_USAGE, "stdin and stdout have to be pipes");
        goto out;
    }
    proxy->child.data = proxy;
    rc = uv_spawn(&proxy->loop, &proxy->child, &options);
    if (rc != 0) {
        uv_close((uv_handle_t *)&proxy->child, NULL);
        err = error_set(&proxy->error, ERR_NO_PROGRAM, "starting %s: %s", command[0],
                        uv_strerror(rc));
        goto out;
    }
    proxy->child_relay =
        relay_new(&proxy->loop, &proxy->link, ends, relay_end_cb, proxy, &proxy->error);
    return proxy->child_relay ? 0 : proxy->error.code;
out:
    for (int i = 0; i < 2; i++) {
        close_pipe(own[i]);
        close_pipe(child[i]);
    }
    return err;
}

/* ---- between sockets ---- */

static uv_tcp_t *new_tcp(struct proxy *proxy)
{
    uv_tcp_t *tcp = malloc(sizeof(*tcp));

    if (tcp)
        uv_tcp_init(&proxy->loop, tcp);
    return tcp;
}

static void close_tcp(uv_tcp_t *tcp)
{
    if (tcp)
        uv_close((uv_handle_t *)tcp, (uv_close_cb)free);
}

static void connect_cb(uv_connect_t *request, int status)
{
    struct dial *dial = request->data;
    struct relay_end ends[2] = {{(uv_stream_t *)dial->near, (uv_stream_t *)dial->near},
                                {(uv_stream_t *)dial->far, (uv_stream_t *)dial->far}};
    struct error error = {0};

    if (status < 0) {
        fprintf(stderr, "bench_link_proxy: connecting: %s\n", uv_strerror(status));
        close_tcp(dial->near);
        close_tcp(dial->far);
    } else {
        /* The proxy alone decides when bytes leave. */
        uv_tcp_nodelay(dial->near, 1);
        uv_tcp_nodelay(dial->far, 1);
        if (!relay_new(&dial->proxy->loop, &dial->proxy->link, ends, relay_end_cb, dial->proxy,
                       &error))
            fprintf(stderr, "bench_link_proxy: %s\n", error.text);
    }
    free(dial);
}

static void connection_cb(uv_stream_t *listener, int status)
{
    struct proxy *proxy = listener->data;
    struct dial *dial = calloc(1, sizeof(*dial));

    if (!dial)
        return;
    dial->proxy = proxy;
    dial->request.data = dial;
    dial->near = new_tcp(proxy);
    dial->far = new_tcp(proxy);
    if (status < 0 || !dial->near || !dial->far ||
        uv_accept(listener, (uv_stream_t *)dial->near) != 0 ||
        uv_tcp_connect(&dial->request, dial->far, (const struct sockaddr *)&proxy->far,
                       connect_cb) != 0) {
        close_tcp(dial->near);
        close_tcp(dial->far);
        free(dial);
    }
}

/* "HOST:PORT" as an address. */
static int parse_address(const char *text, struct sockaddr_in *address)
{
    const char *colon = strrchr(text, ':');
    char host[64];

    if (!colon || (size_t)(colon - text) >= sizeof(host))
        return -1;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    return uv_ip4_addr(host, atoi(colon + 1), address);
}

static int start_listening(struct proxy *proxy)
{
    struct sockaddr_in address;
    int len = sizeof(address);
    int rc;

    if (parse_address(proxy->connect, &proxy->far) != 0)
        return error_set(&proxy->error, ERR_USAGE, "'%s' is not ADDRESS:PORT", proxy->connect);
    if (strchr(proxy->listen, ':') == NULL)
        uv_ip4_addr("127.0.0.1", atoi(proxy->listen), &address);
    else if (parse_address(proxy->listen, &address) != 0)
        return error_set(&proxy->error, ERR_USAGE, "'%s' is not PORT or ADDRESS:PORT",
                         proxy->listen);
    uv_tcp_init(&proxy->loop, &proxy->listener);
    proxy->listener.data = proxy;
    rc = uv_tcp_bind(&proxy->listener, (const struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&proxy->listener, 16, connection_cb);
    if (rc == 0)
        rc = uv_tcp_getsockname(&proxy->listener, (struct sockaddr *)&address, &len);
    if (rc != 0) {
        uv_close((uv_handle_t *)&proxy->listener, NULL);
        return error_set(&proxy->error, ERR_NO_LINK, "listening on port %s: %s", proxy->listen,
                         uv_strerror(rc));
    }
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return 0;
}
