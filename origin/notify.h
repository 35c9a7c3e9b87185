/* notify: tells systemd how this process is, sd_notify(3), without its library. */
#ifndef LOCKSTEP_ORIGIN_NOTIFY_H
#define LOCKSTEP_ORIGIN_NOTIFY_H

#include <stdint.h>

/* Send state ("READY=1") to NOTIFY_SOCKET. Where there is none, or it does not listen, nothing happens. */
void notify_systemd(const char *state);

/* RELOADING=1, with the time that systemd wants beside it; READY=1 is to follow. */
void notify_systemd_of_reload(void);

/*
 * Within how many milliseconds systemd wants to hear WATCHDOG=1 (sd_watchdog_enabled(3): WATCHDOG_USEC, and WATCHDOG_PID if that
 * is set); 0: it does not.
 */
uint64_t notify_watchdog_ms(void);

#endif
