#include "tests/wire/samples.h"

/* clang-format off */
#define BYTES_16(x)                                                                                \
    {x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7,                                           \
     x + 8, x + 9, x + 10, x + 11, x + 12, x + 13, x + 14, x + 15}
#define BYTES_32(x)                                                                                \
    {x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7,                                           \
     x + 8, x + 9, x + 10, x + 11, x + 12, x + 13, x + 14, x + 15,                                 \
     x + 16, x + 17, x + 18, x + 19, x + 20, x + 21, x + 22, x + 23,                               \
     x + 24, x + 25, x + 26, x + 27, x + 28, x + 29, x + 30, x + 31}
/* clang-format on */

static const uint8_t two_cells[2 * MESSAGE_CELL_SIZE] = BYTES_32(0x20);
static const uint8_t two_hashes[2 * MESSAGE_HASH_SIZE] = BYTES_16(0x30);
static const uint8_t some_pages[] = {0x01, 0x28, 0xb5, 0x2f, 0xfd, 0x00};

const struct message samples[] = {
    {.type = MESSAGE_HELLO,
     .hello = {.protocol = 1,
               .software = "lockstep 0.1.0",
               .flags = HELLO_WAL | HELLO_MAY_PULL | HELLO_MAY_PUSH,
               .lineage = BYTES_16(0x10),
               .hash_key = BYTES_32(0x40),
               .version = 70000,
               .geometry = {.page_size = 4096, .page_count = 111292, .root = BYTES_32(0x80)},
               .fence_token = 12,
               .origin = "tls://ams.internal/org.db"}},
    {.type = MESSAGE_ERROR,
     .error = {.name = "STALE_BASE", .text = "pushing org.db: the origin moved on (\xc3\xbc)"}},
    {.type = MESSAGE_PULL,
     .pull = {.flags = SYNC_ADOPT | SYNC_WAL_ONLY,
              .lineage = BYTES_16(0x10),
              .geometry = {.page_size = 65536, .page_count = 4294967294, .root = BYTES_32(0x80)},
              .version = 69999,
              .seed = BYTES_16(0xb0),
              .instance = "iad-worker-1",
              .rate = 1048576,
              .level = 19}},
    {.type = MESSAGE_PUSH,
     .push = {.flags = SYNC_DIRECT,
              .lineage = BYTES_16(0x10),
              .push_id = BYTES_16(0x21),
              .base_root = BYTES_32(0x60),
              .base_version = 300,
              .geometry = {.page_size = 512, .page_count = 2, .root = BYTES_32(0x80)},
              .fence = {.token = UINT64_MAX, .lease_id = BYTES_16(0xa0)},
              .hash_key = BYTES_32(0x40),
              .seed = BYTES_16(0xb0),
              .instance = "ams-worker-2"}},
    {.type = MESSAGE_CELLS, .cells = {.first = 512, .data = two_cells, .len = sizeof(two_cells)}},
    {.type = MESSAGE_HASHES,
     .hashes = {.first = 8193, .data = two_hashes, .len = sizeof(two_hashes)}},
    {.type = MESSAGE_ASK, .ask = {.kind = ASK_CELLS, .first = 512, .count = 1536}},
    {.type = MESSAGE_PAGES, .pages = {.data = some_pages, .len = sizeof(some_pages), .total = 255}},
    {.type = MESSAGE_END,
     .end = {.geometry = {.page_size = 4096, .page_count = 3, .root = BYTES_32(0x80)},
             .version = 70001,
             .pages = 255,
             .bytes = 8200}},
    {.type = MESSAGE_RECEIPT,
     .receipt = {.lineage = BYTES_16(0x10),
                 .version = 70001,
                 .root = BYTES_32(0x80),
                 .push_id = BYTES_16(0x21)}},
    {.type = MESSAGE_VERIFY},
    {.type = MESSAGE_DIGEST,
     .digest = {.geometry = {.page_size = 4096, .page_count = 3, .root = BYTES_32(0x80)},
                .sha256 = BYTES_32(0xc0)}},
    {.type = MESSAGE_FENCE, .fence = {.token = 14, .lease_id = BYTES_16(0xa0)}},
    {.type = MESSAGE_WAIT, .wait = {.place = 3}},
    {.type = MESSAGE_OPEN,
     .open = {.protocol = 1,
              .software = "lockstep 0.1.0",
              .name = "kunden/\xc3\xbc.db",
              .instance = "nrt-worker-3",
              .token = "8f3c-secret",
              .flags = OPEN_LINE,
              .waited = 61000}},
    {.type = MESSAGE_TURN},
    {.type = MESSAGE_DESCRIBE,
     .describe = {.geometry = {.page_size = 4096, .page_count = 3, .root = BYTES_32(0x80)},
                  .seed = BYTES_16(0xb0)}},
    {.type = MESSAGE_HISTORY, .history = {.before = 70001, .count = 20}},
    {.type = MESSAGE_ENTRY,
     .entry = {.kind = ENTRY_PUSHED,
               .left = 19,
               .version = 70000,
               .time = 1795301000,
               .root = BYTES_32(0x80),
               .token = 12,
               .pages = 9532,
               .bytes = 2731022,
               .instance = "ams/worker-2"}},
    /* What a new origin says, and a replica that has nothing. */
    {.type = MESSAGE_HELLO,
     .hello = {.protocol = 1, .software = "lockstep 0.1.0", .flags = HELLO_FRESH}},
    {.type = MESSAGE_PULL},
};

const size_t sample_count = sizeof(samples) / sizeof(samples[0]);
