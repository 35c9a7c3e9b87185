#include "lockstore/store_wait.h"

#include <string.h>

#include <uv.h>

#define TRIES 3

void store_wait_cb(void *arg, const struct store_result *result)
{
    struct store_answer *answer = arg;

    answer->result = *result;
    answer->result.body = NULL;
    answer->body_len = result->body_len < sizeof(answer->body) ? result->body_len : 0;
    if (answer->body_len > 0)
        memcpy(answer->body, result->body, answer->body_len);
    answer->there = 1;
}

void store_wait_for(struct uv_loop_s *loop, const struct store_answer *answers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while (!answers[i].there)
            uv_run(loop, UV_RUN_ONCE);
    }
}

static int is_definite(const struct store_answer *answer)
{
    return answer->result.outcome != STORE_UNKNOWN && answer->result.outcome != STORE_CONFLICT;
}

void store_wait_get(struct uv_loop_s *loop, struct store *store, struct store_answer *answer)
{
    for (int i = 0; i < TRIES && (i == 0 || !is_definite(answer)); i++) {
        *answer = (struct store_answer){0};
        store_get(store, store_wait_cb, answer);
        store_wait_for(loop, answer, 1);
    }
}

void store_wait_put(struct uv_loop_s *loop, struct store *store, enum store_condition condition,
                    const char *etag, const char *body, struct store_answer *answer)
{
    for (int i = 0; i < TRIES && (i == 0 || !is_definite(answer)); i++) {
        *answer = (struct store_answer){0};
        store_put(store, condition, etag, (const uint8_t *)body, strlen(body), store_wait_cb,
                  answer);
        store_wait_for(loop, answer, 1);
    }
}

void store_wait_remove(struct uv_loop_s *loop, struct store *store, struct store_answer *answer)
{
    for (int i = 0; i < TRIES && (i == 0 || !is_definite(answer)); i++) {
        *answer = (struct store_answer){0};
        store->methods->remove(store, store_wait_cb, answer);
        store_wait_for(loop, answer, 1);
    }
}

static void closed_cb(void *arg)
{
    *(int *)arg = 1;
}

void store_wait_close(struct uv_loop_s *loop, struct store *store)
{
    int closed = 0;

    store_close(store, closed_cb, &closed);
    while (!closed)
        uv_run(loop, UV_RUN_ONCE);
}
