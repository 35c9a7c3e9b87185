/* pull: the replica's side of a pull, as a party (protocol/sync/party.h). */
#ifndef LOCKSTEP_REPLICA_PULL_H
#define LOCKSTEP_REPLICA_PULL_H

#include <stdint.h>

#include "protocol/wire/message.h"
#include "replica/greeting.h"

struct error;
struct local_copy;
struct party;
struct pull;

/* What a finished pull or push did. */
struct sync_result {
    struct geometry geometry; /* of both sides now */
    uint64_t version;
    uint32_t pages;           /* that went over; of a dry run: that would */
    uint64_t bytes;           /* of a dry run: of their stream */
    int is_dry;               /* nothing was changed; geometry is what it would be */
    int is_whole;             /* of a dry run: all was counted, for the file would be made anew or rebuilt first */
    int is_wal;               /* the local database's journal mode */
};

/* copy: opened; borrowed until pull_free. options is copied. */
int pull_new(struct pull **pull, struct local_copy *copy, const struct sync_options *options, struct error *error);
void pull_free(struct pull *pull);
struct party *pull_party(struct pull *pull);

/* After the party was done. */
const struct sync_result *pull_result(const struct pull *pull);

/* The origin's last HELLO; NULL before it came. */
const struct message_hello *pull_hello(const struct pull *pull);

#endif
