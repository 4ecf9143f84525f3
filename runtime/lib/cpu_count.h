/* cpu_count - how many processors this process may use, and what says so.
 *
 * Owns:     nothing.
 * Threads:  any; reads a few files at once.
 */
#ifndef GATHERD_RUNTIME_LIB_CPU_COUNT_H
#define GATHERD_RUNTIME_LIB_CPU_COUNT_H

#include <stdint.h>

struct cpus {
    int64_t count;      /* at least 1 */
    const char *source; /* "affinity" (sched_getaffinity(2)) or "cgroup" (cpu.max or cpu.cfs_quota_us, rounded up) */
};

/* `root` is "" or, in tests, where a copy of /proc and /sys lies. The lesser of both counts. */
struct cpus cpu_count_get(const char *root);

/* How many the control groups allow, rounded up; 0: as many as there are. */
int64_t cpu_count_cgroup(const char *root);

#endif
