#include "lockstore/store.h"

#include <string.h>

#include "lockstore/store_file.h"
#include "lockstore/store_s3.h"

int store_open(struct store **store, struct uv_loop_s *loop, const char *url, struct error *error)
{
    if (strlen(url) >= sizeof((*store)->url))
        return error_set(error, ERR_USAGE, "the lock's URL is too long");
    if (strncmp(url, "file:", 5) == 0)
        return store_file_open(store, loop, url, error);
    if (strncmp(url, "s3:", 3) == 0)
        return store_s3_open(store, loop, url, NULL, error);
    return error_set(error, ERR_USAGE, "%s: a lock is named by s3://bucket/key or file:///path",
                     url);
}

void store_get(struct store *store, store_callback *done, void *arg)
{
    store->methods->get(store, done, arg);
}

void store_put(struct store *store, enum store_condition condition, const char *etag,
               const uint8_t *body, size_t len, store_callback *done, void *arg)
{
    store->methods->put(store, condition, etag, body, len, done, arg);
}

void store_stay_here(struct store *store)
{
    if (store->methods->stay_here != NULL)
        store->methods->stay_here(store);
}

void store_close(struct store *store, void (*closed)(void *arg), void *arg)
{
    store->methods->close(store, closed, arg);
}
