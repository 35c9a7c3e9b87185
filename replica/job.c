#include "replica/job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "protocol/base/error.h"

extern char **environ;

struct job {
    struct job_options options;
    uv_process_t process;
    uv_timer_t timer; /* to SIGKILL */
    int handles;      /* not yet closed */
    int status;
    int signal;       /* that killed it; 0: none */
    int own_group;    /* it leads a process group */
};

static void on_closed(uv_handle_t *handle)
{
    struct job *job = handle->data;

    if (--job->handles > 0)
        return;
    if (job->options.on_exit != NULL)
        job->options.on_exit(job->options.user, job->status, job->signal);
    free(job);
}

static void close_handles(struct job *job)
{
    uv_close((uv_handle_t *)&job->process, on_closed);
    uv_close((uv_handle_t *)&job->timer, on_closed);
}

static void on_exit_of_process(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct job *job = process->data;

    job->status = (int)exit_status;
    job->signal = term_signal;
    close_handles(job);
}

/* To the job and, where it has a process group of its own, to all that it started. */
static void send_signal(struct job *job, int signal)
{
    int pid = uv_process_get_pid(&job->process);

    if (uv_is_active((uv_handle_t *)&job->process))
        kill(job->own_group ? -pid : pid, signal);
}

/* This process's environment with LOCKSTEP_* on top. Ends with NULL; each string and the array are to be freed. */
static char **make_environment(const struct job_options *options)
{
    static const char *const ours[] = {"LOCKSTEP_DB=", "LOCKSTEP_TOKEN=", "LOCKSTEP_VERSION="};
    size_t count = 0;
    size_t used = 0;
    char **result;
    int failed = 0;

    while (environ[count] != NULL)
        count++;
    result = calloc(count + 4, sizeof(*result));
    if (result == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        int is_ours = 0;
        for (size_t k = 0; k < 3; k++)
            is_ours |= strncmp(environ[i], ours[k], strlen(ours[k])) == 0;
        if (!is_ours)
            failed |= (result[used++] = strdup(environ[i])) == NULL;
    }
    failed |= asprintf(&result[used++], "LOCKSTEP_DB=%s", options->database) < 0;
    failed |= asprintf(&result[used++], "LOCKSTEP_VERSION=%llu", (unsigned long long)options->version) < 0;
    if (options->token > 0)
        failed |= asprintf(&result[used++], "LOCKSTEP_TOKEN=%llu", (unsigned long long)options->token) < 0;
    if (failed)
        result[0] = NULL;
    return result;
}

static void free_environment(char **environment)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
        free(environment[i]);
    free(environment);
}

/* What to look at where a job could not be started. */
static const char *explain_start(int rc, const char *program)
{
    if (rc == UV_ENOENT && strchr(program, '/') == NULL)
        return "; it was not found on the PATH: give its whole path";
    if (rc == UV_ENOENT)
        return "; that file, or the interpreter in its first line, is missing";
    if (rc == UV_EACCES)
        return "; make it executable (chmod +x), or start it by its interpreter";
    if (rc == UV_EAGAIN || rc == UV_ENOMEM || rc == UV_EMFILE)
        return "; this machine or user ran out of processes, memory or open files: see `ulimit -a`, then run it again";
    if (rc == UV_E2BIG)
        return "; its arguments and the environment are too long together";
    return "";
}

int job_start(struct job **job, struct uv_loop_s *loop, const struct job_options *options, int *exit_status, struct error *error)
{
    uv_stdio_container_t stdio[4] = {{.flags = UV_INHERIT_FD, .data.fd = 0},
                                     {.flags = UV_INHERIT_FD, .data.fd = 1},
                                     {.flags = UV_INHERIT_FD, .data.fd = 2},
                                     {.flags = UV_INHERIT_FD, .data.fd = options->guard}};
    uv_process_options_t process = {.file = options->argv[0],
                                    .args = options->argv,
                                    .stdio = stdio,
                                    .stdio_count = options->guard >= 0 ? 4 : 3,
                                    .exit_cb = on_exit_of_process};
    struct job *new = calloc(1, sizeof(*new));
    int rc;

    *job = NULL;
    *exit_status = error_exit_status(ERR_JOB_FAILED);
    process.env = make_environment(options);
    if (new == NULL || process.env == NULL || process.env[0] == NULL) {
        free_environment(process.env);
        free(new);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    new->options = *options;
    new->handles = 2;
    new->process.data = new;
    new->timer.data = new;
    /* On a terminal it stays in our group, so that it can read from there; then Ctrl-C reaches it by itself. */
    new->own_group = !isatty(STDIN_FILENO);
    process.flags = new->own_group ? UV_PROCESS_DETACHED : 0;
    uv_timer_init(loop, &new->timer);
    rc = uv_spawn(loop, &new->process, &process);
    free_environment(process.env);
    if (rc != 0) {
        *exit_status = rc == UV_ENOENT                                      ? 127
                       : rc == UV_EAGAIN || rc == UV_ENOMEM || rc == UV_EMFILE ? error_exit_status(ERR_JOB_FAILED)
                                                                               : 126;
        new->options.on_exit = NULL;
        close_handles(new);
        return error_set(error, ERR_JOB_FAILED, "starting the job %s: %s%s", options->argv[0], uv_strerror(rc),
                         explain_start(rc, options->argv[0]));
    }
    *job = new;
    return 0;
}

void job_signal(struct job *job, int signal)
{
    if (signal == SIGINT && !job->own_group)
        return;
    send_signal(job, signal);
}

static void on_timer(uv_timer_t *timer)
{
    struct job *job = timer->data;

    send_signal(job, SIGKILL);
}

void job_stop(struct job *job, uint64_t kill_after_ms)
{
    send_signal(job, SIGTERM);
    uv_timer_start(&job->timer, on_timer, kill_after_ms, 0);
}
