/*
 * link_probe: opens one link and copies: its stdin to the link, the link to its stdout. For the
 * tests of the links in isolation.
 *
 *   link_probe stdio                    echo what comes on stdin, through link_stdio
 *   link_probe process PROGRAM [ARG...]  through link_process
 *   link_probe ssh [KEY=VALUE...] HOST COMMAND  through link_ssh; the keys: user, port, config,
 * known_hosts, identity (as often as wanted), accept_new, timeout_ms, keepalive_s
 *
 *   link_probe outside PROGRAM [KEY=VALUE...] HOST COMMAND  through link_outside_ssh
 *
 * Options, before the kind of link: --no-stdin (write nothing and do not shut down), --close-after
 * N (link_close once N bytes came), --pause-ms N (pause so long after each delivery),
 * --print (write to descriptor 1 once the link is open).
 *
 * stderr gets "open", "far: LINE" for each far line, "drain", and at the end "closed: CODE: TEXT"
 * and "traffic: SENT RECEIVED". The exit status is the one that stands for the code.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/fd_source.h"
#include "protocol/link/link.h"
#include "protocol/link/link_outside_ssh.h"
#include "protocol/link/link_process.h"
#include "protocol/link/link_ssh.h"
#include "protocol/link/link_stdio.h"

struct probe {
    uv_loop_t loop;
    uv_timer_t resume_timer;
    struct link *link;
    struct fd_source source; /* stdin, where it is copied */
    struct error result;     /* from on_close */
    struct link_traffic traffic;
    int is_echo; /* the link is stdio: what comes goes back */
    int no_stdin;
    int has_stdin_ended;
    long close_after; /* -1: never */
    int pause_ms;
    int is_paused;
    int prints;
};

static void source_closed(struct fd_source *source)
{
    (void)source;
}

static void stdin_bytes(struct fd_source *source, const uint8_t *data, size_t len)
{
    struct probe *probe = source->user;
    uint8_t *copy = malloc(len);

    assert(copy != NULL);
    memcpy(copy, data, len);
    link_write_take(probe->link, copy, len);
    if (link_queued(probe->link) > LIMIT_LINK_QUEUE)
        fd_source_stop(source);
}

static void stdin_end(struct fd_source *source, int status)
{
    struct probe *probe = source->user;

    (void)status;
    link_shutdown(probe->link);
}

static void on_open(void *user)
{
    struct probe *probe = user;
    struct error error;

    fprintf(stderr, "open\n");
    if (probe->prints)
        dprintf(STDOUT_FILENO, "stray\n");
    if (probe->is_echo || probe->no_stdin)
        return;
    if (fd_source_open(&probe->source, &probe->loop, dup(0), "stdin", stdin_bytes, stdin_end, probe,
                       &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    fd_source_start(&probe->source);
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

    assert(!probe->is_paused);
    if (probe->is_echo) {
        uint8_t *copy = malloc(len);

        assert(copy != NULL);
        memcpy(copy, data, len);
        link_write_take(probe->link, copy, len);
        return;
    }
    for (size_t done = 0; done < len;) {
        ssize_t count = write(STDOUT_FILENO, data + done, len - done);

        assert(count > 0);
        done += (size_t)count;
    }
    if (probe->close_after >= 0 &&
        link_traffic(probe->link).received >= (uint64_t)probe->close_after)
        link_close(probe->link);
    if (probe->pause_ms > 0) {
        link_pause(probe->link);
        probe->is_paused = 1;
        uv_timer_start(&probe->resume_timer, resume_cb, (uint64_t)probe->pause_ms, 0);
    }
}

static void on_drain(void *user)
{
    struct probe *probe = user;

    if (probe->source.carrier.is_open)
        fd_source_start(&probe->source);
}

static void on_far_line(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "far: %s\n", line);
}

static void on_close(void *user, const struct error *error)
{
    struct probe *probe = user;

    probe->result = *error;
    probe->traffic = link_traffic(probe->link);
    probe->link = NULL;
    if (probe->source.carrier.is_open)
        fd_source_close(&probe->source, source_closed);
    uv_close((uv_handle_t *)&probe->resume_timer, NULL);
}

static const struct link_callbacks callbacks = {on_open, on_bytes, on_drain, on_far_line, on_close};

static int usage(void)
{
    fprintf(stderr, "usage: link_probe [--no-stdin] [--close-after N] [--pause-ms N] stdio | "
                    "process PROGRAM [ARG...]\n");
    return error_exit_status(ERR_USAGE);
}

/* Read KEY=VALUE words into options. Returns the first word behind them. */
static char **read_ssh_options(char **argv, struct link_ssh_options *options)
{
    static const char *identity_files[8];
    size_t identity_count = 0;

    options->identity_files = identity_files;
    for (; *argv != NULL && strchr(*argv, '=') != NULL && argv[1] != NULL && argv[2] != NULL;
         argv++) {
        const char *value = strchr(*argv, '=') + 1;
        size_t len = (size_t)(value - 1 - *argv);

        if (strncmp(*argv, "user", len) == 0)
            options->user = value;
        else if (strncmp(*argv, "port", len) == 0)
            options->port = atoi(value);
        else if (strncmp(*argv, "config", len) == 0)
            options->config_path = value;
        else if (strncmp(*argv, "known_hosts", len) == 0)
            options->known_hosts_path = value;
        else if (strncmp(*argv, "identity", len) == 0 && identity_count < 7)
            identity_files[identity_count++] = value;
        else if (strncmp(*argv, "accept_new", len) == 0)
            options->accept_new_host_key = atoi(value);
        else if (strncmp(*argv, "timeout_ms", len) == 0)
            options->connect_timeout_ms = atoi(value);
        else if (strncmp(*argv, "keepalive_s", len) == 0)
            options->keepalive_s = atoi(value);
        else
            exit(usage());
    }
    return argv;
}

/* program: an outside ssh, or NULL for link_ssh. */
static int open_ssh(struct probe *probe, const char *program, char **argv, struct error *error)
{
    struct link_ssh_options options = {.program = NULL};

    argv = read_ssh_options(argv, &options);
    if (argv[0] == NULL || argv[1] == NULL)
        exit(usage());
    options.host = argv[0];
    options.command = argv[1];
    if (program != NULL)
        return link_outside_ssh_new(&probe->loop, &callbacks, probe, program, &options,
                                    &probe->link, error);
    return link_ssh_new(&probe->loop, &callbacks, probe, &options, &probe->link, error);
}

/* Make the link that argv, behind the options, asks for. */
static int open_link(struct probe *probe, char **argv, struct error *error)
{
    if (strcmp(argv[0], "stdio") == 0) {
        probe->is_echo = 1;
        return link_stdio_new(&probe->loop, &callbacks, probe, &probe->link, error);
    }
    if (strcmp(argv[0], "process") == 0 && argv[1] != NULL) {
        struct link_process_options options = {.argv = (const char *const *)argv + 1,
                                               .name = "the probed program",
                                               .missing_advice = "give another one"};

        return link_process_new(&probe->loop, &callbacks, probe, &options, &probe->link, error);
    }
    if (strcmp(argv[0], "ssh") == 0)
        return open_ssh(probe, NULL, argv + 1, error);
    if (strcmp(argv[0], "outside") == 0 && argv[1] != NULL)
        return open_ssh(probe, argv[1], argv + 2, error);
    exit(usage());
}

int main(int argc, char **argv)
{
    static struct probe probe = {.close_after = -1};
    struct error error;

    (void)argc;
    for (argv++; *argv != NULL && strncmp(*argv, "--", 2) == 0; argv++) {
        if (strcmp(*argv, "--no-stdin") == 0)
            probe.no_stdin = 1;
        else if (strcmp(*argv, "--print") == 0)
            probe.prints = 1;
        else if (strcmp(*argv, "--close-after") == 0 && argv[1] != NULL)
            probe.close_after = atol(*++argv);
        else if (strcmp(*argv, "--pause-ms") == 0 && argv[1] != NULL)
            probe.pause_ms = atoi(*++argv);
        else
            return usage();
    }
    if (*argv == NULL)
        return usage();
    uv_loop_init(&probe.loop);
    uv_timer_init(&probe.loop, &probe.resume_timer);
    probe.resume_timer.data = &probe;
    if (open_link(&probe, argv, &error) != 0) {
        fprintf(stderr, "not made: %s: %s\n", error_name(error.code), error.text);
        return error_exit_status(error.code);
    }
    uv_run(&probe.loop, UV_RUN_DEFAULT);
    fprintf(stderr, "closed: %s: %s\n", error_name(probe.result.code), probe.result.text);
    fprintf(stderr, "traffic: %llu %llu\n", (unsigned long long)probe.traffic.sent,
            (unsigned long long)probe.traffic.received);
    /* Every handle is closed: a link that leaves one behind fails here. */
    if (uv_loop_close(&probe.loop) != 0)
        abort();
    return error_exit_status(probe.result.code);
}
