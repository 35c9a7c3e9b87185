/*
 * link: a two-way stream of bytes to the other side, on a libuv loop, whatever carries it.
 *
 * A link is made by one of link_stdio.h, link_process.h, link_ssh.h (and link_tls.h), and used
 * through the functions here. It reports through four callbacks, never from inside a call of its
 * user's. A user may call any function here from inside a callback.
 *
 *   opening --on_open--> open --link_shutdown--> no more writes --on_close--> closed
 *
 * on_close comes exactly once, last, however the link ends; only then is the memory gone, and the
 * link with it. Nothing is called after it.
 */
#ifndef LOCKSTEP_LINK_LINK_H
#define LOCKSTEP_LINK_LINK_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct link;

struct link_callbacks {
    /* Bytes can be written now. They may be written earlier, too: then they wait. */
    void (*on_open)(void *user);
    /* Bytes came; good during the call only. */
    void (*on_bytes)(void *user, const uint8_t *data, size_t len);
    /* What waited to be written fell to half of link_queue_max or less, after having been above.
     */
    void (*on_drain)(void *user);
    /* The far side wrote to its stderr: a whole line, sanitized (log_sanitize), without its
     * newline. */
    void (*on_far_line)(void *user, const char *line);
    /*
     * The link is gone. error->code is ERR_NONE after an orderly end of the stream from the far
     * side or link_close; else what broke it (ERR_NO_LINK, ERR_AUTH, ERR_NO_PROGRAM, ERR_TIMEOUT),
     * with a text that says what to do. Bytes that came before were all delivered.
     */
    void (*on_close)(void *user, const struct error *error);
};

/* Bytes that crossed the link above its own encryption and framing. */
struct link_traffic {
    uint64_t sent;     /* given to link_write and accepted by the carrier */
    uint64_t received; /* delivered by on_bytes */
};

/* Send len bytes at data, which must come from malloc; the link frees them, whatever happens. */
void link_write_take(struct link *link, uint8_t *data, size_t len);

/* Bytes that were given to link_write_take and not yet handed to the carrier. */
size_t link_queued(const struct link *link);

/* So many bytes may wait before whoever writes is to make no more: LIMIT_LINK_QUEUE, or what the kind of link
 * has set. */
size_t link_queue_max(const struct link *link);

/* Stop delivering bytes, and go on: back-pressure. The far side's own sending stalls after what the
 * carrier buffers. */
void link_pause(struct link *link);
void link_resume(struct link *link);

/* Say that no more will be written, once what waits is written. Reading goes on. */
void link_shutdown(struct link *link);

/* End the link now; what waits to be written is dropped. on_close follows, later. Harmless when
 * repeated. */
void link_close(struct link *link);

struct link_traffic link_traffic(const struct link *link);

/* "ssh://app@origin:22", "a local process" and so on: for messages. Lives as long as the link. */
const char *link_name(const struct link *link);

/* ---- for those who implement a link ---- */

/* What a kind of link does for the functions above. self is the implementation's own struct. */
struct link_methods {
    void (*write_take)(struct link *self, uint8_t *data, size_t len);
    void (*pause)(struct link *self);
    void (*resume)(struct link *self);
    void (*shutdown)(struct link *self);
    void (*close)(struct link *self);
};

/* The first member of every implementation's struct. */
struct link {
    const struct link_methods *methods;
    struct link_callbacks callbacks;
    void *user; /* given to every callback */
    struct link_traffic traffic;
    size_t queued; /* bytes taken and not yet handed to the carrier */
    size_t queue_max; /* 0: LIMIT_LINK_QUEUE */
    char name[256];
};

#endif
