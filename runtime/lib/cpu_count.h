/* cpu_count - the number of CPUs that this process may use.
 *
 * Owns:     nothing.
 * Threads:  any; blocks while it reads a few small files.
 */
#ifndef GATHERD_RUNTIME_LIB_CPU_COUNT_H
#define GATHERD_RUNTIME_LIB_CPU_COUNT_H

#include <stdint.h>

struct cpus {
    int64_t count;      /* at least 1 */
    const char *source; /* "affinity" (sched_getaffinity(2)) or "cgroup" (cpu.max or cpu.cfs_quota_us, rounded up) */
};

/* The lower of the CPU affinity and the control group limit. `root` is a prefix for /proc and /sys: "" except in
 * tests. */
struct cpus cpu_count_get(const char *root);

/* The control group limit in CPUs, rounded up; 0: unlimited. */
int64_t cpu_count_cgroup(const char *root);

#endif
