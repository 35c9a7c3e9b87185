#include "protocol/sync/meter.h"

#include <string.h>

#include "protocol/base/clock.h"

void meter_init(struct meter *meter)
{
    memset(meter, 0, sizeof(*meter));
    atomic_store(&meter->since, clock_monotonic_ms());
}

void meter_enter(struct meter *meter, enum meter_phase phase)
{
    uint64_t now;
    int former;

    if (meter == NULL || atomic_load(&meter->phase) == (int)phase)
        return;
    now = clock_monotonic_ms();
    former = atomic_exchange(&meter->phase, (int)phase);
    atomic_fetch_add(&meter->spent[former], now - atomic_load(&meter->since));
    atomic_store(&meter->since, now);
    if (phase == METER_CONNECTING || phase == METER_SCANNING)
        meter_begin_pages(meter, 0);
}

void meter_begin_pages(struct meter *meter, uint32_t total)
{
    if (meter == NULL)
        return;
    atomic_store(&meter->pages, 0);
    atomic_store(&meter->pages_total, total);
    atomic_store(&meter->bytes_total, 0);
}

void meter_add_page(struct meter *meter)
{
    if (meter != NULL)
        atomic_fetch_add_explicit(&meter->pages, 1, memory_order_relaxed);
}

void meter_set_bytes_total(struct meter *meter, uint64_t bytes)
{
    if (meter != NULL)
        atomic_store(&meter->bytes_total, bytes);
}

void meter_set_place(struct meter *meter, uint32_t place)
{
    if (meter != NULL)
        atomic_store(&meter->place, place);
}

uint64_t meter_spent(const struct meter *meter, enum meter_phase phase)
{
    uint64_t spent = atomic_load(&meter->spent[phase]);

    if (atomic_load(&meter->phase) == (int)phase)
        spent += clock_monotonic_ms() - atomic_load(&meter->since);
    return spent;
}

const char *meter_phase_name(enum meter_phase phase)
{
    static const char *const names[METER_PHASES] = {"connecting", "scanning",   "finding", "moving",
                                                    "applying",   "confirming", "keeping"};

    return names[phase];
}
