#include "protocol/base/clock.h"

#include <time.h>

uint64_t clock_monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t clock_wall_seconds(void)
{
    return (int64_t)time(NULL);
}

int64_t clock_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void clock_format_utc(int64_t seconds, char *out, size_t out_size)
{
    time_t moment = (time_t)seconds;
    struct tm parts;

    /* A year beyond an int is no date: such seconds may stand in a record that somebody else wrote. */
    if ((gmtime_r(&moment, &parts) == NULL ||
         strftime(out, out_size, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) &&
        out_size > 0)
        out[0] = '\0';
}
