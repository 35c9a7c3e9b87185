/*
 * bench_usage REPORT COMMAND…: runs COMMAND with its stdin, stdout and stderr, exits as it does,
 * and writes to REPORT one JSON object: when it started and ended (seconds of the monotonic clock),
 * its processor time, how much of that its own children had that it waited for (in steps of 10 ms),
 * and the most memory that it held resident, in bytes.
 *
 * It is a program of its own because Linux counts towards a process's peak what the process that
 * forked it held: here that is this one's few hundred kilobytes, and not an interpreter's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double monotonic_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Of a process that has ended and is not reaped yet: processor seconds of the children that it
 * waited for. proc(5): fields 16, 17. */
static double children_seconds(pid_t pid)
{
    char path[64], line[1024];
    unsigned long long user = 0, system = 0;
    char *rest = NULL;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    file = fopen(path, "r");
    if (!file)
        return 0;
    if (fgets(line, sizeof(line), file))
        rest = strrchr(line, ')');
    fclose(file);
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %llu %llu",
                        &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Written beside it and renamed: who sees the report sees all of it. */
static int write_report(const char *path, double started, const struct rusage *usage,
                        double children, int status)
{
    char temporary[4096];
    FILE *file;

    if (snprintf(temporary, sizeof(temporary), "%s.part", path) >= (int)sizeof(temporary))
        return -1;
    file = fopen(temporary, "w");
    if (!file)
        return -1;
    fprintf(file,
            "{\"started\": %.6f, \"ended\": %.6f, \"user\": %.6f, \"system\": %.6f, "
            "\"children\": %.2f, \"peak\": %lld, \"status\": %d}\n",
            started, monotonic_seconds(), seconds(usage->ru_utime), seconds(usage->ru_stime),
            children, (long long)usage->ru_maxrss * 1024, status);
    if (fclose(file) != 0)
        return -1;
    return rename(temporary, path);
}

int main(int argc, char **argv)
{
    double started = monotonic_seconds();
    struct rusage usage;
    siginfo_t ended;
    double children = 0;
    int wait_status, status;
    pid_t child;

    if (argc < 3) {
        fputs("usage: bench_usage REPORT COMMAND...\n", stderr);
        return 64;
    }
    child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        fprintf(stderr, "bench_usage: %s: %s\n", argv[2], strerror(errno));
        _exit(127);
    }
    if (child > 0 && waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT) == 0)
        children = children_seconds(child);
    while (child > 0 && wait4(child, &wait_status, 0, &usage) < 0)
        if (errno != EINTR)
            child = -1;
    if (child < 0) {
        fprintf(stderr, "bench_usage: running %s: %s\n", argv[2], strerror(errno));
        return 70;
    }
    status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    if (write_report(argv[1], started, &usage, children, status) != 0) {
        fprintf(stderr, "bench_usage: %s cannot be written: %s\n", argv[1], strerror(errno));
        return 74;
    }
    return status;
}
