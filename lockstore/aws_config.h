/*
 * aws_config: the files of the AWS tools, ~/.aws/config and ~/.aws/credentials.
 *
 * Format: the "Configuration and credential file settings" page of the AWS SDKs and tools
 * reference. AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name other files, AWS_PROFILE (or
 * AWS_DEFAULT_PROFILE) another profile than "default". Where one profile's key stands in both
 * files, the credentials file wins.
 */
#ifndef LOCKSTEP_LOCKSTORE_AWS_CONFIG_H
#define LOCKSTEP_LOCKSTORE_AWS_CONFIG_H

#include <stddef.h>

struct aws_config;
struct error;

/*
 * Read both files; one that does not exist is empty. Freed by aws_config_free. ERR_USAGE when a
 * file is too long or unreadable, or AWS_PROFILE names a profile that is in neither.
 */
int aws_config_load(struct aws_config **config, struct error *error);

/* Wipes what it held. NULL is allowed. */
void aws_config_free(struct aws_config *config);

/* The chosen profile's name. */
const char *aws_config_profile(const struct aws_config *config);

/*
 * A value of the chosen profile, "parent.child" for a nested one ("s3.addressing_style"). NULL
 * where it is not set. Good as long as the config is.
 */
const char *aws_config_get(const struct aws_config *config, const char *key);

/* The same of another profile; and of a [services NAME] section. */
const char *aws_config_get_of(const struct aws_config *config, const char *profile,
                              const char *key);
const char *aws_config_get_service(const struct aws_config *config, const char *services,
                                   const char *key);

/* The environment variable, NULL where it is not set or empty: the AWS tools make no difference. */
const char *aws_environment(const char *name);

#endif
