#include "replica/run_view.h"

#include <stdio.h>
#include <string.h>

#include "lockstore/lock.h"
#include "replica/progress_render.h"

void run_view_waiting(const char *local, struct progress_view *view)
{
    view->phase = "waiting";
    snprintf(view->doing, sizeof(view->doing), "waiting for another run on %.120s", local);
}

void run_view_locking(const char *url, const struct lock_holder *holder, uint64_t seen_ms, struct progress_view *view)
{
    char age[32];
    int used;

    view->phase = "locking";
    if (holder == NULL) {
        snprintf(view->doing, sizeof(view->doing), "acquiring the lock %.120s", url);
        return;
    }
    used = snprintf(view->doing, sizeof(view->doing), "waiting for the lock, held by %.100s", holder->instance);
    if (holder->age_ms >= 0)
        snprintf(view->doing + used, sizeof(view->doing) - (size_t)used, " (since %s ago at least)",
                 progress_render_time((uint64_t)holder->age_ms + seen_ms, age));
}

void run_view_in_line(uint32_t place, struct progress_view *view)
{
    view->phase = "locking";
    snprintf(view->doing, sizeof(view->doing), "waiting, place %u in the origin's line for the lock", place);
}

void run_view_pause(const char *doing, struct progress_view *view)
{
    view->phase = "pausing";
    snprintf(view->doing, sizeof(view->doing), "%s: the link broke, another attempt follows", doing);
}

void run_view_job(const char *command, struct progress_view *view)
{
    view->phase = "job";
    snprintf(view->doing, sizeof(view->doing), "the job runs: %.120s", command);
}

void run_view_releasing(const char *url, struct progress_view *view)
{
    view->phase = "releasing";
    snprintf(view->doing, sizeof(view->doing), "releasing the lock %.120s", url);
}
