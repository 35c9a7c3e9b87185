/* clock: time that only goes forward, for deadlines, and the wall clock, for people. */
#ifndef LOCKSTEP_BASE_CLOCK_H
#define LOCKSTEP_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds since some fixed moment; goes on while the machine sleeps (CLOCK_BOOTTIME), never back. */
uint64_t clock_monotonic_ms(void);

/* Seconds since 1970, for stamps that people read; never compared with another machine's. */
int64_t clock_wall_seconds(void);

/* The same, in milliseconds. */
int64_t clock_wall_ms(void);

/* "2026-11-21T20:04:06Z" for the seconds since 1970. out_size at least 21; empty where it is less, or there is no such date. */
void clock_format_utc(int64_t seconds, char *out, size_t out_size);

#endif
