/*
 * store_wait: operations on a store that are waited for, for code that has nothing else to do.
 */
#ifndef LOCKSTEP_LOCKSTORE_STORE_WAIT_H
#define LOCKSTEP_LOCKSTORE_STORE_WAIT_H

#include <stddef.h>

#include "lockstore/store.h"

#define STORE_WAIT_BODY 128

/* An answer that outlives its callback. Starts as {0}. */
struct store_answer {
    int there;
    struct store_result result; /* without its body */
    char body[STORE_WAIT_BODY]; /* body_len bytes; none where it had more than fit */
    size_t body_len;
};

/* A store_callback whose arg is a struct store_answer. */
void store_wait_cb(void *answer, const struct store_result *result);

/* Run loop until all answers are there. */
void store_wait_for(struct uv_loop_s *loop, const struct store_answer *answers, size_t count);

/* Each up to three times while there is no definite answer, and then what came last. */
void store_wait_get(struct uv_loop_s *loop, struct store *store, struct store_answer *answer);
void store_wait_put(struct uv_loop_s *loop, struct store *store, enum store_condition condition,
                    const char *etag, const char *body, struct store_answer *answer);
void store_wait_remove(struct uv_loop_s *loop, struct store *store, struct store_answer *answer);

void store_wait_close(struct uv_loop_s *loop, struct store *store);

#endif
