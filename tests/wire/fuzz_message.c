/* Any payload is refused or read; what was read is written and read again as the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/limits.h"
#include "protocol/wire/frame.h"
#include "protocol/wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message first;
    struct message second;
    struct buffer once;
    struct buffer twice;

    if (message_decode(data, size, &first, NULL) != 0)
        return 0;
    buffer_init(&once, FRAME_HEADER_SIZE + LIMIT_FRAME);
    buffer_init(&twice, FRAME_HEADER_SIZE + LIMIT_FRAME);
    check(message_encode(&first, &once, NULL) == 0);
    check(message_decode(once.data + FRAME_HEADER_SIZE, once.len - FRAME_HEADER_SIZE, &second,
                         NULL) == 0);
    check(message_encode(&second, &twice, NULL) == 0);
    check(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    buffer_release(&once);
    buffer_release(&twice);
    return 0;
}
