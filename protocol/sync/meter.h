/*
 * meter: how far a sync has come, counted by the worker thread that does it and read by the loop at any time.
 *
 * Counting is a relaxed atomic addition a page, which the page's hash outweighs a hundred times. All functions take NULL for a meter,
 * and then do nothing: an origin has none.
 */
#ifndef LOCKSTEP_SYNC_METER_H
#define LOCKSTEP_SYNC_METER_H

#include <stdatomic.h>
#include <stdint.h>

/* What a sync does, one after the other; it may start over. */
enum meter_phase {
    METER_CONNECTING, /* waiting for the other side's greeting: the link, and its scan */
    METER_SCANNING,   /* hashing the copy here */
    METER_FINDING,    /* finding the pages that differ */
    METER_MOVING,     /* pages cross the link */
    METER_APPLYING,   /* writing and proving here */
    METER_CONFIRMING, /* all is sent; the other side writes and proves */
    METER_KEEPING,    /* making the base for the next push */
    METER_PHASES
};

struct meter {
    _Atomic int phase;                     /* enum meter_phase */
    _Atomic uint64_t since;                /* clock_monotonic_ms at its begin */
    _Atomic uint64_t spent[METER_PHASES];  /* milliseconds, the phase at hand not included */
    _Atomic uint32_t pages;                /* that crossed so far, in this attempt */
    _Atomic uint32_t pages_total;          /* that will; 0: not known yet */
    _Atomic uint64_t bytes_total;          /* of the page stream, where it is made already; 0: not known */
    _Atomic uint32_t place;                /* in the origin's queue; 0: none is waited in */
};

/* The first phase begins now. */
void meter_init(struct meter *meter);

/* Another phase begins; harmless for the one at hand. */
void meter_enter(struct meter *meter, enum meter_phase phase);

/* Pages are about to cross: as many as total says, or an unknown number, 0. */
void meter_begin_pages(struct meter *meter, uint32_t total);

void meter_add_page(struct meter *meter);
void meter_set_bytes_total(struct meter *meter, uint64_t bytes);
void meter_set_place(struct meter *meter, uint32_t place);

/* Milliseconds spent in a phase so far, the one at hand up to now. */
uint64_t meter_spent(const struct meter *meter, enum meter_phase phase);

/* "connecting", "scanning" and so on: what a person and a program are told. */
const char *meter_phase_name(enum meter_phase phase);

#endif
