/*
 * progress_render: what a person or a program is told about a command that is at work, made of numbers alone.
 */
#ifndef LOCKSTEP_REPLICA_PROGRESS_RENDER_H
#define LOCKSTEP_REPLICA_PROGRESS_RENDER_H

#include <stddef.h>
#include <stdint.h>

/* Where a command stands. */
struct progress_view {
    const char *phase;     /* one word: "scanning", "moving", "locking", "job" … (docs/json.md has them all) */
    char doing[200];       /* the same for a person: "pulling: reading the local copy" */
    uint32_t pages;        /* that crossed so far */
    uint32_t pages_total;  /* that will; 0: not known */
    uint64_t bytes_total;  /* of the page stream; 0: not known */
    uint64_t sent;         /* bytes, in this sync */
    uint64_t received;
    uint64_t moved;        /* of these, since the phase began, both ways */
    uint64_t rate;         /* bytes a second, lately */
    uint64_t phase_ms;     /* since the phase began */
    uint64_t total_ms;     /* since the command began */
    uint32_t place;        /* in the origin's queue; 0: none */
};

/* Milliseconds until the pages have crossed, by how long it took so far; -1: there is nothing to go by. */
int64_t progress_left_ms(const struct progress_view *view);

/* One line without a newline, for a terminal of so many columns; what does not fit is left out, the least important first. */
void progress_render_text(const struct progress_view *view, unsigned columns, char *out, size_t out_size);

/* One JSON object with a newline. */
void progress_render_json(const struct progress_view *view, char *out, size_t out_size);

/* "12.3 MB", with powers of 1000, and "1:02:03": into out, which has room for 32 bytes. Return out. */
char *progress_render_bytes(uint64_t bytes, char *out);
char *progress_render_time(uint64_t milliseconds, char *out);

#endif
