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

int greeting_check_may_push(const struct message_hello *hello, struct error *error)
{
    if (hello->flags & HELLO_MAY_PUSH)
        return 0;
    if (hello->origin[0] != '\0')
        return error_set(error, ERR_NOT_ALLOWED, "what is there is a read-only copy of the database; its origin is %s: push there, and `lockstep run` there",
                         hello->origin);
    return error_set(error, ERR_NOT_ALLOWED, "the origin does not let this link push: lockstep-origin was started there with --allow pull (in authorized_keys, most "
                     "likely); log in with a key that may push");
}

int greeting_is_behind(const struct message_hello *hello, const struct local_copy *copy)
{
    return hello->origin[0] != '\0' && greeting_relation(hello, copy) == SAME_LINEAGE && copy->book.has_base &&
           hello->version < copy->book.base_version;
}

int greeting_check_wal(const struct message_hello *hello, const struct local_copy *copy, const struct sync_options *options,
                       struct error *error)
{
    if (!options->wal_only)
        return 0;
    if (hello->geometry.page_count > 0 && !(hello->flags & HELLO_WAL))
        return error_set(error, ERR_USAGE, "the origin's database is not in WAL mode, and --wal-only was given");
    if (copy->geometry.page_count > 0 && !copy->state.is_wal)
        return error_set(error, ERR_USAGE, "%s is not in WAL mode, and --wal-only was given", copy->path);
    return 0;
}
