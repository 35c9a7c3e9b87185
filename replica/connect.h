/*
 * connect: makes the link to an origin from what the user wrote: a local child process, SSH of our own, an outside ssh, or TLS.
 */
#ifndef LOCKSTEP_REPLICA_CONNECT_H
#define LOCKSTEP_REPLICA_CONNECT_H

#include <stdint.h>

struct endpoint;
struct error;
struct link;
struct link_callbacks;
struct uv_loop_s;

#define CONNECT_IDENTITIES_MAX 8

struct connect_options {
    const char *exe;         /* --exe: the far program; NULL: lockstep-origin */
    const char *ssh_program; /* --ssh: an outside ssh; NULL: our own */
    int port;                /* --port; 0: what the endpoint or the configuration says */
    const char *identities[CONNECT_IDENTITIES_MAX + 1]; /* --identity; ends with NULL */
    const char *ssh_config;  /* --ssh-config: instead of the user's and the system's; NULL: those */
    int accept_new_host_key; /* --accept-new-host-key */
    const char *ca;          /* --ca: who may have signed the daemon's certificate; NULL: the system's */
    const char *pin;         /* --pin */
    const char *cert;        /* --cert, --key: who we are to a daemon */
    const char *key;
    const char *token_file;  /* --token-file, or LOCKSTEP_TOKEN_FILE: the same, by a token; NULL: none */
    const char *instance;    /* told to a daemon, for its log */
    uint32_t connect_timeout_ms;
    uint32_t retry_for_ms;        /* how long an origin that says TRY_LATER, and then is gone, is asked again */
    uint32_t database_timeout_ms; /* --timeout, told to the far program */
    int verbose;
};

/*
 * Start to connect to the program beside the database that endpoint names. *link frees itself after its on_close.
 */
int connect_start(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options,
                  const struct link_callbacks *callbacks, void *user, struct link **link, struct error *error);

/* The same for a link that is a place in a daemon's line of runs, after waited_ms in it. endpoint: one of kind ENDPOINT_TLS. */
int connect_to_line(struct uv_loop_s *loop, const struct endpoint *endpoint, const struct connect_options *options, uint64_t waited_ms,
                    const struct link_callbacks *callbacks, void *user, struct link **link, struct error *error);

#endif
