/* traffic: what crosses a link, counted by what it is for. */
#ifndef LOCKSTEP_ORIGIN_TRAFFIC_H
#define LOCKSTEP_ORIGIN_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

#include "origin/metrics.h"

struct buffer;
struct message;

/* Of one link, so that at its end the rest can be told from what was counted. */
struct traffic {
    uint64_t counted[METRICS_DIRECTIONS];
};

/* Count the whole frames that stand in out from `from` on. */
void traffic_count_said(struct traffic *traffic, struct metrics *metrics, const struct buffer *out,
                        size_t from);

/* Count the payload of a message that came. */
void traffic_count_heard(struct traffic *traffic, struct metrics *metrics,
                         const struct message *message);

/* It is over, and all that crossed was this: what was not counted yet is counted as METRICS_OTHER.
 */
void traffic_finish(struct traffic *traffic, struct metrics *metrics, uint64_t sent,
                    uint64_t received);

#endif
