/*
 * limits: every maximum that Lockstep puts on what comes from outside, in one place.
 * Sizes are bytes unless the name says otherwise.
 */
#ifndef LOCKSTEP_BASE_LIMITS_H
#define LOCKSTEP_BASE_LIMITS_H

/* SQLite's own bounds: https://www.sqlite.org/limits.html and fileformat2.html, section 1.3. */
#define LIMIT_PAGE_SIZE_MIN 512u
#define LIMIT_PAGE_SIZE_MAX 65536u
#define LIMIT_PAGE_COUNT    4294967294u

/* A frame on the wire, without its 4-byte length. The largest that is sent carries 64 KiB of pages. */
#define LIMIT_FRAME 262144u
/* The same for one who has not shown who he is: OPEN, with its longest name and token. */
#define LIMIT_FRAME_STRANGER 8192u

/* Bytes that may wait in a frame reader beside a whole frame: what one read of a link can bring, with room. */
#define LIMIT_READ_AHEAD 1048576u

/* Elements of a message: the type, the fields, and fields of later versions. */
#define LIMIT_MESSAGE_ELEMENTS 64u

/* Bytes of payload in one PAGES, CELLS or HASHES message. */
#define LIMIT_CHUNK 65536u

/* Versions in one answer to HISTORY, and that an origin remembers. */
#define LIMIT_HISTORY 1000u

/* Bytes that wait to be written to a link before the sender stops making more. */
#define LIMIT_LINK_QUEUE 1048576u
/* The same for one of the many links of a daemon, where it is what a slow reader costs. The kernel's own buffer is beside it. */
#define LIMIT_GUEST_QUEUE 262144u

/* One line of the far side's stderr; what is longer is cut. */
#define LIMIT_FAR_LINE 1024u

/* What a started program gets to end by itself, then after SIGTERM, before SIGKILL. Milliseconds. */
#define LIMIT_PROCESS_GRACE_MS 2000u
/* And after it has said all that it had to say. */
#define LIMIT_PROCESS_LAST_WORK_MS 60000u

/* Text that comes with an ERROR message, and any name or path in a message. */
#define LIMIT_TEXT 1000u
#define LIMIT_PATH 4096u

/* zstd's window, as a power of two: the decoder refuses a stream that asks for more. 8 MiB. */
#define LIMIT_ZSTD_WINDOW_LOG 23

/* The records of some pages in a page stream, before compression. Writers end a block at a quarter of it. */
#define LIMIT_PAGE_BLOCK 1048576u

/* ssh_config and known_hosts files, lines and names in them. OpenSSH's own depth of Include is 16. */
#define LIMIT_SSH_FILE          4194304u
#define LIMIT_SSH_INCLUDE_DEPTH 16
#define LIMIT_SSH_FILES         32
#define LIMIT_SSH_KEY_FILE      65536u
#define LIMIT_SSH_AGENT_MESSAGE 262144u
#define LIMIT_SSH_AGENT_KEYS    64
#define LIMIT_SSH_PASSPHRASE    1024u

/* What the far side may send over SSH before it is read: at 100 ms there and back, 40 MB/s. */
#define LIMIT_SSH_WINDOW 4194304u

/* What one sync may spool beside the database. The disk ends sooner; this ends a peer that never does. 1 TiB. */
#define LIMIT_SPOOL (1ull << 40)

/* What one pull may keep of the page-version log, unpacked, in a file beside it (history_packs.h). */
#define LIMIT_HISTORY_SPOOL (1ull << 30)

/* Databases that a daemon keeps a connection to, for as long as nobody needs it; three descriptors each. */
#define LIMIT_KEPT_DATABASES 256u

/* A lock record in the store. Real ones have a few hundred bytes. */
#define LIMIT_LOCK_RECORD 16384u

/* A fencing token: what every reader of JSON, jq and JavaScript among them, reads exactly. 2^53 - 1. */
#define LIMIT_LOCK_TOKEN 9007199254740991u

/* The time-out in a lock record, in seconds: ten years. A longer one is no time-out but a mistake. */
#define LIMIT_LOCK_TIMEOUT 315360000u

/* The lock store's HTTP: a request's path and headers together, one header that is kept of an answer,
 * an answer's body (an error document, or credentials), and the pause that Retry-After may ask for. */
#define LIMIT_HTTP_REQUEST        65536u
#define LIMIT_HTTP_HEADER         512u
#define LIMIT_HTTP_BODY           65536u
#define LIMIT_HTTP_RETRY_AFTER_MS 120000u

/* S3's own bounds on names: an object's key in bytes; old buckets may have names of up to 255. */
#define LIMIT_S3_KEY    1024u
#define LIMIT_S3_BUCKET 255u

/* The AWS tools' files, and one key or token from them. Session tokens of several KiB exist. */
#define LIMIT_AWS_FILE   1048576u
#define LIMIT_CREDENTIAL 16384u

/* A file of an origin daemon that says who may do what, and one name in it. */
#define LIMIT_ACCESS_FILE 1048576u

/* What an origin daemon's metrics tell of: names that come from outside. Those that were heard of least
 * recently are forgotten. */
#define LIMIT_METRICS_DATABASES 256u
#define LIMIT_METRICS_REPLICAS  1024u

/* Its HTTP: a request's line and headers, connections at a time, how long one may last, and answers. */
#define LIMIT_HTTP_SERVER_REQUEST     16384u
#define LIMIT_HTTP_SERVER_CONNECTIONS 32u
#define LIMIT_HTTP_SERVER_TIME_MS     5000u
#define LIMIT_METRICS_ANSWER          4194304u
#define LIMIT_HEALTH_ANSWER           8192u

#endif
