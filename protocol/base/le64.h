/*
 * le64: a 64-bit number as 8 bytes, the lowest first.
 */
#ifndef LOCKSTEP_BASE_LE64_H
#define LOCKSTEP_BASE_LE64_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t le64_load(const uint8_t bytes[8])
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return le64toh(value);
}

static inline void le64_store(uint8_t bytes[8], uint64_t value)
{
    value = htole64(value);
    memcpy(bytes, &value, sizeof(value));
}

#endif
