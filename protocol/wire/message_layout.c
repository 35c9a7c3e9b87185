#include "protocol/wire/message_layout.h"

#include "protocol/base/limits.h"
#include "protocol/wire/message.h"

#define AT(member)   offsetof(struct message, member)
#define SIZE(member) sizeof(((struct message *)0)->member)

/* clang-format off */
#define U32(member, min, max) {#member, FIELD_U32, AT(member), 0, 4, (min), (max)}
#define U64(member)           {#member, FIELD_U64, AT(member), 0, 8, 0, UINT64_MAX}
#define U64_FROM_ONE(member)  {#member, FIELD_U64, AT(member), 0, 8, 1, UINT64_MAX}
#define BYTES(member)         {#member, FIELD_BYTES, AT(member), 0, SIZE(member), 0, 0}
#define TEXT(member)          {#member, FIELD_TEXT, AT(member), 0, SIZE(member), 0, 0}
#define NAME(member)          {#member, FIELD_NAME, AT(member), 0, SIZE(member), 0, 0}
#define BLOB(member, unit)    {#member, FIELD_BLOB, AT(member.data), AT(member.len), (unit), 0, 0}
/* clang-format on */
#define GEOMETRY(member)                                                                           \
    U32(member.page_size, 0, LIMIT_PAGE_SIZE_MAX), U32(member.page_count, 0, LIMIT_PAGE_COUNT),    \
        BYTES(member.root)
#define FENCE(member) U64(member.token), BYTES(member.lease_id)

static const struct field hello_fields[] = {
    U32(hello.protocol, 1, UINT32_MAX),
    TEXT(hello.software),
    U32(hello.flags, 0, UINT32_MAX),
    BYTES(hello.lineage),
    BYTES(hello.hash_key),
    U64(hello.version),
    GEOMETRY(hello.geometry),
    U64(hello.fence_token),
    TEXT(hello.origin),
};
static const struct field error_fields[] = {NAME(error.name), TEXT(error.text)};
static const struct field pull_fields[] = {
    U32(pull.flags, 0, SYNC_ALL),
    BYTES(pull.lineage),
    GEOMETRY(pull.geometry),
    U64(pull.version),
    BYTES(pull.seed),
    TEXT(pull.instance),
    U64(pull.rate),
    U32(pull.level, 0, LEVEL_NONE),
};
static const struct field push_fields[] = {
    U32(push.flags, 0, SYNC_ALL),
    BYTES(push.lineage),
    BYTES(push.push_id),
    BYTES(push.base_root),
    U64(push.base_version),
    GEOMETRY(push.geometry),
    FENCE(push.fence),
    BYTES(push.hash_key),
    BYTES(push.seed),
    TEXT(push.instance),
};
static const struct field cells_fields[] = {U64(cells.first), BLOB(cells, MESSAGE_CELL_SIZE)};
static const struct field hashes_fields[] = {
    U32(hashes.first, 1, LIMIT_PAGE_COUNT),
    BLOB(hashes, MESSAGE_HASH_SIZE),
};
static const struct field ask_fields[] = {
    U32(ask.kind, ASK_CELLS, ASK_HASHES),
    U64(ask.first),
    U64_FROM_ONE(ask.count),
};
static const struct field pages_fields[] = {BLOB(pages, 1), U32(pages.total, 0, LIMIT_PAGE_COUNT)};
static const struct field end_fields[] = {
    GEOMETRY(end.geometry),
    U64(end.version),
    U32(end.pages, 0, LIMIT_PAGE_COUNT),
    U64(end.bytes),
};
static const struct field receipt_fields[] = {
    BYTES(receipt.lineage),
    U64(receipt.version),
    BYTES(receipt.root),
    BYTES(receipt.push_id),
};
static const struct field digest_fields[] = {GEOMETRY(digest.geometry), BYTES(digest.sha256)};
static const struct field fence_fields[] = {FENCE(fence)};
static const struct field wait_fields[] = {U32(wait.place, 0, UINT32_MAX)};
static const struct field open_fields[] = {
    U32(open.protocol, 1, UINT32_MAX),
    TEXT(open.software),
    NAME(open.name),
    TEXT(open.instance),
    NAME(open.token),
    U32(open.flags, 0, OPEN_ALL),
    U64(open.waited),
};
static const struct field describe_fields[] = {GEOMETRY(describe.geometry), BYTES(describe.seed)};
static const struct field history_fields[] = {
    U64(history.before),
    U32(history.count, 1, LIMIT_HISTORY),
};
static const struct field entry_fields[] = {
    U32(entry.kind, 0, ENTRY_CHANGED),
    U32(entry.left, 0, LIMIT_HISTORY),
    U64(entry.version),
    U64(entry.time),
    BYTES(entry.root),
    U64(entry.token),
    U32(entry.pages, 0, LIMIT_PAGE_COUNT),
    U64(entry.bytes),
    TEXT(entry.instance),
};

#define LAYOUT(type, fields)                                                                       \
    [MESSAGE_##type] = {#type, fields, sizeof(fields) / sizeof((fields)[0]), 0, 0}
#define LAYOUT_WITH(type, fields, geometry)                                                        \
    [MESSAGE_##type] = {#type, fields, sizeof(fields) / sizeof((fields)[0]), AT(geometry), 0}
#define LAYOUT_LASTING(type, fields, geometry, lasting)                                            \
    [MESSAGE_##type] = {#type, fields, sizeof(fields) / sizeof((fields)[0]), geometry, lasting}

static const struct layout layouts[] = {
    LAYOUT_LASTING(HELLO, hello_fields, AT(hello.geometry), 2),
    LAYOUT(ERROR, error_fields),
    LAYOUT_WITH(PULL, pull_fields, pull.geometry),
    LAYOUT_WITH(PUSH, push_fields, push.geometry),
    LAYOUT(CELLS, cells_fields),
    LAYOUT(HASHES, hashes_fields),
    LAYOUT(ASK, ask_fields),
    LAYOUT(PAGES, pages_fields),
    LAYOUT_WITH(END, end_fields, end.geometry),
    LAYOUT(RECEIPT, receipt_fields),
    [MESSAGE_VERIFY] = {.name = "VERIFY"},
    LAYOUT_WITH(DIGEST, digest_fields, digest.geometry),
    LAYOUT(FENCE, fence_fields),
    LAYOUT(WAIT, wait_fields),
    LAYOUT_LASTING(OPEN, open_fields, 0, 5),
    [MESSAGE_TURN] = {.name = "TURN"},
    LAYOUT_WITH(DESCRIBE, describe_fields, describe.geometry),
    LAYOUT(HISTORY, history_fields),
    LAYOUT(ENTRY, entry_fields),
};

const struct layout *message_layout(uint64_t type)
{
    return type > 0 && type < sizeof(layouts) / sizeof(layouts[0]) ? &layouts[type] : NULL;
}
