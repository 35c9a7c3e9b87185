#include "origin/stream_maker.h"

#include <stdlib.h>

#include "origin/stream_parts.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/sync/history.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/page_scan.h"
#include "protocol/sync/sender.h"

/* zstd (compress.h), SQLite, old pages. */
#define MAKING_BYTES      (24u << 20)
#define MAKING_BYTES_HIGH (100u << 20)
#define LEVEL_HIGH        10

struct stream_maker {
    struct stream_options options;
    struct sender *sender;
    struct page_scan *scan;
    local_copy_prove *prove;
    void *prove_arg;
    int has_begun; /* copy is open */
    struct local_copy copy;
    struct history *history;
};

uint64_t stream_maker_bytes(int level)
{
    return level < LEVEL_HIGH ? MAKING_BYTES : MAKING_BYTES_HIGH;
}

struct stream_maker *stream_maker_new(struct sender *sender, const struct local_copy *copy,
                                      const struct stream_options *options)
{
    struct stream_maker *maker = calloc(1, sizeof(*maker));

    if (maker == NULL)
        return NULL;
    maker->options = *options;
    maker->sender = sender;
    maker->scan = page_scan_keep(copy->borrowed);
    maker->prove = copy->prove;
    maker->prove_arg = copy->prove_arg;
    return maker;
}

void stream_maker_free(struct stream_maker *maker)
{
    if (maker == NULL)
        return;
    sender_free(maker->sender);
    history_free(maker->history);
    if (maker->has_begun)
        local_copy_release(&maker->copy);
    page_scan_free(maker->scan);
    free(maker);
}

struct sender *stream_maker_detach(struct stream_maker *maker)
{
    struct sender *sender = maker->sender;

    maker->sender = NULL;
    return sender;
}

/* For the sender: a page that the replica still has. */
static int find_old_page(void *arg, uint32_t pgno, uint64_t hash_low,
                         const struct page_version *now, uint8_t *page, int *known,
                         struct error *error)
{
    struct stream_maker *maker = arg;

    (void)error;
    *known =
        history_find(maker->history, pgno, hash_low, now, maker->copy.geometry.page_size, page);
    return 0;
}

/* Open what is needed. */
static int begin(struct stream_maker *maker, struct error *error)
{
    const struct old_pages old = {maker->options.has_history ? find_old_page : NULL, maker, 1};
    const struct sidecar_state nothing = {0};
    int rc = local_copy_name(&maker->copy, maker->options.path, maker->options.timeout_ms, error);

    if (rc != 0)
        return rc;
    maker->has_begun = 1;
    rc = local_copy_connect(&maker->copy, error);
    if (rc != 0)
        return rc;
    local_copy_borrow(&maker->copy, maker->scan, &nothing, maker->prove, maker->prove_arg);
    if (maker->options.has_history)
        rc = history_open(&maker->history, maker->copy.real_path, maker->options.history_bytes,
                          error);
    return rc != 0 ? rc : sender_begin(maker->sender, &maker->copy, &old, error);
}

int stream_maker_make(struct stream_maker *maker, struct stream_parts *parts, int *ended,
                      struct error *error)
{
    struct buffer bytes;
    uint64_t made = 0;
    int rc = maker->has_begun ? 0 : begin(maker, error);

    *ended = 0;
    buffer_init(&bytes, 4 * LIMIT_FRAME);
    while (rc == 0 && made < STREAM_BATCH) {
        rc = sender_speak(maker->sender, &bytes, error);
        /* The last thing that it says is END, alone, which each session says for itself. */
        *ended = rc == 0 && sender_status(maker->sender) == PARTY_DONE;
        if (rc != 0 || *ended)
            break;
        made += bytes.len;
        if (bytes.len > 0)
            rc = stream_parts_add(parts, &bytes, error);
        bytes.len = 0;
    }
    buffer_release(&bytes);
    return rc;
}
