#include "origin/traffic.h"

#include "protocol/base/buffer.h"
#include "protocol/wire/frame.h"
#include "protocol/wire/message.h"

static void count(struct traffic *traffic, struct metrics *metrics,
                  enum metrics_direction direction, enum metrics_kind kind, uint64_t bytes)
{
    traffic->counted[direction] += bytes;
    metrics_bytes(metrics, direction, kind, bytes);
}

static enum metrics_kind kind_of(int type)
{
    switch (type) {
    case MESSAGE_PAGES:
        return METRICS_PAGES;
    case MESSAGE_CELLS:
    case MESSAGE_HASHES:
        return METRICS_SKETCH;
    default:
        return METRICS_OTHER;
    }
}

void traffic_count_said(struct traffic *traffic, struct metrics *metrics, const struct buffer *out,
                        size_t from)
{
    while (from + FRAME_HEADER_SIZE <= out->len) {
        const uint8_t *frame = out->data + from;
        size_t len =
            (size_t)frame[0] << 24 | (size_t)frame[1] << 16 | (size_t)frame[2] << 8 | frame[3];

        count(traffic, metrics, METRICS_SENT,
              kind_of(message_peek_type(frame + FRAME_HEADER_SIZE, len)), FRAME_HEADER_SIZE + len);
        from += FRAME_HEADER_SIZE + len;
    }
}

void traffic_count_heard(struct traffic *traffic, struct metrics *metrics,
                         const struct message *message)
{
    if (message->type == MESSAGE_PAGES)
        count(traffic, metrics, METRICS_RECEIVED, METRICS_PAGES, message->pages.len);
    else if (message->type == MESSAGE_CELLS)
        count(traffic, metrics, METRICS_RECEIVED, METRICS_SKETCH, message->cells.len);
    else if (message->type == MESSAGE_HASHES)
        count(traffic, metrics, METRICS_RECEIVED, METRICS_SKETCH, message->hashes.len);
}

void traffic_finish(struct traffic *traffic, struct metrics *metrics, uint64_t sent,
                    uint64_t received)
{
    if (sent > traffic->counted[METRICS_SENT])
        count(traffic, metrics, METRICS_SENT, METRICS_OTHER, sent - traffic->counted[METRICS_SENT]);
    if (received > traffic->counted[METRICS_RECEIVED])
        count(traffic, metrics, METRICS_RECEIVED, METRICS_OTHER,
              received - traffic->counted[METRICS_RECEIVED]);
}
