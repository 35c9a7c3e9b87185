/*
 * listeners: the sockets that a daemon listens at: TCP, Unix sockets, and those that systemd hands over (LISTEN_FDS, sd_listen_fds(3)).
 *
 * One that is not drained waits in the kernel: libuv asks for no further connection before the last one was taken.
 */
#ifndef LOCKSTEP_ORIGIN_LISTENERS_H
#define LOCKSTEP_ORIGIN_LISTENERS_H

struct error;
struct listeners;
struct uv_loop_s;
struct uv_stream_s;

#define LISTENERS_MAX 16

/* on_connection: one waits at listener, to be taken now, or deferred by listeners_defer. Nothing is open yet. ERR_INTERNAL. */
int listeners_new(struct listeners **listeners, struct uv_loop_s *loop, void (*on_connection)(struct uv_stream_s *listener, void *user),
                  void *user, struct error *error);

/*
 * Listen at "HOST:PORT", "[IPv6]:PORT" (an address, no name; [::] takes IPv4, too), or "unix:PATH", whose file may be left from before: a socket that
 * nobody listens at is replaced. ERR_USAGE, ERR_IO.
 */
int listeners_add(struct listeners *listeners, const char *address, struct error *error);

/* Take over the sockets that systemd has opened for this process; *count tells how many. ERR_USAGE for a socket of another kind. */
int listeners_add_inherited(struct listeners *listeners, unsigned *count, struct error *error);

/* From on_connection: the connection stays where it is for now. */
void listeners_defer(struct listeners *listeners, struct uv_stream_s *listener);

/* Have on_connection called again for connections that were deferred. */
void listeners_retry(struct listeners *listeners);

/* Whether connections can come to each of them. ERR_IO naming one to which they cannot. */
int listeners_check(const struct listeners *listeners, struct error *error);

/* Stop listening, and free; on_closed comes later. */
void listeners_close(struct listeners *listeners, void (*on_closed)(void *user), void *user);

#endif
