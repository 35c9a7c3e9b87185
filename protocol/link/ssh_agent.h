/*
 * ssh_agent: a client of ssh-agent (draft-ietf-sshm-ssh-agent), on the libuv loop. libssh2 has one
 * of its own, but that one blocks, without a bound, while the agent asks its user or waits for a
 * token to be touched.
 */
#ifndef LOCKSTEP_LINK_SSH_AGENT_H
#define LOCKSTEP_LINK_SSH_AGENT_H

#include <stdint.h>
#include <uv.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

struct ssh_agent;

struct ssh_agent_key {
    uint8_t *blob; /* the public key; owned */
    size_t blob_len;
    char type[32];    /* "ssh-ed25519" */
    char comment[64]; /* sanitized, cut */
};

/* A request ended: error->code is ERR_NONE, or says why the agent is of no use. The results are in
 * the struct. */
typedef void ssh_agent_done_cb(struct ssh_agent *agent, const struct error *error);
typedef void ssh_agent_closed_cb(struct ssh_agent *agent);

/* Embedded in its user's struct, whose memory must stay until ssh_agent_close has called back. */
struct ssh_agent {
    void *user;
    uv_pipe_t pipe;
    uv_timer_t timer; /* of the request */
    uv_connect_t connect;
    uv_write_t write;
    struct buffer out; /* the request */
    struct buffer in;  /* the answer so far, with its length in front */
    int is_connected;
    int is_busy;                                     /* a request waits for its answer */
    int is_writing;                                  /* and its last bytes are not written yet */
    int is_dead;                                     /* no request will succeed any more */
    int wants_keys;                                  /* it is ssh_agent_list, else ssh_agent_sign */
    int handles;                                     /* to be closed */
    struct ssh_agent_key keys[LIMIT_SSH_AGENT_KEYS]; /* after ssh_agent_list */
    size_t key_count;
    uint8_t *signature; /* after ssh_agent_sign: without the algorithm's name; owned */
    size_t signature_len;
    uint8_t chunk[4096]; /* what was read last */
    ssh_agent_done_cb *on_done;
    ssh_agent_closed_cb *on_closed;
};

/* Prepare for the agent at the socket path; nothing is sent yet. */
void ssh_agent_init(struct ssh_agent *agent, uv_loop_t *loop, const char *path,
                    ssh_agent_done_cb *on_done, void *user);

/* Ask for the keys. One request at a time; on_done comes once, later. */
void ssh_agent_list(struct ssh_agent *agent);

/* Ask to sign data_len bytes by the key; flags: of the agent's protocol, 2 for RSA with SHA-256, 4
 * with SHA-512. */
void ssh_agent_sign(struct ssh_agent *agent, const struct ssh_agent_key *key, const uint8_t *data,
                    size_t data_len, uint32_t flags);

/* Close; on_closed comes later, once. */
void ssh_agent_close(struct ssh_agent *agent, ssh_agent_closed_cb *on_closed);

#endif
