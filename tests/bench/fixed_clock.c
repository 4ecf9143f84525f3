/* fixed_clock - a clock_gettime(2) for LD_PRELOAD, with a constant CLOCK_REALTIME. Formatting a time takes more or
 * fewer instructions depending on its digits: with the real clock, the instructions of a request vary by 1 % with the
 * date and the time of day.
 */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc's names are reserved */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    static const struct timespec fixed = {.tv_sec = 1921581635, .tv_nsec = 923762000}; /* 2030-11-22T12:40:35.923762Z */
    if (clock != CLOCK_REALTIME)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = fixed;
    return 0;
}
