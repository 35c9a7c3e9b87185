/*
 * store_s3: a store (store.h) that is an object in S3 or in something that speaks its protocol.
 *
 * What it does beyond one request an operation, each at most once an operation: correct the clock
 * by the store's Date, follow the bucket to its region, renew credentials that have expired, try
 * the other form of an ETag. A store that nobody vouches for has to prove, on the first record that
 * we write and own, that it refuses a write whose condition is false; until it has, a put is not
 * reported as done, and one that does not refuse is STORE_REFUSED. (store_s3.c draws the steps.)
 */
#ifndef LOCKSTEP_LOCKSTORE_STORE_S3_H
#define LOCKSTEP_LOCKSTORE_STORE_S3_H

#include "lockstore/store.h"

struct s3_settings;

/*
 * The store that url (s3://bucket/key) names. settings: copied; NULL for those of the environment.
 * From now on the process leaves no core file (secret.h). ERR_USAGE where url or the settings
 * cannot be used. Credentials are not looked for yet.
 */
int store_s3_open(struct store **store, struct uv_loop_s *loop, const char *url,
                  const struct s3_settings *settings, struct error *error);

/* For the doctor, on a store that store_s3_open made: */

/* Send each operation as one request with the ETag in this form, and learn nothing from it. */
void store_s3_set_raw(struct store *store, int bare_etags);

/* Keep in the cache what the doctor found. */
void store_s3_remember(struct store *store, int bare_etags, int proven);

/* Let store use the credentials and the clock's correction that other has found. */
void store_s3_share(struct store *store, const struct store *other);

/* The host that requests go to, and where the credentials came from. Good as long as the store. */
const char *store_s3_host(const struct store *store);
const char *store_s3_credential_source(const struct store *store);

/* Seconds that the store's Date was ahead of our clock at the last answer; 0 before the first. */
int64_t store_s3_clock_lead(const struct store *store);

#endif
