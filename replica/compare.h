/*
 * compare: looks at both sides and changes neither, as a party (protocol/sync/party.h): for `status`, which compares the roots, and
 * `verify`, which reads everything again on both sides and compares SHA-256 digests that no key of Lockstep's goes into.
 */
#ifndef LOCKSTEP_REPLICA_COMPARE_H
#define LOCKSTEP_REPLICA_COMPARE_H

#include <stdint.h>

#include "protocol/wire/message.h"

struct compare;
struct error;
struct local_copy;
struct meter;
struct party;

struct comparison {
    struct message_hello hello;       /* what the origin says */
    int equal;                        /* roots, or with digests: the digests */
    uint8_t here[ROOT_SIZE];          /* digests */
    uint8_t there[ROOT_SIZE];
};

/* copy: opened; borrowed until compare_free, as is meter, which may be NULL. with_digests: for `verify`. */
int compare_new(struct compare **compare, struct local_copy *copy, int with_digests, struct meter *meter, struct error *error);
void compare_free(struct compare *compare);
struct party *compare_party(struct compare *compare);

/* After the party was done. */
const struct comparison *compare_result(const struct compare *compare);

#endif
