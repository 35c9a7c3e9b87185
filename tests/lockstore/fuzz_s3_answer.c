/* An S3 answer: the first byte picks operation and reach, two more the status, the rest is the
 * body. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lockstore/http.h"
#include "lockstore/s3_answer.h"
#include "lockstore/s3_settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_answer answer;
    struct s3_verdict verdict;
    char *body;

    if (size < 3)
        return 0;
    body = malloc(size - 2);
    if (body == NULL)
        return 0;
    memcpy(body, data + 3, size - 3);
    body[size - 3] = '\0';
    answer = (struct http_answer){.reach = (enum http_reach)((data[0] >> 2) % (HTTP_INVALID + 1)),
                                  .status = 100 + (data[1] << 8 | data[2]) % 500,
                                  .body = body,
                                  .body_len = size - 3,
                                  .etag = "\"e\"",
                                  .date = -1,
                                  .last_modified = -1};
    s3_answer_judge(&answer, (enum s3_operation)(data[0] % 4), "host", "bucket", &verdict);
    /* What is refused or unknown says why; what is done has no more to say. */
    if (verdict.outcome >= STORE_UNKNOWN && verdict.error.text[0] == '\0')
        abort();
    if (verdict.outcome == STORE_OK && (answer.status < 200 || answer.status > 299))
        abort();
    if (verdict.region[0] != '\0' && !s3_region_is_valid(verdict.region))
        abort();
    free(body);
    return 0;
}
