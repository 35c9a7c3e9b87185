/* notify: tells systemd how this process is, sd_notify(3), without its library. */
#ifndef LOCKSTEP_ORIGIN_NOTIFY_H
#define LOCKSTEP_ORIGIN_NOTIFY_H

/* Send state ("READY=1") to NOTIFY_SOCKET. Where there is none, or it does not listen, nothing happens. */
void notify_systemd(const char *state);

#endif
