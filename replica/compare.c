#include "replica/compare.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/meter.h"
#include "protocol/sync/party.h"
#include "replica/greeting.h"

enum stage { AWAITING_HELLO, DIGESTING, AWAITING_DIGEST, FINISHED };

struct compare {
    struct party party;
    struct local_copy *copy; /* borrowed */
    int with_digests;
    struct meter *meter;
    enum stage stage;
    int scanned;
    struct comparison result;
};

static void move_to(struct compare *compare, enum stage stage)
{
    compare->stage = stage;
    compare->party.status = stage == DIGESTING ? PARTY_SPEAKS : stage == FINISHED ? PARTY_DONE : PARTY_LISTENS;
}

static int hear_hello(struct compare *compare, const struct message_hello *hello, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_VERIFY};
    int rc;

    compare->result.hello = *hello;
    rc = greeting_check_protocol(hello, error);
    if (rc != 0)
        return rc;
    if (compare->with_digests) {
        if (compare->copy->db == NULL)
            return error_set(error, ERR_NO_DATABASE, "there is no database at %s", compare->copy->path);
        /* The origin reads while we do. */
        meter_enter(compare->meter, METER_SCANNING);
        move_to(compare, DIGESTING);
        return message_encode(&message, out, error);
    }
    meter_enter(compare->meter, METER_SCANNING);
    rc = greeting_scan(compare->copy, hello->hash_key, &compare->scanned, error);
    compare->result.equal = rc == 0 && greeting_is_equal(hello, compare->copy);
    local_copy_let_go(compare->copy);
    move_to(compare, FINISHED);
    return rc;
}

static int hear_digest(struct compare *compare, const struct message_digest *digest)
{
    struct comparison *result = &compare->result;

    memcpy(result->there, digest->sha256, sizeof(result->there));
    result->equal = memcmp(result->here, result->there, sizeof(result->here)) == 0;
    move_to(compare, FINISHED);
    return 0;
}

static int hear(struct party *party, const struct message *message, struct buffer *out, struct error *error)
{
    struct compare *compare = (struct compare *)party;

    if (message->type == MESSAGE_HELLO && compare->stage == AWAITING_HELLO)
        return hear_hello(compare, &message->hello, out, error);
    if (message->type == MESSAGE_DIGEST && compare->stage == AWAITING_DIGEST)
        return hear_digest(compare, &message->digest);
    return error_set(error, ERR_PROTOCOL, "%s came at a time when it means nothing", message_name(message->type));
}

static int speak(struct party *party, struct buffer *out, struct error *error)
{
    struct compare *compare = (struct compare *)party;
    struct database_state state;
    int rc;

    (void)out;
    rc = database_begin_read(compare->copy->db, &state, error);
    if (rc == 0)
        rc = database_digest(compare->copy->db, compare->result.here, error);
    database_end(compare->copy->db);
    meter_enter(compare->meter, METER_CONFIRMING);
    move_to(compare, AWAITING_DIGEST);
    return rc == 0 ? 0 : error_wrap(error, "reading %s", compare->copy->path);
}

static const struct party_methods methods = {hear, speak, NULL};

int compare_new(struct compare **compare, struct local_copy *copy, int with_digests, struct meter *meter, struct error *error)
{
    struct compare *new = calloc(1, sizeof(*new));

    *compare = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->party.methods = &methods;
    new->copy = copy;
    new->with_digests = with_digests;
    new->meter = meter;
    move_to(new, AWAITING_HELLO);
    *compare = new;
    return 0;
}

void compare_free(struct compare *compare)
{
    free(compare);
}

struct party *compare_party(struct compare *compare)
{
    return &compare->party;
}

const struct comparison *compare_result(const struct compare *compare)
{
    return &compare->result;
}
