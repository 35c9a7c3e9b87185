#include "protocol/base/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL ? value : "";
}

const char *instance_default(char out[INSTANCE_MAX + 1])
{
    const char *region = variable("FLY_REGION");
    const char *app = variable("FLY_APP_NAME");
    const char *machine = variable("FLY_MACHINE_ID");
    char host[65] = "";

    if (machine[0] != '\0') {
        snprintf(out, INSTANCE_MAX + 1, "%s%s%s%s%s", region, region[0] != '\0' ? "/" : "", app,
                 app[0] != '\0' ? "/" : "", machine);
        return "FLY_MACHINE_ID";
    }
    gethostname(host, sizeof(host) - 1);
    snprintf(out, INSTANCE_MAX + 1, "%s-%ld", host, (long)getpid());
    return NULL;
}

char *instance_region(const char *instance, char *out, size_t size)
{
    size_t len = strcspn(instance, "/");

    snprintf(out, size, "%.*s", instance[len] == '/' ? (int)len : 0, instance);
    return out;
}
