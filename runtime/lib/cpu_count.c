#include "runtime/lib/cpu_count.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CGROUP_PATH_MAX = 4400, /* PATH_MAX and a prefix */
    MAX_CPUS = 4096,
};

static int64_t cpu_count_affinity(void)
{
    cpu_set_t *set = CPU_ALLOC(MAX_CPUS);
    if (set == NULL)
        return 1;
    size_t size = CPU_ALLOC_SIZE(MAX_CPUS);
    int64_t count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 1;
    CPU_FREE(set);
    return count > 0 ? count : 1;
}

/* Reads the first line of a file, without its newline. False: the file is missing or empty. */
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

/* quota / period, rounded up; 0 if unlimited. */
static int64_t quota_to_cpus(long long quota, long long period)
{
    return quota > 0 && period > 0 ? quota / period + (quota % period != 0) : 0;
}

static int64_t cgroup_v2_limit(const char *root, const char *group)
{
    char path[CGROUP_PATH_MAX], line[64], *end;
    snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/cpu.max", root, group);
    if (!read_line(path, line, sizeof line))
        return 0;
    long long quota = strtoll(line, &end, 10); /* "max 100000" parses as 0: unlimited */
    return quota_to_cpus(quota, strtoll(end, NULL, 10));
}

static int64_t cgroup_v1_limit(const char *root, const char *group)
{
    char path[CGROUP_PATH_MAX], line[64];
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", root, group);
    long long quota = read_line(path, line, sizeof line) ? strtoll(line, NULL, 10) : -1;
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", root, group);
    return quota_to_cpus(quota, read_line(path, line, sizeof line) ? strtoll(line, NULL, 10) : 0);
}

/* The smallest limit of a group and its ancestors, up to the root; 0: unlimited. Truncates `group`. The root matters in
 * a container: /proc may show the group's path on the host, while the group is mounted as the root of
 * /sys/fs/cgroup. */
static int64_t min_cgroup_limit(const char *root, char *group,
                                int64_t (*read_limit)(const char *root, const char *group))
{
    int64_t min = 0;
    for (;;) {
        int64_t count = read_limit(root, group);
        if (count > 0 && (min == 0 || count < min))
            min = count;
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return min;
        *slash = '\0';
    }
}

/* Whether a list such as "cpu,cpuacct" contains "cpu". */
static bool has_cpu_controller(const char *controllers)
{
    for (const char *name = controllers;; name++) {
        size_t len = strcspn(name, ",");
        if (len == 3 && memcmp(name, "cpu", 3) == 0)
            return true;
        name += len;
        if (*name == '\0')
            return false;
    }
}

/* Lines of /proc/self/cgroup are ID:CONTROLLERS:PATH; CONTROLLERS is empty in version 2 (cgroups(7)). */
int64_t cpu_count_cgroup(const char *root)
{
    char path[CGROUP_PATH_MAX], line[CGROUP_PATH_MAX];
    int64_t min = 0;
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
            count = min_cgroup_limit(root, group, cgroup_v2_limit);
        else if (has_cpu_controller(controllers + 1))
            count = min_cgroup_limit(root, group, cgroup_v1_limit);
        if (count > 0 && (min == 0 || count < min))
            min = count;
    }
    fclose(file);
    return min;
}

struct cpus cpu_count_get(const char *root)
{
    int64_t affinity = cpu_count_affinity(), cgroup = cpu_count_cgroup(root);
    if (cgroup > 0 && cgroup < affinity)
        return (struct cpus){cgroup, "cgroup"};
    return (struct cpus){affinity, "affinity"};
}
