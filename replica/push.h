/* push: the replica's side of a push, as a party (protocol/sync/party.h). */
#ifndef LOCKSTEP_REPLICA_PUSH_H
#define LOCKSTEP_REPLICA_PUSH_H

#include "replica/greeting.h"
#include "replica/pull.h"

struct push;

/* copy: opened; borrowed until push_free. options is copied. */
int push_new(struct push **push, struct local_copy *copy, const struct sync_options *options, struct error *error);
void push_free(struct push *push);
struct party *push_party(struct push *push);

/* After the party was done, which it is only with the origin's receipt. */
const struct sync_result *push_result(const struct push *push);

/* The origin's last HELLO; NULL before it came. */
const struct message_hello *push_hello(const struct push *push);

#endif
