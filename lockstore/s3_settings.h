/*
 * s3_settings: where the S3 store is and how it is spoken to, as the AWS tools are told.
 *
 * In the AWS tools' order (SDKs and tools reference, "Service-specific endpoints", "AWS Region"):
 *   endpoint    AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's services section, the
 * profile's endpoint_url; without any: AWS. AWS_IGNORE_CONFIGURED_ENDPOINT_URLS turns all of them
 * off. region      AWS_REGION, AWS_DEFAULT_REGION, the profile's region; else "auto" CAs
 * AWS_CA_BUNDLE, the profile's ca_bundle; else the system's addressing  LOCKSTEP_S3_ADDRESSING, the
 * profile's s3.addressing_style: "path", "virtual" or "auto"
 */
#ifndef LOCKSTEP_LOCKSTORE_S3_SETTINGS_H
#define LOCKSTEP_LOCKSTORE_S3_SETTINGS_H

#include <stdint.h>

#include "protocol/base/limits.h"

struct aws_config;
struct error;

enum s3_addressing { S3_ADDRESSING_AUTO, S3_ADDRESSING_PATH, S3_ADDRESSING_VIRTUAL };

#define S3_ENDPOINT_MAX 512
#define S3_REGION_MAX   64

struct s3_settings {
    char endpoint[S3_ENDPOINT_MAX]; /* http[s]://host[:port][/path], no '/' at its end; "": AWS */
    char sts_endpoint[S3_ENDPOINT_MAX]; /* the same for STS, which trades web identities */
    char region[S3_REGION_MAX];
    enum s3_addressing addressing;
    char ca_bundle[LIMIT_PATH];  /* "": the system's */
    uint32_t connect_timeout_ms; /* of one request */
    uint32_t request_timeout_ms;
    uint32_t operation_timeout_ms; /* of a get or put with all that it needs, credentials too */
    int64_t clock_offset_s;        /* added to our clock before the store corrects it; for tests */
    int remember;                  /* whether what was learned of the store is kept in a file */
};

/* Read the environment and config. ERR_USAGE where a value cannot be used, with what to change. */
int s3_settings_load(struct s3_settings *settings, const struct aws_config *config,
                     struct error *error);

/* Whether text can be a region: 1 to 63 of a-z A-Z 0-9 '-' '_'. */
int s3_region_is_valid(const char *text);

#endif
