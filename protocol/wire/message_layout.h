/*
 * message_layout: the fields of each type of message, as tables that encoder and decoder both
 * follow, so that the two cannot disagree. A row is one element of the message's array: where it
 * stands in struct message, and what it may be. PROTOCOL.md has the same tables for people; a test
 * compares them with what is really sent.
 */
#ifndef LOCKSTEP_WIRE_MESSAGE_LAYOUT_H
#define LOCKSTEP_WIRE_MESSAGE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

enum field_kind {
    FIELD_U32,
    FIELD_U64,
    FIELD_BYTES, /* a bin of exactly `size` bytes */
    FIELD_TEXT,  /* a string for a person: cleaned when encoding */
    FIELD_NAME,  /* a string that means something: never altered */
    FIELD_BLOB   /* a bin of 1 to LIMIT_CHUNK bytes, a multiple of `size` */
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;     /* in struct message; of the data pointer for FIELD_BLOB */
    size_t len_offset; /* FIELD_BLOB: of the uint32_t with the length */
    size_t size; /* bytes: of FIELD_BYTES, of a string's array with its NUL, of FIELD_BLOB's unit */
    uint64_t min; /* of a number */
    uint64_t max;
};

struct layout {
    const char *name;
    const struct field *fields;
    size_t count;
    size_t geometry; /* offset of the struct geometry in struct message, 0 where there is none */
    /* Where the first field is the version of the protocol: how many fields stand first in every
     * version, and are all that is read of another one's; else 0. */
    size_t lasting;
};

/* The layout of a type, NULL where there is none. It lives for ever. */
const struct layout *message_layout(uint64_t type);

#endif
