#include "lockstore/s3_settings.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lockstore/aws_config.h"
#include "protocol/base/error.h"

/*
 * A renewal is due every third of the lease (20 s of 60), so a request that hangs has to be given
 * up early enough for another try. The operation's bound leaves room for credentials by way of STS
 * or a slow credential_process.
 */
#define CONNECT_TIMEOUT_MS   5000
#define REQUEST_TIMEOUT_MS   10000
#define OPERATION_TIMEOUT_MS 30000

static const char *find_endpoint(const struct aws_config *config, const char *variable,
                                 const char *service_key);
static int take_endpoint(const char *text, char out[S3_ENDPOINT_MAX], struct error *error);
static int take_region(const struct aws_config *config, char out[S3_REGION_MAX],
                       struct error *error);
static int take_addressing(const struct aws_config *config, enum s3_addressing *out,
                           struct error *error);

int s3_settings_load(struct s3_settings *settings, const struct aws_config *config,
                     struct error *error)
{
    const char *bundle = aws_environment("AWS_CA_BUNDLE");
    int rc;

    *settings = (struct s3_settings){.connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                     .request_timeout_ms = REQUEST_TIMEOUT_MS,
                                     .operation_timeout_ms = OPERATION_TIMEOUT_MS,
                                     .remember = 1};
    if (bundle == NULL)
        bundle = aws_config_get(config, "ca_bundle");
    snprintf(settings->ca_bundle, sizeof(settings->ca_bundle), "%s", bundle != NULL ? bundle : "");
    rc = take_endpoint(find_endpoint(config, "AWS_ENDPOINT_URL_S3", "s3.endpoint_url"),
                       settings->endpoint, error);
    if (rc == 0)
        rc = take_endpoint(find_endpoint(config, "AWS_ENDPOINT_URL_STS", "sts.endpoint_url"),
                           settings->sts_endpoint, error);
    if (rc == 0)
        rc = take_region(config, settings->region, error);
    if (rc == 0)
        rc = take_addressing(config, &settings->addressing, error);
    return rc;
}

static const char *find_endpoint(const struct aws_config *config, const char *variable,
                                 const char *service_key)
{
    const char *ignore = aws_environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    const char *services = aws_config_get(config, "services");
    const char *found;

    if (ignore == NULL)
        ignore = aws_config_get(config, "ignore_configured_endpoint_urls");
    if (ignore != NULL && strcasecmp(ignore, "true") == 0)
        return NULL;
    found = aws_environment(variable);
    if (found == NULL)
        found = aws_environment("AWS_ENDPOINT_URL");
    if (found == NULL && services != NULL)
        found = aws_config_get_service(config, services, service_key);
    return found != NULL ? found : aws_config_get(config, "endpoint_url");
}

static int take_endpoint(const char *text, char out[S3_ENDPOINT_MAX], struct error *error)
{
    size_t len = text != NULL ? strlen(text) : 0;
    size_t scheme_len;

    out[0] = '\0';
    if (text == NULL)
        return 0;
    scheme_len = strncasecmp(text, "https://", 8) == 0 ? 8 : 7;
    while (len > 0 && text[len - 1] == '/')
        len--;
    if ((scheme_len == 7 && strncasecmp(text, "http://", 7) != 0) || len <= scheme_len ||
        len >= S3_ENDPOINT_MAX)
        return error_set(error, ERR_USAGE,
                         "the endpoint \"%.200s\" (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or "
                         "endpoint_url) is not of the form https://host[:port]",
                         text);
    /* Not shown: what stands before an '@' may be a password. */
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~' || strchr("@?#\"<>\\^`{|}", text[i]) != NULL)
            return error_set(error, ERR_USAGE,
                             "the endpoint (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or endpoint_url) "
                             "has a user name, a query or a character that cannot be there; "
                             "the form is https://host[:port]");
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return 0;
}

static int take_region(const struct aws_config *config, char out[S3_REGION_MAX],
                       struct error *error)
{
    const char *region = aws_environment("AWS_REGION");

    if (region == NULL)
        region = aws_environment("AWS_DEFAULT_REGION");
    if (region == NULL)
        region = aws_config_get(config, "region");
    if (region == NULL)
        region = "auto";
    if (!s3_region_is_valid(region))
        return error_set(error, ERR_USAGE, "\"%.64s\" (AWS_REGION) is not the name of a region",
                         region);
    snprintf(out, S3_REGION_MAX, "%s", region);
    return 0;
}

static int take_addressing(const struct aws_config *config, enum s3_addressing *out,
                           struct error *error)
{
    const char *style = aws_environment("LOCKSTEP_S3_ADDRESSING");

    if (style == NULL)
        style = aws_config_get(config, "s3.addressing_style");
    if (style == NULL || strcmp(style, "auto") == 0)
        *out = S3_ADDRESSING_AUTO;
    else if (strcmp(style, "path") == 0)
        *out = S3_ADDRESSING_PATH;
    else if (strcmp(style, "virtual") == 0)
        *out = S3_ADDRESSING_VIRTUAL;
    else
        return error_set(error, ERR_USAGE,
                         "the S3 addressing style \"%.64s\" (LOCKSTEP_S3_ADDRESSING or "
                         "s3.addressing_style) is none of path, virtual, auto",
                         style);
    return 0;
}

int s3_region_is_valid(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return len > 0 && len < S3_REGION_MAX && text[len] == '\0';
}
