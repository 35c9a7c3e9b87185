/*
 * party: one side of a conversation as a synchronous machine: a message goes in, frames come out.
 *
 * A party does no input or output on the link: conversation.h drives it over one, and a test can drive two of
 * them against each other in memory. Both calls may take long (they hash, read and write the database) and
 * are made on a worker thread, one at a time.
 */
#ifndef LOCKSTEP_SYNC_PARTY_H
#define LOCKSTEP_SYNC_PARTY_H

#include <stdint.h>

struct buffer;
struct error;
struct message;
struct party;

enum party_status {
    PARTY_SPEAKS,  /* wants speak to be called, as soon as there is room for what it says */
    PARTY_LISTENS, /* waits for a message */
    PARTY_WAITS,   /* waits for something other than the peer: hears nothing until conversation_wake makes it speak */
    PARTY_LINGERS, /* the same, and listens meanwhile, to a peer that lingers as well: both say that they are there */
    PARTY_DONE     /* all is said and heard; the link can end */
};

struct party_methods {
    /*
     * Take a message; its pointers are good during the call only. An answer is appended to out, whole frames. On failure
     * the conversation is over; the driver tells the peer.
     */
    int (*hear)(struct party *party, const struct message *message, struct buffer *out, struct error *error);
    /* Append the next thing to say to out: at most about LIMIT_CHUNK bytes, possibly none. Called while the status is PARTY_SPEAKS. */
    int (*speak)(struct party *party, struct buffer *out, struct error *error);
    /* Called once after PARTY_DONE, when the last words are on their way: what is left to do that the peer need not wait for. May be NULL. */
    void (*clear_up)(struct party *party);
};

/* The first member of every party. */
struct party {
    const struct party_methods *methods;
    enum party_status status;
    int is_light; /* its calls take no time worth telling: they are made on the loop, however busy the workers are */
    int may_end; /* while it listens: the peer has all that it asked for, and may end the stream here */
    uint64_t send_rate; /* bytes per second that the peer, or the user, wants at most; 0: as fast as can be */
    int is_mute; /* nothing may be told to the peer yet, not even why it failed: who it is is not known */
};

#endif
