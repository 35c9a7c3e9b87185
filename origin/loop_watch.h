/*
 * loop_watch: how long an event loop was busy with what it does between two looks at its sockets: how late anything else that
 * happened meanwhile was noticed.
 *
 * One turn of the loop is the time from one uv_prepare callback to the next, less the time that libuv says it slept
 * (uv_metrics_idle_time). That is an upper bound of what one callback took: a turn may have many. Where the machine
 * has more to do than it can, the wall clock also counts what others took; the thread's own processor time does not.
 * Measured: 0.4 us a turn.
 */
#ifndef LOCKSTEP_ORIGIN_LOOP_WATCH_H
#define LOCKSTEP_ORIGIN_LOOP_WATCH_H

#include <stdint.h>

struct loop_watch;
struct uv_loop_s;

/* A turn that is longer than this is counted: what a daemon's loop is never to take. */
#define LOOP_WATCH_LONG_NS 10000000ull

struct loop_watch_stats {
    uint64_t turns;
    uint64_t busy_ns;        /* all turns together, by the wall clock */
    uint64_t longest_ns;     /* the longest one, by the wall clock */
    uint64_t longest_cpu_ns; /* the one that took the most processor time */
    uint64_t long_turns;     /* that took more than LOOP_WATCH_LONG_NS, by the wall clock */
    uint64_t long_cpu_turns; /* and by the processor's */
};

/* Before the loop first runs, on the thread that will run it. Does not keep the loop alive. NULL: memory ran out, or libuv cannot tell. */
struct loop_watch *loop_watch_new(struct uv_loop_s *loop);

/* The memory goes later, on the loop. NULL is accepted. */
void loop_watch_close(struct loop_watch *watch);

/* All since loop_watch_new. On the loop. */
void loop_watch_read(const struct loop_watch *watch, struct loop_watch_stats *stats);

#endif
