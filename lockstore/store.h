/*
 * store: one object in an object store that knows conditional writes, as the lease needs it.
 *
 * A store object stands for one key of one store (an S3 bucket, a local directory). It runs at most
 * one operation at a time, asynchronously on a libuv loop, and answers by one callback, never from
 * inside the call that started it. It does not retry: the lease decides that. It does bound the
 * time of each operation.
 */
#ifndef LOCKSTEP_LOCKSTORE_STORE_H
#define LOCKSTEP_LOCKSTORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/error.h"

struct store;
struct uv_loop_s;

#define STORE_ETAG_MAX 128

/* How an operation ended. */
enum store_outcome {
    STORE_OK,       /* done; for a get: the object is in the result */
    STORE_ABSENT,   /* there is no such object (404) */
    STORE_MISMATCH, /* the condition did not hold (412): nothing was written by this request */
    STORE_CONFLICT, /* another write was under way (409): nothing was written, try again */
    STORE_UNKNOWN,  /* no definite answer (5xx, reset, time-out): it may have been applied, even
                       later */
    STORE_REFUSED   /* it will not work like this: credentials, no bucket, conditions not honoured;
                       error says */
};

struct store_result {
    enum store_outcome outcome;
    char etag[STORE_ETAG_MAX]; /* of the object that was read or written, exactly as the store gave
                                  it */
    const uint8_t *body;       /* get: the object's bytes, good during the callback */
    size_t body_len;           /* at most LIMIT_LOCK_RECORD */
    int64_t age_ms; /* get: the store's Date minus Last-Modified, by the store's own clock; -1: not
                       told */
    uint32_t retry_after_ms; /* what the store asked for; 0 for nothing */
    struct error error;      /* for STORE_UNKNOWN and STORE_REFUSED: what happened, for a person */
};

typedef void store_callback(void *arg, const struct store_result *result);

enum store_condition {
    STORE_IF_ABSENT, /* If-None-Match: * */
    STORE_IF_MATCH   /* If-Match: etag */
};

/* What a kind of store does for the functions below. */
struct store_methods {
    void (*get)(struct store *self, store_callback *done, void *arg);
    void (*put)(struct store *self, enum store_condition condition, const char *etag,
                const uint8_t *body, size_t len, store_callback *done, void *arg);
    /* Delete the object, whatever it is. Only for the doctor's probes: a lock is never deleted. */
    void (*remove)(struct store *self, store_callback *done, void *arg);
    void (*close)(struct store *self, void (*closed)(void *arg), void *arg);
    /* Use no thread of libuv's pool from now on. NULL where none is ever used. */
    void (*stay_here)(struct store *self);
};

/* The first member of every implementation's struct. */
struct store {
    const struct store_methods *methods;
    char url[1024]; /* as given, without secrets: for messages */
};

/*
 * The store that a URL names: file:///path (store_file.h) or s3://bucket/key (store_s3.h).
 * ERR_USAGE for others.
 */
int store_open(struct store **store, struct uv_loop_s *loop, const char *url, struct error *error);

/* Read the object. */
void store_get(struct store *store, store_callback *done, void *arg);

/* Write the object if the condition holds. body and etag are copied. */
void store_put(struct store *store, enum store_condition condition, const char *etag,
               const uint8_t *body, size_t len, store_callback *done, void *arg);

/*
 * From now on do all work on the thread that runs the loop, waiting where that must be. For a loop that itself runs on a thread of
 * libuv's pool, which might else wait for a thread that never gets free.
 */
void store_stay_here(struct store *store);

/* Abandon what is under way (its callback does not come any more), free the store, then call
 * closed. */
void store_close(struct store *store, void (*closed)(void *arg), void *arg);

#endif
