#include "lockstore/s3_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lockstore/aws_config.h"
#include "lockstore/sigv4.h"
#include "protocol/base/hex.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/base/random.h"

#define DIGEST_DIGITS 32

/* The folder, made where it is missing. 0 or -1. */
static int folder_path(char *out, size_t size)
{
    const char *cache = aws_environment("XDG_CACHE_HOME");
    const char *home = aws_environment("HOME");
    char base[LIMIT_PATH];

    /* The XDG specification: a path that is not absolute is to be ignored. */
    if (cache != NULL && cache[0] == '/')
        snprintf(base, sizeof(base), "%s", cache);
    else if (home != NULL)
        snprintf(base, sizeof(base), "%s/.cache", home);
    else
        return -1;
    if (snprintf(out, size, "%s/lockstep", base) >= (int)size)
        return -1;
    if ((mkdir(base, 0700) != 0 && errno != EEXIST) || (mkdir(out, 0700) != 0 && errno != EEXIST))
        return -1;
    return 0;
}

static int file_path(const char *endpoint, const char *bucket, char out[LIMIT_PATH])
{
    char name[S3_ENDPOINT_MAX + LIMIT_S3_BUCKET + 2];
    char digest[SIGV4_SHA256_SIZE];
    char folder[LIMIT_PATH - DIGEST_DIGITS - 8];

    if (folder_path(folder, sizeof(folder)) != 0)
        return -1;
    snprintf(name, sizeof(name), "%s\n%s", endpoint, bucket);
    sigv4_sha256(name, strlen(name), digest);
    snprintf(out, LIMIT_PATH, "%s/s3-%.*s", folder, DIGEST_DIGITS, digest);
    return 0;
}

void s3_memory_load(struct s3_memory *memory, const char *endpoint, const char *bucket)
{
    char path[LIMIT_PATH];
    char line[128];
    FILE *file;

    *memory = (struct s3_memory){0};
    if (file_path(endpoint, bucket, path) != 0 || (file = fopen(path, "re")) == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "etags bare") == 0)
            memory->bare_etags = 1;
        else if (strcmp(line, "conditions proven") == 0)
            memory->proven = 1;
        else if (strncmp(line, "region ", 7) == 0 && s3_region_is_valid(line + 7))
            snprintf(memory->region, sizeof(memory->region), "%.63s", line + 7);
    }
    fclose(file);
}

void s3_memory_save(const struct s3_memory *memory, const char *endpoint, const char *bucket)
{
    char temporary[LIMIT_PATH + 24];
    char path[LIMIT_PATH];
    char digits[17];
    uint8_t noise[8];
    char text[256];
    ssize_t len;
    int fd;

    if (file_path(endpoint, bucket, path) != 0)
        return;
    len = snprintf(text, sizeof(text), "%s%s%s%s%s", memory->bare_etags ? "etags bare\n" : "",
                   memory->proven ? "conditions proven\n" : "",
                   memory->region[0] != '\0' ? "region " : "", memory->region,
                   memory->region[0] != '\0' ? "\n" : "");
    random_bytes(noise, sizeof(noise));
    snprintf(temporary, sizeof(temporary), "%s.%s", path, hex_encode(noise, sizeof(noise), digits));
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)len) != len || rename(temporary, path) != 0) {
        log_line(LOG_DEBUG, "what was learned of the lock store could not be kept in %s: %s", path,
                 strerror(errno));
        if (fd >= 0)
            unlink(temporary);
    }
    if (fd >= 0)
        close(fd);
}
