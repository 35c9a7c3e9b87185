#include "origin/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "protocol/base/buffer.h"
#include "protocol/base/clock.h"
#include "protocol/base/escape.h"
#include "protocol/base/limits.h"

/* The loop beats once a second and is never held up for more than some milliseconds. */
#define LOOP_STUCK_MS 10000

struct health {
    uv_mutex_t mutex;
    uint64_t stuck_ms;
    uint64_t started;
    uint64_t beat; /* 0: it has not beaten yet */
    struct health_work *works;
    unsigned work_count;
    char problems[HEALTH_PARTS][HEALTH_TEXT_MAX];
};

struct health *health_new(uint64_t stuck_ms)
{
    struct health *health = calloc(1, sizeof(*health));

    if (health == NULL)
        return NULL;
    uv_mutex_init(&health->mutex);
    health->stuck_ms = stuck_ms;
    health->started = clock_monotonic_ms();
    snprintf(health->problems[HEALTH_STARTING], HEALTH_TEXT_MAX, "it is starting");
    return health;
}

void health_free(struct health *health)
{
    if (health == NULL)
        return;
    uv_mutex_destroy(&health->mutex);
    free(health);
}

void health_beat(struct health *health)
{
    uv_mutex_lock(&health->mutex);
    health->beat = clock_monotonic_ms();
    health->problems[HEALTH_STARTING][0] = '\0';
    uv_mutex_unlock(&health->mutex);
}

void health_begin(struct health *health, struct health_work *work, const char *what)
{
    if (health == NULL)
        return;
    uv_mutex_lock(&health->mutex);
    work->since = clock_monotonic_ms();
    work->what = what;
    work->previous = NULL;
    work->next = health->works;
    if (work->next != NULL)
        work->next->previous = work;
    health->works = work;
    health->work_count++;
    uv_mutex_unlock(&health->mutex);
}

void health_end(struct health *health, struct health_work *work)
{
    if (health == NULL)
        return;
    uv_mutex_lock(&health->mutex);
    if (work->previous != NULL)
        work->previous->next = work->next;
    else
        health->works = work->next;
    if (work->next != NULL)
        work->next->previous = work->previous;
    work->since = 0;
    health->work_count--;
    uv_mutex_unlock(&health->mutex);
}

void health_set_problem(struct health *health, enum health_part part, const char *text)
{
    uv_mutex_lock(&health->mutex);
    snprintf(health->problems[part], HEALTH_TEXT_MAX, "%s", text != NULL ? text : "");
    uv_mutex_unlock(&health->mutex);
}

/* ---- asking ---- */

/* What is found is put into JSON while the mutex is held: the texts of works are borrowed. */
struct findings {
    char json[LIMIT_HEALTH_ANSWER];
    size_t len;
    unsigned count;
};

static void find(struct findings *findings, const char *text)
{
    char escaped[HEALTH_TEXT_MAX + 100];
    size_t room = sizeof(findings->json) - findings->len;
    size_t len = escape_text(ESCAPE_JSON, text, strlen(text), escaped, sizeof(escaped));

    findings->count++;
    /* There may be as many stuck works as workers: some are enough. */
    if (len + sizeof(",\"\"") > room)
        return;
    findings->len += (size_t)snprintf(findings->json + findings->len, room, "%s\"%s\"",
                                      findings->len > 0 ? "," : "", escaped);
}

/* How long ago that was. Somebody may have looked at the clock before it happened. */
static uint64_t age(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

static void find_what_is_stuck(const struct health *health, uint64_t now, struct findings *findings)
{
    char text[HEALTH_TEXT_MAX];

    if (health->beat > 0 && age(now, health->beat) > LOOP_STUCK_MS) {
        snprintf(text, sizeof(text), "the event loop has not turned for %llu s",
                 (unsigned long long)age(now, health->beat) / 1000);
        find(findings, text);
    }
    for (const struct health_work *work = health->works; work != NULL; work = work->next) {
        if (age(now, work->since) <= health->stuck_ms)
            continue;
        snprintf(text, sizeof(text), "a worker has been at it for %llu s: %s",
                 (unsigned long long)age(now, work->since) / 1000, work->what);
        find(findings, text);
    }
}

int health_is_good(struct health *health, uint64_t now, struct buffer *out)
{
    struct findings findings = {.len = 0};
    char head[200];
    unsigned busy;

    uv_mutex_lock(&health->mutex);
    for (int part = 0; part < HEALTH_PARTS; part++) {
        if (health->problems[part][0] != '\0')
            find(&findings, health->problems[part]);
    }
    find_what_is_stuck(health, now, &findings);
    busy = health->work_count;
    uv_mutex_unlock(&health->mutex);
    if (out != NULL) {
        snprintf(head, sizeof(head),
                 "{\"status\":\"%s\",\"version\":\"%s\",\"uptime_seconds\":%llu,\"workers_busy\":%"
                 "u,\"problems\":[",
                 findings.count == 0 ? "ok" : "unhealthy", LOCKSTEP_VERSION,
                 (unsigned long long)age(now, health->started) / 1000, busy);
        if (buffer_append(out, head, strlen(head), NULL) == 0 &&
            buffer_append(out, findings.json, findings.len, NULL) == 0)
            buffer_append(out, "]}\n", 3, NULL);
    }
    return findings.count == 0;
}

int health_makes_progress(struct health *health, uint64_t now)
{
    struct findings findings = {.len = 0};

    uv_mutex_lock(&health->mutex);
    find_what_is_stuck(health, now, &findings);
    uv_mutex_unlock(&health->mutex);
    return findings.count == 0;
}
