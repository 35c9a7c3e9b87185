/* A file of the AWS tools, read as both of them, and all settings taken from it. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lockstore/aws_config.h"
#include "lockstore/s3_settings.h"
#include "protocol/base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct s3_settings settings;
    struct aws_config *config = NULL;
    struct error error = {0};
    char path[64];
    int fd = memfd_create("aws", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    setenv("AWS_CONFIG_FILE", path, 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    if (aws_config_load(&config, &error) == 0) {
        if (s3_settings_load(&settings, config, &error) != 0 && error.text[0] == '\0')
            abort();
        aws_config_get_of(config, "other", "s3.addressing_style");
    }
    aws_config_free(config);
    close(fd);
    return 0;
}
