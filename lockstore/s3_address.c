#include "lockstore/s3_address.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lockstore/aws_config.h"
#include "lockstore/sigv4.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

static int check_bucket(const char *bucket, struct error *error);
static enum s3_vendor vendor_of(const char *host);
static int wants_virtual_host(const struct s3_settings *settings, enum s3_vendor vendor,
                              const char *bucket, const char *host, int is_tls);

int s3_name_parse(const char *url, struct s3_name *name, struct error *error)
{
    const char *bucket = url + 5;
    const char *slash;
    size_t bucket_len;
    size_t key_len;

    if (strncmp(url, "s3://", 5) != 0 || (slash = strchr(bucket, '/')) == NULL || slash[1] == '\0')
        return error_set(error, ERR_USAGE, "\"%.500s\" is not of the form s3://bucket/key", url);
    bucket_len = (size_t)(slash - bucket);
    if (bucket_len == 0) {
        bucket = aws_environment("BUCKET_NAME");
        if (bucket == NULL)
            return error_set(error, ERR_USAGE,
                             "\"%.500s\" has no bucket, and BUCKET_NAME is not set", url);
        bucket_len = strlen(bucket);
    }
    key_len = strlen(slash + 1);
    if (bucket_len > LIMIT_S3_BUCKET || key_len > LIMIT_S3_KEY)
        return error_set(error, ERR_USAGE,
                         "\"%.200s…\": a bucket's name has at most %u bytes and a key %u", url,
                         LIMIT_S3_BUCKET, LIMIT_S3_KEY);
    memcpy(name->bucket, bucket, bucket_len);
    name->bucket[bucket_len] = '\0';
    memcpy(name->key, slash + 1, key_len + 1);
    return check_bucket(name->bucket, error);
}

static int check_bucket(const char *bucket, struct error *error)
{
    for (const char *c = bucket; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.' && *c != '_')
            return error_set(error, ERR_USAGE,
                             "\"%s\" is not the name of a bucket (access points and ARNs are not "
                             "supported)",
                             bucket);
    }
    if (bucket[0] == '.' || bucket[0] == '-')
        return error_set(error, ERR_USAGE, "\"%s\" is not the name of a bucket", bucket);
    return 0;
}

/* The endpoint's pieces: https or not, host with port, and a path that goes before ours. */
static void split_endpoint(const char *endpoint, int *is_tls, char host[S3_ENDPOINT_MAX],
                           const char **path)
{
    const char *start = strstr(endpoint, "://") + 3;
    size_t len = strcspn(start, "/");
    const char *port;

    *is_tls = strncasecmp(endpoint, "https", 5) == 0;
    *path = start + len;
    memcpy(host, start, len);
    host[len] = '\0';
    for (char *c = host; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    port = *is_tls ? ":443" : ":80";
    if (len > strlen(port) && strcmp(host + len - strlen(port), port) == 0)
        host[len - strlen(port)] = '\0';
}

int s3_address_make(const struct s3_settings *settings, const char *region,
                    const struct s3_name *name, struct s3_address *address, struct error *error)
{
    char aws[S3_ENDPOINT_MAX];
    char host[S3_ENDPOINT_MAX];
    const char *endpoint = settings->endpoint;
    struct buffer path;
    const char *prefix;
    int virtual_host;
    int is_tls;
    int rc;

    snprintf(address->region, sizeof(address->region), "%s",
             region != NULL ? region : settings->region);
    if (endpoint[0] == '\0') {
        /* AWS has no "auto": us-east-1 answers for every bucket, if only with its true region. */
        if (strcmp(address->region, "auto") == 0)
            snprintf(address->region, sizeof(address->region), "us-east-1");
        snprintf(aws, sizeof(aws), "https://s3.%s.amazonaws.com%s", address->region,
                 strncmp(address->region, "cn-", 3) == 0 ? ".cn" : "");
        endpoint = aws;
    }
    split_endpoint(endpoint, &is_tls, host, &prefix);
    address->vendor = vendor_of(host);
    virtual_host = wants_virtual_host(settings, address->vendor, name->bucket, host, is_tls);
    snprintf(address->host, sizeof(address->host), "%s%s%s", virtual_host ? name->bucket : "",
             virtual_host ? "." : "", host);

    buffer_init(&path, sizeof(address->path) - 1);
    rc = buffer_append(&path, prefix, strlen(prefix), error);
    if (rc == 0 && !virtual_host) {
        rc = buffer_append(&path, "/", 1, error);
        if (rc == 0)
            rc = sigv4_encode(name->bucket, strlen(name->bucket), 0, &path, error);
    }
    if (rc == 0)
        rc = buffer_append(&path, "/", 1, error);
    if (rc == 0)
        rc = sigv4_encode(name->key, strlen(name->key), 1, &path, error);
    if (rc == 0) {
        snprintf(address->path, sizeof(address->path), "%.*s", (int)path.len,
                 (const char *)path.data);
        snprintf(address->url, sizeof(address->url), "%s://%s%s", is_tls ? "https" : "http",
                 address->host, address->path);
    }
    buffer_release(&path);
    return rc;
}

static int ends_with(const char *text, const char *end)
{
    size_t text_len = strlen(text);
    size_t end_len = strlen(end);

    return text_len >= end_len && strcmp(text + text_len - end_len, end) == 0;
}

static enum s3_vendor vendor_of(const char *host)
{
    static const struct {
        const char *domain;
        enum s3_vendor vendor;
    } domains[] = {
        {".amazonaws.com", S3_VENDOR_AWS},     {".amazonaws.com.cn", S3_VENDOR_AWS},
        {".tigris.dev", S3_VENDOR_TIGRIS},     {"t3.storage.dev", S3_VENDOR_TIGRIS},
        {".tigrisfiles.io", S3_VENDOR_TIGRIS}, {".r2.cloudflarestorage.com", S3_VENDOR_R2},
    };
    char name[S3_ENDPOINT_MAX];

    snprintf(name, sizeof(name), "%s", host);
    name[strcspn(name, ":")] = '\0';
    for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
        if (ends_with(name, domains[i].domain))
            return domains[i].vendor;
    }
    return S3_VENDOR_OTHER;
}

/* Whether bucket can be the first label of a host name. */
static int is_label(const char *bucket)
{
    size_t len = strlen(bucket);

    return len >= 3 && len <= 63 &&
           strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len &&
           bucket[len - 1] != '-' && bucket[len - 1] != '.';
}

static int wants_virtual_host(const struct s3_settings *settings, enum s3_vendor vendor,
                              const char *bucket, const char *host, int is_tls)
{
    int is_ip = host[0] == '[' || host[strspn(host, "0123456789.:")] == '\0';

    if (settings->addressing == S3_ADDRESSING_PATH || is_ip || !is_label(bucket))
        return 0;
    if (settings->addressing == S3_ADDRESSING_VIRTUAL)
        return 1;
    if (is_tls && strchr(bucket, '.') != NULL) /* "*.host" vouches for one label only */
        return 0;
    return vendor == S3_VENDOR_AWS || vendor == S3_VENDOR_TIGRIS;
}
