#include "protocol/base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t len)
{
    uint8_t *spot = out;

    while (len > 0) {
        ssize_t got = getrandom(spot, len, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort();
        }
        spot += got;
        len -= (size_t)got;
    }
}

uint64_t random_below(uint64_t bound)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value;

    assert(bound > 0);
    do
        random_bytes(&value, sizeof(value));
    while (value >= limit);
    return value % bound;
}
