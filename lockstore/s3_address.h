/*
 * s3_address: from s3://bucket/key to the host and path that requests go to.
 *
 * Two forms: path-style (https://host/bucket/key) and virtual-host (https://bucket.host/key).
 * Unless the settings choose, it is what the AWS tools do: virtual-host on AWS, path-style on an
 * endpoint that somebody named, as MinIO, Ceph and the like expect. Tigris is the exception: its
 * buckets since February 2025 are reached by virtual host only. A bucket whose name cannot be a
 * host name, or has a dot where TLS would then fail, goes in the path.
 */
#ifndef LOCKSTEP_LOCKSTORE_S3_ADDRESS_H
#define LOCKSTEP_LOCKSTORE_S3_ADDRESS_H

#include "lockstore/s3_settings.h"
#include "protocol/base/limits.h"

struct error;

/* Whose store it is, as far as the endpoint's host name tells. */
enum s3_vendor { S3_VENDOR_AWS, S3_VENDOR_TIGRIS, S3_VENDOR_R2, S3_VENDOR_OTHER };

struct s3_name {
    char bucket[LIMIT_S3_BUCKET + 1];
    char key[LIMIT_S3_KEY + 1]; /* as it is, not percent-encoded */
};

struct s3_address {
    char host[LIMIT_S3_BUCKET + 1 + S3_ENDPOINT_MAX]; /* for the Host header: a port only where it
                                                         is not the scheme's own */
    char path[S3_ENDPOINT_MAX + 3 * (LIMIT_S3_BUCKET + LIMIT_S3_KEY) + 3]; /* percent-encoded */
    char url[2 * S3_ENDPOINT_MAX + LIMIT_S3_BUCKET + 16 + 3 * (LIMIT_S3_BUCKET + LIMIT_S3_KEY) +
             3];                /* scheme, host and path */
    char region[S3_REGION_MAX]; /* to sign for */
    enum s3_vendor vendor;
};

/*
 * Take s3://bucket/key apart. The key is all behind the first '/', literally, as in the AWS command
 * line. Without a bucket (s3:///key) BUCKET_NAME of the environment is it. ERR_USAGE says what is
 * wrong.
 */
int s3_name_parse(const char *url, struct s3_name *name, struct error *error);

/*
 * Where the object is reached. region: as learned from the store, or NULL for the settings' own.
 * ERR_USAGE where the settings do not fit together.
 */
int s3_address_make(const struct s3_settings *settings, const char *region,
                    const struct s3_name *name, struct s3_address *address, struct error *error);

#endif
