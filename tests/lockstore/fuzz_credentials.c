/* What hands out keys: the first byte picks JSON or STS's XML. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lockstore/credentials.h"
#include "lockstore/credentials_parse.h"
#include "protocol/base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct credentials credentials;
    struct error error = {0};
    int rc;

    if (size < 1)
        return 0;
    if (data[0] % 2 == 0)
        rc = credentials_parse_json((const char *)data + 1, size - 1, &credentials, &error);
    else
        rc = credentials_parse_sts((const char *)data + 1, size - 1, &credentials, &error);
    if (rc == 0 && (credentials.access_key == NULL || credentials.secret_key == NULL ||
                    strpbrk(credentials.access_key, " \r\n") != NULL))
        abort();
    if (rc != 0 && (credentials.access_key != NULL || error.text[0] == '\0'))
        abort();
    credentials_release(&credentials);
    return 0;
}
