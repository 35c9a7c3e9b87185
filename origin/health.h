/*
 * health: whether a daemon makes progress: not that it is alive, but that its loop turns, that what
 * its workers do comes to an end, that somebody can connect, that its databases can be used.
 *
 * The loop beats (health_beat), workers tell when they begin and end (health_begin, health_end),
 * and what is looked at now and then leaves what it found (health_set_problem). Whoever asks does
 * not wait for any of them, so the answer comes from another thread when the loop or all workers
 * stand still. Any thread may call any of these.
 */
#ifndef LOCKSTEP_ORIGIN_HEALTH_H
#define LOCKSTEP_ORIGIN_HEALTH_H

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct health;

/* What can be wrong beside loop and workers; one text each. */
enum health_part {
    HEALTH_STARTING,
    HEALTH_STOPPING,
    HEALTH_LISTENERS,
    HEALTH_DATABASES,
    HEALTH_WORKERS,
    HEALTH_PARTS
};

#define HEALTH_TEXT_MAX 300

/* Work that is being done, embedded by who does it, zeroed at first. */
struct health_work {
    struct health_work *previous;
    struct health_work *next;
    uint64_t since;   /* clock_monotonic_ms; 0: none is being done */
    const char *what; /* "pull of org.db by worker"; borrowed until health_end */
};

/* stuck_ms: work that takes longer than this is stuck. It is starting until its first beat. NULL:
 * memory ran out. */
struct health *health_new(uint64_t stuck_ms);
void health_free(struct health *health);

/* The loop turned. */
void health_beat(struct health *health);

/* NULL for health is allowed. */
void health_begin(struct health *health, struct health_work *work, const char *what);
void health_end(struct health *health, struct health_work *work);

/* text: NULL or "" where nothing is wrong any more; copied, cut at HEALTH_TEXT_MAX. */
void health_set_problem(struct health *health, enum health_part part, const char *text);

/*
 * Whether all is well at this moment of clock_monotonic_ms. out, which may be NULL, gets JSON:
 * {"status":"ok",…} or {"status":"unhealthy","problems":["…",…],…}, with "workers_busy" and
 * "uptime_seconds". Where out is too small, nothing is appended.
 */
int health_is_good(struct health *health, uint64_t now, struct buffer *out);

/* Whether the loop turns and no work is stuck: what a restart would mend. For systemd's watchdog.
 */
int health_makes_progress(struct health *health, uint64_t now);

#endif
