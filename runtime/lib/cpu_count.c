#include "runtime/lib/cpu_count.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_MOST = 4400, CPUS_MOST = 4096 }; /* groups' paths are as long as the kernel's may be */

static int64_t by_affinity(void)
{
    cpu_set_t *set = CPU_ALLOC(CPUS_MOST);
    if (set == NULL)
        return 1;
    size_t size = CPU_ALLOC_SIZE(CPUS_MOST);
    int64_t count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 1;
    CPU_FREE(set);
    return count > 0 ? count : 1;
}

/* The first line of a file, without its newline; false when there is none. */
static bool read_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool ok = fgets(line, size, file) != NULL;
    fclose(file);
    if (ok)
        line[strcspn(line, "\n")] = '\0';
    return ok;
}

/* quota / period, rounded up; 0 when there is no limit. */
static int64_t share(long long quota, long long period)
{
    return quota > 0 && period > 0 ? quota / period + (quota % period != 0) : 0;
}

static int64_t limit_v2(const char *root, const char *group)
{
    char path[PATH_MOST], line[64], *end;
    snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/cpu.max", root, group);
    if (!read_line(path, line, sizeof line))
        return 0;
    long long quota = strtoll(line, &end, 10); /* "max 100000", which is no number, is no limit */
    return share(quota, strtoll(end, NULL, 10));
}

static int64_t limit_v1(const char *root, const char *group)
{
    char path[PATH_MOST], line[64];
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", root, group);
    long long quota = read_line(path, line, sizeof line) ? strtoll(line, NULL, 10) : -1;
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", root, group);
    return share(quota, read_line(path, line, sizeof line) ? strtoll(line, NULL, 10) : 0);
}

/* The least limit of a group and all groups around it; 0: none. In a container the path that /proc knows may be the host's,
 * and the group be mounted at the root: that is tried in the end. */
static int64_t least(const char *root, char *group, int64_t (*limit)(const char *root, const char *group))
{
    int64_t found = 0;
    for (;;) {
        int64_t count = limit(root, group);
        if (count > 0 && (found == 0 || count < found))
            found = count;
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return found;
        *slash = '\0';
    }
}

/* Whether a list such as "cpu,cpuacct" has the controller cpu in it. */
static bool has_cpu(const char *controllers)
{
    for (const char *at = controllers;; at++) {
        size_t len = strcspn(at, ",");
        if (len == 3 && memcmp(at, "cpu", 3) == 0)
            return true;
        at += len;
        if (*at == '\0')
            return false;
    }
}

/* /proc/self/cgroup has lines ID:CONTROLLERS:PATH; version 2 has no controllers (cgroups(7)). */
int64_t cpus_by_cgroup(const char *root)
{
    char path[PATH_MOST], line[PATH_MOST];
    int64_t found = 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (group == NULL)
            continue;
        *group++ = '\0';
        int64_t count = 0;
        if (controllers[1] == '\0')
            count = least(root, group, limit_v2);
        else if (has_cpu(controllers + 1))
            count = least(root, group, limit_v1);
        if (count > 0 && (found == 0 || count < found))
            found = count;
    }
    fclose(file);
    return found;
}

struct cpus cpus_count(const char *root)
{
    int64_t affinity = by_affinity(), cgroup = cpus_by_cgroup(root);
    if (cgroup > 0 && cgroup < affinity)
        return (struct cpus){cgroup, "cgroup"};
    return (struct cpus){affinity, "affinity"};
}
