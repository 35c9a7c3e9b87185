/*
 * progress: tells while a command is at work where it stands: on a terminal by a line that is written over, elsewhere by lines now and
 * then, for programs by JSON lines; always on stderr. SIGUSR1 asks for a line at any time.
 *
 * It looks ten times a second at what its user tells it, which costs nothing that could be measured.
 */
#ifndef LOCKSTEP_REPLICA_PROGRESS_H
#define LOCKSTEP_REPLICA_PROGRESS_H

#include "replica/progress_render.h"

struct error;
struct progress;
struct uv_loop_s;

enum progress_mode {
    PROGRESS_AUTO,  /* on a terminal a line; elsewhere none, with verbose plain lines */
    PROGRESS_LINE,
    PROGRESS_PLAIN,
    PROGRESS_JSON,
    PROGRESS_NONE
};

struct progress_options {
    enum progress_mode mode;
    int is_asked; /* --progress was given: auto means plain lines where there is no terminal */
    int verbose;
    int quiet;
    /* Fill in what is known of view, which is zeroed but for rate, moved, phase_ms and total_ms, which are progress's own. On the loop. */
    void (*look)(void *user, struct progress_view *view);
    void *user;
};

/* "auto", "line", "plain", "json" or "none"; NULL is "auto". ERR_USAGE. */
int progress_read_mode(const char *text, enum progress_mode *mode, struct error *error);

/* Start. It does not keep the loop alive. ERR_INTERNAL; *progress is then NULL, which all functions take. */
int progress_start(struct progress **progress, struct uv_loop_s *loop, const struct progress_options *options, struct error *error);

/* Take the line off the terminal until phase changes: something else writes there. */
void progress_hide(struct progress *progress);

/* End it: the line goes; with JSON a last one tells whether it went well. The loop has to run once more for the memory to go. */
void progress_end(struct progress *progress, int is_well);

#endif
