/* Any body: decoding it, and writing what was decoded, must read back as the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lockstore/record.h"
#include "protocol/base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[LIMIT_LOCK_RECORD];
    struct record record, again;
    size_t len;

    record_decode(data, size, &record);
    if (record.kind != RECORD_LEASE) {
        if (!record.held || record.token != 0)
            abort();
        return 0;
    }
    if (record_encode(&record, out, sizeof(out), &len, NULL) != 0)
        abort();
    record_decode(out, len, &again);
    if (!record.held) /* a released record is written without its time-out */
        record.timeout_ms = 0;
    if (memcmp(&record, &again, sizeof(record)) != 0)
        abort();
    return 0;
}
