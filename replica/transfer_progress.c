#include "replica/transfer_progress.h"

#include <stdio.h>

#include "replica/progress_render.h"

void transfer_progress(const struct transfer *transfer, enum transfer_kind kind, struct progress_view *view)
{
    static const char *const verbs[] = {[TRANSFER_PULL] = "pulling",
                                        [TRANSFER_PUSH] = "pushing",
                                        [TRANSFER_STATUS] = "comparing",
                                        [TRANSFER_VERIFY] = "verifying",
                                        [TRANSFER_HISTORY] = "asking for the versions",
                                        [TRANSFER_DIFF] = "comparing"};
    static const char *const phases[METER_PHASES] = {[METER_CONNECTING] = ": waiting for the origin",
                                                     [METER_SCANNING] = ": reading the local copy",
                                                     [METER_FINDING] = ": finding what differs",
                                                     [METER_MOVING] = "",
                                                     [METER_APPLYING] = ": writing and proving",
                                                     [METER_CONFIRMING] = ": waiting for the origin to write and prove",
                                                     [METER_KEEPING] = ": keeping the base for the next push"};
    struct transfer_view now;
    int phase;

    transfer_look(transfer, &now);
    phase = now.meter->phase;
    view->phase = meter_phase_name(phase);
    view->pages = now.meter->pages;
    view->pages_total = now.meter->pages_total;
    view->bytes_total = now.meter->bytes_total;
    view->place = now.meter->place;
    view->sent = now.stats.sent;
    view->received = now.stats.received;
    snprintf(view->doing, sizeof(view->doing), "%s%s", verbs[kind],
             kind == TRANSFER_VERIFY && phase == METER_CONFIRMING ? ": waiting for the origin to read" : phases[phase]);
}
