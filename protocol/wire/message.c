/*
 * One table of fields for each type of message says what encoder and decoder do, so the two cannot
 * disagree: a row is one element of the array, where it stands in struct message, and what it may
 * be.
 *
 * msgpack-c's own decoder allocates for an array as its header announces it, 24 bytes an element,
 * so a message of five bytes could ask for 96 GB. Here the header of the one array is read by hand,
 * and msgpack-c is given one element after the other, once its first byte shows it to be none that
 * holds others. The format is https://github.com/msgpack/msgpack/blob/master/spec.md.
 */
#include "protocol/wire/message.h"

#include <msgpack.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/wire/frame.h"
#include "protocol/wire/message_layout.h"

const char *message_name(int type)
{
    const struct layout *layout = type > 0 ? message_layout((uint64_t)type) : NULL;

    return layout != NULL ? layout->name : "unknown";
}

int message_peek_type(const uint8_t *payload, size_t len)
{
    /* An array of up to 15 elements, the first a small number: one byte each in msgpack. */
    return len >= 2 && (payload[0] & 0xf0) == 0x90 && payload[1] < 0x80 ? payload[1] : 0;
}

/* A number as it stands in the struct. */
static uint64_t load_number(const struct field *field, const void *spot)
{
    uint32_t small;
    uint64_t large;

    if (field->kind == FIELD_U32) {
        memcpy(&small, spot, sizeof(small));
        return small;
    }
    memcpy(&large, spot, sizeof(large));
    return large;
}

static void store_number(const struct field *field, uint64_t value, void *spot)
{
    uint32_t small = (uint32_t)value;

    if (field->kind == FIELD_U32)
        memcpy(spot, &small, sizeof(small));
    else
        memcpy(spot, &value, sizeof(value));
}

static int number_is_fine(const struct field *field, uint64_t value)
{
    return value >= field->min && value <= field->max;
}

/*
 * Write the string as it may cross the wire to out (out_size bytes, always NUL-terminated): no
 * control characters, no escape sequences, well-formed UTF-8. Returns its length.
 */
static size_t clean_text(const char *text, size_t len, char *out, size_t out_size)
{
    size_t cleaned = log_sanitize(text, len, out, out_size);

    for (size_t i = 0; i < cleaned; i++) {
        if (out[i] == '\n' || out[i] == '\t')
            out[i] = ' ';
    }
    return cleaned;
}

static int text_is_clean(const char *text, size_t len)
{
    char cleaned[LIMIT_TEXT + 1];

    return len <= LIMIT_TEXT && clean_text(text, len, cleaned, sizeof(cleaned)) == len &&
           memcmp(cleaned, text, len) == 0;
}

static int blob_is_fine(const struct field *field, size_t len)
{
    return len > 0 && len <= LIMIT_CHUNK && len % field->size == 0;
}

/* What no single field shows: whether the numbers of a geometry fit together. */
static int geometry_is_fine(const struct layout *layout, const struct message *message)
{
    static const uint8_t zeros[ROOT_SIZE];
    const struct geometry *geometry;

    if (layout->geometry == 0)
        return 1;
    geometry = (const struct geometry *)((const char *)message + layout->geometry);
    if (geometry->page_count > 0 && geometry->page_size == 0)
        return 0;
    if (geometry->page_count == 0 && memcmp(geometry->root, zeros, sizeof(zeros)) != 0)
        return 0;
    return geometry->page_size == 0 || (geometry->page_size >= LIMIT_PAGE_SIZE_MIN &&
                                        (geometry->page_size & (geometry->page_size - 1)) == 0);
}

/* ---- encoding ---- */

/* Where msgpack-c writes: the buffer, and the first failure. */
struct sink {
    struct buffer *out;
    struct error *error;
    int rc;
};

static int sink_write(void *arg, const char *data, size_t len)
{
    struct sink *sink = arg;

    if (sink->rc == 0)
        sink->rc = buffer_append(sink->out, data, len, sink->error);
    return sink->rc;
}

static int encode_text(msgpack_packer *packer, const struct field *field, const char *text)
{
    char cleaned[LIMIT_TEXT + 1];
    size_t len = strnlen(text, field->size);

    if (len == field->size || (field->kind == FIELD_NAME && !text_is_clean(text, len)))
        return -1;
    len = clean_text(text, len, cleaned, sizeof(cleaned));
    msgpack_pack_str(packer, len);
    msgpack_pack_str_body(packer, cleaned, len);
    return 0;
}

static int encode_blob(msgpack_packer *packer, const struct field *field,
                       const struct message *message)
{
    const uint8_t *data;
    uint32_t len;

    memcpy(&data, (const char *)message + field->offset, sizeof(data));
    memcpy(&len, (const char *)message + field->len_offset, sizeof(len));
    if (!blob_is_fine(field, len))
        return -1;
    msgpack_pack_bin(packer, len);
    msgpack_pack_bin_body(packer, data, len);
    return 0;
}

/* Returns -1 where the field is nothing that a decoder would take; what the sink did is the sink's
 * to say. */
static int encode_field(msgpack_packer *packer, const struct field *field,
                        const struct message *message)
{
    const char *spot = (const char *)message + field->offset;
    uint64_t number;

    switch (field->kind) {
    case FIELD_U32:
    case FIELD_U64:
        number = load_number(field, spot);
        msgpack_pack_uint64(packer, number);
        return number_is_fine(field, number) ? 0 : -1;
    case FIELD_BYTES:
        msgpack_pack_bin(packer, field->size);
        msgpack_pack_bin_body(packer, spot, field->size);
        return 0;
    case FIELD_TEXT:
    case FIELD_NAME:
        return encode_text(packer, field, spot);
    case FIELD_BLOB:
        return encode_blob(packer, field, message);
    }
    return -1;
}

static int encode_payload(const struct layout *layout, const struct message *message,
                          struct buffer *out, struct error *error)
{
    struct sink sink = {.out = out, .error = error};
    msgpack_packer packer;

    msgpack_packer_init(&packer, &sink, sink_write);
    msgpack_pack_array(&packer, layout->count + 1);
    msgpack_pack_uint64(&packer, (uint64_t)message->type);
    for (size_t i = 0; i < layout->count; i++) {
        if (encode_field(&packer, &layout->fields[i], message) != 0)
            return error_set(error, ERR_INTERNAL, "%s is not as it may be sent",
                             layout->fields[i].name);
    }
    return sink.rc;
}

int message_encode(const struct message *message, struct buffer *out, struct error *error)
{
    const struct layout *layout = message_layout((uint64_t)message->type);
    static const uint8_t placeholder[FRAME_HEADER_SIZE];
    size_t start = out->len;
    int rc;

    if (layout == NULL)
        return error_set(error, ERR_INTERNAL, "there is no message of type %d", (int)message->type);
    if (!geometry_is_fine(layout, message))
        return error_set(error, ERR_INTERNAL, "encoding %s: the geometry contradicts itself",
                         layout->name);
    rc = buffer_append(out, placeholder, sizeof(placeholder), error);
    if (rc == 0)
        rc = encode_payload(layout, message, out, error);
    if (rc != 0) {
        out->len = start;
        error_wrap(error, "encoding %s", layout->name);
        return rc;
    }
    frame_write_header(out->data + start, out->len - start - FRAME_HEADER_SIZE);
    return 0;
}

/* ---- decoding ---- */

/* The payload that is being read. */
struct source {
    const uint8_t *data;
    size_t len;
    size_t at; /* of the next byte */
};

/* The number of elements of the array that starts here. Returns -1 where none does. */
static int read_array_header(struct source *source, uint32_t *count)
{
    const uint8_t *data = source->data;

    if (source->len >= 1 && (data[0] & 0xf0) == 0x90) {
        *count = data[0] & 0x0f;
        source->at = 1;
        return 0;
    }
    if (source->len >= 3 && data[0] == 0xdc) {
        *count = (uint32_t)data[1] << 8 | data[2];
        source->at = 3;
        return 0;
    }
    if (source->len >= 5 && data[0] == 0xdd) {
        *count =
            (uint32_t)data[1] << 24 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 8 | data[4];
        source->at = 5;
        return 0;
    }
    return -1;
}

/* Whether a value that begins with this byte is an array, a map or an extension. */
static int is_nested(uint8_t first)
{
    return (first >= 0x80 && first <= 0x9f) || (first >= 0xc7 && first <= 0xc9) ||
           (first >= 0xd4 && first <= 0xd8) || (first >= 0xdc && first <= 0xdf);
}

/* The next element, which must be a plain value that is there as a whole. Returns -1 otherwise. */
static int read_element(struct source *source, msgpack_unpacked *element)
{
    if (source->at >= source->len || is_nested(source->data[source->at]))
        return -1;
    return msgpack_unpack_next(element, (const char *)source->data, source->len, &source->at) ==
                   MSGPACK_UNPACK_SUCCESS
               ? 0
               : -1;
}

static int decode_text(const struct field *field, const msgpack_object *value, char *spot)
{
    size_t len = value->via.str.size;
    const char *text = len > 0 ? value->via.str.ptr : ""; /* msgpack-c has NULL for an empty one */

    if (value->type != MSGPACK_OBJECT_STR || len >= field->size || !text_is_clean(text, len))
        return -1;
    memcpy(spot, text, len);
    spot[len] = '\0';
    return 0;
}

static int decode_blob(const struct field *field, const msgpack_object *value,
                       struct message *message)
{
    const uint8_t *data = (const uint8_t *)value->via.bin.ptr;
    uint32_t len = value->via.bin.size;

    if (value->type != MSGPACK_OBJECT_BIN || !blob_is_fine(field, len))
        return -1;
    memcpy((char *)message + field->offset, &data, sizeof(data));
    memcpy((char *)message + field->len_offset, &len, sizeof(len));
    return 0;
}

/* Returns -1 where the value is not what the row says. */
static int decode_field(const struct field *field, const msgpack_object *value,
                        struct message *message)
{
    char *spot = (char *)message + field->offset;

    switch (field->kind) {
    case FIELD_U32:
    case FIELD_U64:
        if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
            !number_is_fine(field, value->via.u64))
            return -1;
        store_number(field, value->via.u64, spot);
        return 0;
    case FIELD_BYTES:
        if (value->type != MSGPACK_OBJECT_BIN || value->via.bin.size != field->size)
            return -1;
        memcpy(spot, value->via.bin.ptr, field->size);
        return 0;
    case FIELD_TEXT:
    case FIELD_NAME:
        return decode_text(field, value, spot);
    case FIELD_BLOB:
        return decode_blob(field, value, message);
    }
    return -1;
}

/* Whether its speaker has another version of the protocol, by the first field. */
static int is_of_another_version(const struct layout *layout, const struct message *message)
{
    return layout->lasting > 0 &&
           load_number(&layout->fields[0], (const char *)message + layout->fields[0].offset) !=
               PROTOCOL_VERSION;
}

/* Read the fields of the layout, then skip those of a later version. */
static int decode_fields(const struct layout *layout, struct source *source, uint32_t count,
                         msgpack_unpacked *element, struct message *message, struct error *error)
{
    size_t known = layout->count;

    for (uint32_t i = 0; i < count; i++) {
        if (read_element(source, element) != 0)
            return error_set(error, ERR_PROTOCOL, "field %u of a %s message is cut off or damaged",
                             i + 1, layout->name);
        if (i < known && decode_field(&layout->fields[i], &element->data, message) != 0)
            return error_set(error, ERR_PROTOCOL,
                             "field %u (%s) is not of the kind or size it must be", i + 1,
                             layout->fields[i].name);
        if (i == 0 && is_of_another_version(layout, message))
            known = layout->lasting;
    }
    if (count < known)
        return error_set(error, ERR_PROTOCOL, "a %s message has %u fields, not %zu", layout->name,
                         count, known);
    if (source->at != source->len)
        return error_set(error, ERR_PROTOCOL, "%zu bytes follow a %s message in its frame",
                         source->len - source->at, layout->name);
    if (!geometry_is_fine(layout, message))
        return error_set(
            error, ERR_PROTOCOL,
            "a %s message has a page size, page count and root that contradict each other",
            layout->name);
    return 0;
}

int message_decode(const uint8_t *payload, size_t len, struct message *message, struct error *error)
{
    struct source source = {.data = payload, .len = len};
    const struct layout *layout = NULL;
    msgpack_unpacked element;
    uint32_t count;
    int rc;

    memset(message, 0, sizeof(*message));
    if (len > LIMIT_FRAME || read_array_header(&source, &count) != 0 || count == 0 ||
        count > LIMIT_MESSAGE_ELEMENTS)
        return error_set(error, ERR_PROTOCOL, "a frame of %zu bytes holds no message", len);
    msgpack_unpacked_init(&element);
    if (read_element(&source, &element) == 0 &&
        element.data.type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        layout = message_layout(element.data.via.u64);
    if (layout == NULL) {
        rc = error_set(error, ERR_PROTOCOL,
                       "a message is of a type that this version does not know");
        goto out;
    }
    message->type = (enum message_type)element.data.via.u64;
    rc = decode_fields(layout, &source, count - 1, &element, message, error);
out:
    msgpack_unpacked_destroy(&element);
    return rc;
}
