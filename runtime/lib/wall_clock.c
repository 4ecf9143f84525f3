#include "runtime/lib/wall_clock.h"

#include "runtime/lib/check.h"

#include <stdio.h>
#include <time.h>

int64_t wall_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now); /* fails only for an unknown clock */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

size_t rfc3339_format(int64_t us, char out[RFC3339_SIZE])
{
    time_t seconds = us / 1000000;
    int fraction = (int)(us % 1000000);
    if (fraction < 0) { /* before 1970; C rounds towards 0 */
        seconds--;
        fraction += 1000000;
    }
    struct tm tm;
    CHECK(gmtime_r(&seconds, &tm) != NULL); /* fails only if the year exceeds an int: not with 64-bit microseconds */
    return (size_t)snprintf(out, RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                            tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
}
