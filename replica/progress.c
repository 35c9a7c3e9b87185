#include "replica/progress.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <uv.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/base/status_line.h"

#define TICK_MS       100
/* A command that is through by then needs no line. */
#define LINE_AFTER_MS 300
/* Plain lines: a phase that lasted so long is worth one, and then one so often. */
#define PLAIN_AFTER_MS 1000
#define PLAIN_EVERY_MS 10000
#define JSON_EVERY_MS  1000
/* The rate is that of so many ticks. */
#define SAMPLES 30

struct progress {
    struct progress_options options;
    uv_timer_t timer;
    uv_signal_t signal;
    int open_handles;
    uint64_t started;
    const char *phase;       /* that was at hand at the last tick */
    uint64_t phase_since;
    uint64_t phase_bytes;    /* that had crossed when it began */
    uint64_t told_since;     /* when the last plain or JSON line was written */
    const char *told_phase;  /* and of which phase; NULL: none yet */
    const char *hidden;      /* no line while this is the phase */
    uint64_t samples[SAMPLES]; /* bytes that had crossed at each of the last ticks */
    unsigned ticks;
};

int progress_read_mode(const char *text, enum progress_mode *mode, struct error *error)
{
    static const char *const names[] = {"auto", "line", "plain", "json", "none"};

    *mode = PROGRESS_AUTO;
    for (int i = 0; text != NULL && i < 5; i++) {
        if (strcmp(text, names[i]) == 0) {
            *mode = (enum progress_mode)i;
            return 0;
        }
    }
    return text == NULL ? 0 : error_set(error, ERR_USAGE, "--progress: \"%s\" is none of auto, line, plain, json and none", text);
}

/* What auto means here. */
static enum progress_mode choose_mode(const struct progress_options *options)
{
    const char *terminal = getenv("TERM");

    if (options->mode != PROGRESS_AUTO)
        return options->mode;
    if (options->quiet)
        return PROGRESS_NONE;
    if (isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0)
        return PROGRESS_LINE;
    return options->is_asked || options->verbose > 0 ? PROGRESS_PLAIN : PROGRESS_NONE;
}

static unsigned columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* Look, and note what only the course of time tells. */
static void look(struct progress *progress, struct progress_view *view, uint64_t now)
{
    memset(view, 0, sizeof(*view));
    progress->options.look(progress->options.user, view);
    if (progress->phase == NULL || strcmp(progress->phase, view->phase) != 0) {
        progress->phase = view->phase;
        progress->phase_since = now;
        progress->phase_bytes = view->sent + view->received;
    }
    view->moved = view->sent + view->received;
    view->moved -= progress->phase_bytes < view->moved ? progress->phase_bytes : view->moved;
    view->phase_ms = now - progress->phase_since;
    view->total_ms = now - progress->started;
}

/* Take a sample; the rate is what came since the oldest. */
static uint64_t measure(struct progress *progress, uint64_t bytes)
{
    unsigned known = progress->ticks < SAMPLES ? progress->ticks : SAMPLES;
    uint64_t before = known > 0 ? progress->samples[(progress->ticks - known) % SAMPLES] : bytes;

    progress->samples[progress->ticks++ % SAMPLES] = bytes;
    return known > 0 && bytes > before ? (bytes - before) * 1000 / (known * TICK_MS) : 0;
}

static void tell_line(struct progress *progress, const struct progress_view *view)
{
    char text[400];

    if (progress->hidden != NULL && strcmp(progress->hidden, view->phase) == 0)
        return;
    progress->hidden = NULL;
    if (view->total_ms < LINE_AFTER_MS)
        return;
    progress_render_text(view, columns(), text, sizeof(text));
    status_line_set(text);
}

static void tell_plain(struct progress *progress, const struct progress_view *view, uint64_t now)
{
    int is_new = progress->told_phase == NULL || strcmp(progress->told_phase, view->phase) != 0;
    char text[400];

    if (is_new ? view->phase_ms < PLAIN_AFTER_MS : now - progress->told_since < PLAIN_EVERY_MS)
        return;
    progress->told_phase = view->phase;
    progress->told_since = now;
    progress_render_text(view, sizeof(text), text, sizeof(text));
    log_line(LOG_INFO, "%s", text);
}

static void write_json(const struct progress_view *view)
{
    char text[1024];

    progress_render_json(view, text, sizeof(text));
    status_line_write(text, strlen(text));
}

static void tell_json(struct progress *progress, const struct progress_view *view, uint64_t now)
{
    int is_new = progress->told_phase == NULL || strcmp(progress->told_phase, view->phase) != 0;

    if (!is_new && now - progress->told_since < JSON_EVERY_MS)
        return;
    progress->told_phase = view->phase;
    progress->told_since = now;
    write_json(view);
}

static void tell(struct progress *progress)
{
    uint64_t now = clock_monotonic_ms();
    struct progress_view view;

    look(progress, &view, now);
    view.rate = measure(progress, view.sent + view.received);
    switch (progress->options.mode) {
    case PROGRESS_LINE:
        tell_line(progress, &view);
        break;
    case PROGRESS_PLAIN:
        tell_plain(progress, &view, now);
        break;
    case PROGRESS_JSON:
        tell_json(progress, &view, now);
        break;
    default:
        break;
    }
}

static void on_tick(uv_timer_t *timer)
{
    tell(timer->data);
}

/* Asked by a person: told in any mode, with --quiet too. */
static void on_signal(uv_signal_t *handle, int signal)
{
    struct progress *progress = handle->data;
    struct progress_view view;
    char text[400];

    (void)signal;
    look(progress, &view, clock_monotonic_ms());
    if (progress->options.mode == PROGRESS_JSON) {
        write_json(&view);
        return;
    }
    progress_render_text(&view, sizeof(text), text, sizeof(text));
    log_line(LOG_WARNING, "%s", text);
}

int progress_start(struct progress **progress, struct uv_loop_s *loop, const struct progress_options *options, struct error *error)
{
    struct progress *new = calloc(1, sizeof(*new));

    *progress = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->options = *options;
    new->options.mode = choose_mode(options);
    new->started = clock_monotonic_ms();
    uv_timer_init(loop, &new->timer);
    uv_signal_init(loop, &new->signal);
    new->open_handles = 2;
    new->timer.data = new;
    new->signal.data = new;
    uv_timer_start(&new->timer, on_tick, new->options.mode == PROGRESS_JSON ? 0 : TICK_MS, TICK_MS);
    uv_signal_start(&new->signal, on_signal, SIGUSR1);
    uv_unref((uv_handle_t *)&new->timer);
    uv_unref((uv_handle_t *)&new->signal);
    *progress = new;
    return 0;
}

void progress_hide(struct progress *progress)
{
    struct progress_view view;

    if (progress == NULL)
        return;
    look(progress, &view, clock_monotonic_ms());
    progress->hidden = view.phase;
    status_line_set(NULL);
}

static void on_closed(uv_handle_t *handle)
{
    struct progress *progress = handle->data;

    if (--progress->open_handles == 0)
        free(progress);
}

void progress_end(struct progress *progress, int is_well)
{
    struct progress_view view;

    if (progress == NULL)
        return;
    status_line_set(NULL);
    if (progress->options.mode == PROGRESS_JSON) {
        look(progress, &view, clock_monotonic_ms());
        view.phase = is_well ? "done" : "failed";
        write_json(&view);
    }
    uv_close((uv_handle_t *)&progress->timer, on_closed);
    uv_close((uv_handle_t *)&progress->signal, on_closed);
}
