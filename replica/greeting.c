#include "replica/greeting.h"

#include <string.h>

#include "protocol/base/error.h"
#include "protocol/sync/local_copy.h"

int greeting_check_protocol(const struct message_hello *hello, struct error *error)
{
    if (hello->protocol == PROTOCOL_VERSION)
        return 0;
    return error_set(error, ERR_PROTOCOL, "the origin (%s) speaks version %u of the protocol, this program speaks %u: upgrade the older one",
                     hello->software, hello->protocol, PROTOCOL_VERSION);
}

enum relation greeting_relation(const struct message_hello *hello, const struct local_copy *copy)
{
    if (!copy->book.has_lineage)
        return NO_LINEAGE_HERE;
    if (hello->flags & HELLO_FRESH)
        return NO_LINEAGE_THERE;
    if (memcmp(hello->lineage, copy->book.lineage, LINEAGE_SIZE) == 0 &&
        memcmp(hello->hash_key, copy->book.hash_key, HASH_KEY_SIZE) == 0)
        return SAME_LINEAGE;
    return FOREIGN_LINEAGE;
}

int greeting_scan(struct local_copy *copy, const uint8_t key[HASH_KEY_SIZE], int *scanned, struct error *error)
{
    int rc;

    if (*scanned && memcmp(copy->hash_key, key, HASH_KEY_SIZE) == 0)
        return 0;
    rc = local_copy_scan(copy, key, error);
    *scanned = rc == 0;
    return rc;
}

int greeting_is_equal(const struct message_hello *hello, const struct local_copy *copy)
{
    return memcmp(hello->geometry.root, copy->geometry.root, ROOT_SIZE) == 0;
}

int greeting_is_behind(const struct message_hello *hello, const struct local_copy *copy)
{
    return hello->origin[0] != '\0' && greeting_relation(hello, copy) == SAME_LINEAGE && copy->book.has_base &&
           hello->version < copy->book.base_version;
}
