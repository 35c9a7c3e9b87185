/*
 * far_lines: what the far side writes to its stderr, cut into lines that are safe to show.
 *
 * Bytes go in as they come; each whole line, sanitized, goes to the link's on_far_line. The last
 * line that was not empty is kept, for the message that says why the far side ended.
 */
#ifndef LOCKSTEP_LINK_FAR_LINES_H
#define LOCKSTEP_LINK_FAR_LINES_H

#include <stddef.h>

#include "protocol/base/limits.h"

struct link;

struct far_lines {
    struct link *link;         /* whose on_far_line is called */
    char line[LIMIT_FAR_LINE]; /* the line that has not ended yet, as it came */
    size_t len;                /* its bytes so far; what goes beyond is dropped */
    char
        last[LIMIT_FAR_LINE]; /* the last line that was not empty, sanitized; "" before the first */
};

void far_lines_init(struct far_lines *lines, struct link *link);

/* Take len bytes; calls on_far_line once for each line that they complete. */
void far_lines_feed(struct far_lines *lines, const char *data, size_t len);

/* The stream ended: a line without a newline at its end counts, too. */
void far_lines_end(struct far_lines *lines);

#endif
