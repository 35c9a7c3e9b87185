/* version_list: asks an origin who made its last versions, as a party (protocol/sync/party.h), for `lockstep history`. */
#ifndef LOCKSTEP_REPLICA_VERSION_LIST_H
#define LOCKSTEP_REPLICA_VERSION_LIST_H

#include <stdint.h>

#include "protocol/wire/message.h"

struct error;
struct party;
struct version_list;

/* max: how many versions, 1 to LIMIT_HISTORY. */
int version_list_new(struct version_list **list, uint32_t max, struct error *error);
void version_list_free(struct version_list *list);
struct party *version_list_party(struct version_list *list);

/* After the party was done: what the origin said first, and the versions, the newest first. */
const struct message_hello *version_list_hello(const struct version_list *list);
const struct message_entry *version_list_entries(const struct version_list *list, uint32_t *count);

#endif
