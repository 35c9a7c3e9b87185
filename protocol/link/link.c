#include "protocol/link/link.h"

#include <stdlib.h>

#include "protocol/base/limits.h"

void link_write_take(struct link *link, uint8_t *data, size_t len)
{
    if (len == 0) {
        free(data);
        return;
    }
    link->methods->write_take(link, data, len);
}

size_t link_queue_max(const struct link *link)
{
    return link->queue_max != 0 ? link->queue_max : LIMIT_LINK_QUEUE;
}

size_t link_queued(const struct link *link)
{
    return link->queued;
}

void link_pause(struct link *link)
{
    link->methods->pause(link);
}

void link_resume(struct link *link)
{
    link->methods->resume(link);
}

void link_shutdown(struct link *link)
{
    link->methods->shutdown(link);
}

void link_close(struct link *link)
{
    link->methods->close(link);
}

struct link_traffic link_traffic(const struct link *link)
{
    return link->traffic;
}

const char *link_name(const struct link *link)
{
    return link->name;
}
