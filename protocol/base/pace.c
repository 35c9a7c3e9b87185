#include "protocol/base/pace.h"

#define SECOND_US 1000000.0

void pace_set(struct pace *pace, uint64_t rate)
{
    if (rate != pace->rate)
        pace->due_us = 0;
    pace->rate = rate;
}

void pace_spend(struct pace *pace, uint64_t bytes, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000;

    if (pace->rate == 0)
        return;
    if (pace->due_us < now_us)
        pace->due_us = now_us;
    pace->due_us += (uint64_t)((double)bytes * SECOND_US / (double)pace->rate);
}

uint64_t pace_wait_ms(const struct pace *pace, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000;

    return pace->rate == 0 || pace->due_us <= now_us ? 0 : (pace->due_us - now_us + 999) / 1000;
}
