/*
 * ssh_channel: a program at the far end of an SSH session, its stdin and stdout as a stream of
 * bytes.
 *
 *   opening -> starting -> streaming -> (far end of stream) -> ending -> ended
 *      ^---------- not found, once more ---------------------------|
 *
 * A program that the far shell does not find (exit status 126 or 127 before any byte) is tried once
 * more on a new channel of the same session, with the places added to PATH where such programs are
 * put. What was written to the first one is kept for that until the far side's first byte, up to
 * LIMIT_LINK_QUEUE bytes.
 */
#ifndef LOCKSTEP_LINK_SSH_CHANNEL_H
#define LOCKSTEP_LINK_SSH_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

struct _LIBSSH2_CHANNEL;
struct _LIBSSH2_SESSION;
struct error;
struct ssh_channel;
struct ssh_chunk;

/* What ssh_channel_tick returns while there is something to wait for. */
#define SSH_CHANNEL_AGAIN (-1)

struct ssh_channel_callbacks {
    void (*on_open)(void *user);
    void (*on_bytes)(void *user, const uint8_t *data, size_t len);
    void (*on_err_bytes)(void *user, const char *data, size_t len); /* of the far stderr */
    void (*on_taken)(void *user);                                   /* queued and sent changed */
};

enum ssh_channel_state {
    SSH_CHANNEL_OPENING,
    SSH_CHANNEL_STARTING,
    SSH_CHANNEL_STREAMING,
    SSH_CHANNEL_ENDING,   /* the far program closed its stdout; wait for its exit status */
    SSH_CHANNEL_RETRYING, /* the first channel is being freed, a second will be opened */
    SSH_CHANNEL_ENDED,
};

struct ssh_channel {
    struct _LIBSSH2_SESSION *session;
    struct _LIBSSH2_CHANNEL *channel; /* NULL while there is none */
    const struct ssh_channel_callbacks *callbacks;
    void *user;
    enum ssh_channel_state state;
    char *command;  /* owned */
    int is_paused;  /* bytes are left where they are */
    int is_shut;    /* no more will be written */
    int is_stopped; /* the user wants no more callbacks: checked after each */
    int has_sent_eof;
    int has_opened; /* on_open was called */
    int has_retried;
    int has_received;        /* a byte came: nothing needs to be kept any more */
    int is_write_over;       /* the far program takes no more */
    size_t queued;           /* bytes in queue that libssh2 did not take yet */
    uint64_t sent;           /* bytes that it took, for the channel that counts */
    int is_keeping;          /* what is written goes to kept */
    int has_more;            /* there may be more to read at once */
    struct ssh_chunk *queue; /* to be written, oldest first */
    struct ssh_chunk **tail; /* where the next one is linked in */
    struct ssh_chunk *kept;  /* written, oldest first */
    struct ssh_chunk **kept_tail;
    size_t kept_len;
    int exit_status;      /* after the end */
    char exit_signal[32]; /* "TERM", where a signal ended it; else "" */
    uint8_t chunk[65536]; /* what was read last */
};

/* For a session that is logged in. command is copied. ERR_INTERNAL when memory ran out. */
int ssh_channel_init(struct ssh_channel *self, struct _LIBSSH2_SESSION *session,
                     const char *command, const struct ssh_channel_callbacks *callbacks, void *user,
                     struct error *error);

/* Free what is queued, without callbacks. The channel itself goes with its session. */
void ssh_channel_release(struct ssh_channel *self);

/* Write len bytes at data, from malloc, which are freed. May be called before the channel is open.
 */
void ssh_channel_write_take(struct ssh_channel *self, uint8_t *data, size_t len);

/*
 * Go on. 0: the far program ended, exit_status and exit_signal say how. SSH_CHANNEL_AGAIN: call
 * again when the socket can be read or written, or at once where has_more is set. ERR_NO_LINK where
 * the session broke or refuses.
 */
int ssh_channel_tick(struct ssh_channel *self, struct error *error);

/* Whether bytes wait to be written, or an end of stream. */
int ssh_channel_wants_write(const struct ssh_channel *self);

#endif
