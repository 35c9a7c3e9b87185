/*
 * guest: one connection of a daemon, from the socket that took it to its last byte: TLS, the time that a stranger has to say
 * who he is, the conversation, the end.
 */
#ifndef LOCKSTEP_ORIGIN_GUEST_H
#define LOCKSTEP_ORIGIN_GUEST_H

#include <stdint.h>

struct error;
struct guest;
struct loop_turn;
struct tls_context;
struct uv_stream_s;
struct visit_house;

struct guest_options {
    const struct visit_house *house;
    struct tls_context *context;   /* of the server, as it is now */
    struct loop_turn *turn;        /* shared by all guests */
    uint64_t handshake_timeout_ms; /* from the socket to a good OPEN, whatever comes in between */
    uint64_t idle_timeout_ms;      /* silence that ends the conversation afterwards */
    void (*on_gone)(struct guest *guest, void *user); /* last; the guest is freed behind it */
    void *user;
};

/* Members that a list of guests needs; the list is the user's. */
struct guest_links {
    struct guest *previous;
    struct guest *next;
};

/* Take the connection that waits at listener. ERR_INTERNAL: memory ran out, and it still waits. */
int guest_new(struct guest **guest, struct uv_stream_s *listener, const struct guest_options *options, struct error *error);

struct guest_links *guest_links(struct guest *guest);

/* End it; a commit at hand is finished first, and the replica is told why it ends, if it has shown who it is. */
void guest_stop(struct guest *guest, const struct error *error);

#endif
