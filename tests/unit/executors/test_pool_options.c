/* test_pool_options - the parsing of pool options, and the CPU count, on which default sizes depend. */
#include "runtime/executors/pool_options.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* -- pools --------------------------------------------------------------------------------------------------------- */

/* Calls pool_options_parse() with the value of --threads; NULL: absent. Writes the pools as "name=size(source) ...". */
static int parse_threads_option(const char *threads, struct cpus cpus, char pools[600], struct err *e)
{
    struct arena *arena = arena_new();
    struct pool_options options;
    const struct field *field = pool_options_type.fields; /* threads */
    assert_string_equal(field->name, "threads");
    type_set_absent(field->type, &options.threads);
    *e = (struct err){0};
    int rc = 0;
    if (threads != NULL)
        rc = type_parse(field->type, str_from(threads), arena, NULL, &options.threads, e);
    struct array out = {0};
    if (rc == 0)
        rc = pool_options_parse(&options, cpus, arena, &out, e);
    size_t len = 0;
    pools[0] = '\0';
    for (size_t i = 0; i < out.count; i++) {
        const struct pool_config *pool = (const struct pool_config *)out.items + i;
        len += (size_t)snprintf(pools + len, 600 - len, "%s%s=%lld(%s)", i == 0 ? "" : " ", pool->name.data,
                                (long long)pool->size, pool->source);
        assert_int_equal(strlen(pool->name.data), pool->name.len);
    }
    arena_unref(arena);
    return rc;
}

static void pool_options_table(void **state)
{
    (void)state;
    static const struct {
        const char *threads;
        int64_t cpus;
        const char *pools; /* the result, or part of the error message */
        int rc;
    } rows[] = {
        {NULL, 1, "default=5(affinity)", 0},
        {NULL, 8, "default=12(affinity)", 0},
        {NULL, 28, "default=32(affinity)", 0},
        {NULL, 29, "default=32(affinity)", 0},
        {NULL, 4096, "default=32(affinity)", 0},
        {"3", 8, "default=3(configured)", 0},
        {"default=3", 8, "default=3(configured)", 0},
        {"a=1", 8, "default=12(affinity) a=1(configured)", 0},
        {"a=1,b=2,default=7,c=3", 8, "default=7(configured) a=1(configured) b=2(configured) c=3(configured)", 0},
        {"a=1,9,b=2", 8, "default=9(configured) a=1(configured) b=2(configured)", 0},
        {"z-_09=512", 1, "default=5(affinity) z-_09=512(configured)", 0},
        {"abcdefghijkl=1", 1, "default=5(affinity) abcdefghijkl=1(configured)", 0},
        {"abcdefghijklm=1", 1, "1 to 12", ERR_INVALID},
        {"=1", 1, "1 to 12", ERR_INVALID},
        {"A=1", 1, "a-z", ERR_INVALID},
        {"a b=1", 1, "a-z", ERR_INVALID},
        {"a.b=1", 1, "a-z", ERR_INVALID},
        {"\xC3\xA9=1", 1, "a-z", ERR_INVALID},
        {"a=0", 1, "at least 1", ERR_INVALID},
        {"a=513", 1, "at most 512", ERR_INVALID},
        {"a=-1", 1, "at least 1", ERR_INVALID},
        {"a=", 1, "an integer", ERR_INVALID},
        {"a", 1, "an integer", ERR_INVALID},
        {"a=1=2", 1, "an integer", ERR_INVALID},
        {"a=99999999999999999999999", 1, "at most 512", ERR_INVALID},
        {"0", 1, "at least 1", ERR_INVALID},
        {"", 1, "at least 1 item", ERR_INVALID},
        {",", 1, "item 1", ERR_INVALID},
        {"1,", 1, "item 2", ERR_INVALID},
        {"1,2", 1, "default twice", ERR_INVALID},
        {"1,default=2", 1, "default twice", ERR_INVALID},
        {"a=1,a=1", 1, "a twice", ERR_INVALID},
        {"a=1,ab=1,abc=1,ab=1", 1, "ab twice", ERR_INVALID},
        {"processes=2", 1, "processes", ERR_INVALID}, /* names of executors are reserved */
        {"loop=2", 1, "loop", ERR_INVALID},
        {"threads=2", 1, "threads", ERR_INVALID},
        {"a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1,l=1,m=1,n=1,o=1", 1,
         "default=5(affinity) a=1(configured) b=1(configured) c=1(configured) d=1(configured) e=1(configured) "
         "f=1(configured) g=1(configured) h=1(configured) i=1(configured) "
         "j=1(configured) k=1(configured) l=1(configured) m=1(configured) n=1(configured) o=1(configured)",
         0},
        {"a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1,l=1,m=1,n=1,o=1,p=1", 1, "at most 15 items", ERR_INVALID},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char pools[600];
        struct err e;
        int rc = parse_threads_option(rows[i].threads, (struct cpus){rows[i].cpus, "affinity"}, pools, &e);
        if (rc != rows[i].rc || (rc != 0 && strstr(e.msg, rows[i].pools) == NULL))
            print_message("--threads %s: %s\n", rows[i].threads, rc == 0 ? pools : e.msg);
        assert_int_equal(rc, rows[i].rc);
        if (rc == 0)
            assert_string_equal(pools, rows[i].pools);
        else
            assert_true(strncmp(e.msg, "must ", 5) == 0 && strstr(e.msg, rows[i].pools) != NULL);
    }
}

static void pool_options_random_input(void **state)
{
    (void)state;
    static const char alphabet[] = "=,=,09a_-Z \xC3";
    unsigned number = 1;
    for (int i = 0; i < 50000; i++) {
        char threads[12], pools[600];
        struct err e;
        size_t len = number % sizeof threads;
        for (size_t j = 0; j < len; j++) {
            number = number * 1103515245 + 12345;
            threads[j] = alphabet[(number >> 16) % (sizeof alphabet - 1)];
        }
        threads[len] = '\0';
        number = number * 1103515245 + 12345;
        int rc = parse_threads_option(threads, (struct cpus){2, "affinity"}, pools, &e);
        assert_true(rc == 0 || rc == ERR_INVALID);
        assert_true(rc == 0 ? strncmp(pools, "default=", 8) == 0 : strncmp(e.msg, "must ", 5) == 0);
    }
}

static void pool_options_out_of_memory(void **state)
{
    (void)state;
    struct str texts[15];
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        texts[i] = i % 2 == 0 ? str_from(&"abcdefghijkl=1"[i / 2]) : str_from(&"mnopqrstuvwx=1"[i / 2]);
    struct pool_options options = {.threads = {texts, COUNT_OF(texts)}};
    unsigned long n = 0;
    int rc;
    do {
        struct arena *arena = arena_new();
        assert_non_null(arena_alloc(arena, 600));
        struct array out = {0};
        struct err e;
        alloc_fail_at(++n);
        rc = pool_options_parse(&options, (struct cpus){1, "affinity"}, arena, &out, &e);
        bool failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(rc, failed ? ERR_OUT_OF_MEMORY : 0);
        assert_int_equal(out.count, failed ? 0 : 16);
        arena_unref(arena);
    } while (rc != 0);
    assert_true(n > 1);
}

/* -- CPU count ----------------------------------------------------------------------------------------------------- */

struct sysroot {
    char path[64];
};

static void sysroot_init(struct sysroot *r)
{
    snprintf(r->path, sizeof r->path, "/tmp/gatherd-root-XXXXXX");
    assert_non_null(mkdtemp(r->path));
}

static int remove_sysroot_entry(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info;
    (void)flag;
    (void)walk;
    return remove(path);
}

static void sysroot_remove(const struct sysroot *r)
{
    assert_int_equal(nftw(r->path, remove_sysroot_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Writes a file, and creates its missing parent directories. */
static void sysroot_write(const struct sysroot *r, const char *path, const char *content)
{
    char full[4300];
    snprintf(full, sizeof full, "%s%s", r->path, path);
    for (char *slash = strchr(full + strlen(r->path) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    assert_non_null(file);
    fputs(content, file);
    assert_int_equal(fclose(file), 0);
}

static void cgroup_cpu_limits(void **state)
{
    (void)state;
    static const char *const v1 = "12:cpuset:/\n5:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n0::/system.slice\n";
    static const struct {
        const char *groups;   /* content of /proc/self/cgroup; NULL: the file is missing */
        const char *files[6]; /* path and content of each other file */
        int64_t count;
    } rows[] = {
        {NULL, {NULL}, 0},
        {"", {NULL}, 0},
        {"0::/\n", {NULL}, 0},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "max 100000\n"}, 0},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "200000 100000\n"}, 2},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "150000 100000\n"}, 2},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "1000 100000\n"}, 1},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "100001 100000\n"}, 2},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "100000 100000"}, 1},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", ""}, 0},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "100000\n"}, 0},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "100000 0\n"}, 0},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "-1 100000\n"}, 0},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "9223372036854775807 2\n"}, INT64_C(4611686018427387904)},
        {"0::/\n", {"/sys/fs/cgroup/cpu.max", "rubbish\n"}, 0},
        /* the minimum of a group and its ancestors */
        {"0::/a/b\n", {"/sys/fs/cgroup/a/b/cpu.max", "300000 100000\n"}, 3},
        {"0::/a/b\n",
         {"/sys/fs/cgroup/a/b/cpu.max", "300000 100000\n", "/sys/fs/cgroup/a/cpu.max", "200000 100000\n"},
         2},
        {"0::/a/b\n",
         {"/sys/fs/cgroup/a/b/cpu.max", "100000 100000\n", "/sys/fs/cgroup/a/cpu.max", "200000 100000\n"},
         1},
        {"0::/a/b\n", {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n", "/sys/fs/cgroup/a/cpu.max", "400000 100000\n"}, 4},
        {"0::/a/b\n", {"/sys/fs/cgroup/a/c/cpu.max", "100000 100000\n"}, 0},
        {"0::/a/b\n", {"/sys/fs/cgroup/cpu.max", "500000 100000\n"}, 5}, /* a container; the path is that of the host */
        {"0::/../../x\n", {"/sys/fs/cgroup/cpu.max", "500000 100000\n"}, 5},
        /* cgroup version 1 */
        {v1,
         {"/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "250000\n",
          "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n"},
         3},
        {v1, {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n"}, 1},
        {v1,
         {"/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n", "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us",
          "100000\n"},
         0},
        {v1, {"/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "250000\n"}, 0},
        {"4:cpuacct,cpu:/\n",
         {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"},
         3},
        {"4:cpu:/\n",
         {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"},
         3},
        {"4:cpuset:/\n3:cpuacct:/\n",
         {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"},
         0},
        /* both versions */
        {"4:cpu:/\n0::/\n",
         {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n",
          "/sys/fs/cgroup/cpu.max", "200000 100000\n"},
         2},
        {"nonsense\n0:\n:::::\n0::/\n", {"/sys/fs/cgroup/cpu.max", "200000 100000\n"}, 2},
    };
    int64_t affinity = cpu_count_get("/nowhere").count;
    assert_true(affinity >= 1);
    assert_string_equal(cpu_count_get("/nowhere").source, "affinity");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sysroot r;
        sysroot_init(&r);
        if (rows[i].groups != NULL)
            sysroot_write(&r, "/proc/self/cgroup", rows[i].groups);
        for (size_t j = 0; j < COUNT_OF(rows[i].files) && rows[i].files[j] != NULL; j += 2)
            sysroot_write(&r, rows[i].files[j], rows[i].files[j + 1]);
        int64_t count = cpu_count_cgroup(r.path);
        if (count != rows[i].count)
            print_message("row %zu\n", i);
        assert_int_equal(count, rows[i].count);
        struct cpus cpus = cpu_count_get(r.path);
        bool less = count > 0 && count < affinity;
        assert_int_equal(cpus.count, less ? count : affinity);
        assert_string_equal(cpus.source, less ? "cgroup" : "affinity");
        sysroot_remove(&r);
    }
}

static void cgroup_long_paths(void **state)
{
    (void)state;
    static const size_t depths[] = {1, 10, 60, 126, 127, 128, 500, 900};
    for (size_t i = 0; i < COUNT_OF(depths); i++) {
        struct sysroot r;
        char groups[4200] = "0::";
        for (size_t j = 0; j < depths[i]; j++)
            memcpy(groups + strlen(groups), "/abc", 5);
        memcpy(groups + strlen(groups), "\n1:name=x:/\n", 13);
        sysroot_init(&r);
        sysroot_write(&r, "/proc/self/cgroup", groups);
        sysroot_write(&r, "/sys/fs/cgroup/abc/cpu.max", "700000 100000\n");
        assert_int_equal(cpu_count_cgroup(r.path), 7);
        sysroot_remove(&r);
    }
}

static void cpu_count_is_positive(void **state)
{
    (void)state;
    struct cpus cpus = cpu_count_get("");
    assert_true(cpus.count >= 1);
}

static void sizes_come_from_options_or_cpus(void **state)
{
    (void)state;
    const struct cpus cpus = {.count = 6, .source = "affinity"};
    struct pool_options options;
    record_set_defaults(&pool_options_type, &options);
    pool_options_set_sizes(&options, cpus);
    assert_int_equal(options.processes, 6);
    assert_string_equal(options.processes_source, "affinity");
    assert_int_equal(options.files_threads, INTEGER_ABSENT); /* the executor files is disabled */
    assert_int_equal(pool_options_count_threads(&options), 0);

    record_set_defaults(&pool_options_type, &options);
    options.files_root = STR("/srv");
    pool_options_set_sizes(&options, cpus);
    assert_int_equal(options.files_threads, 10);
    assert_string_equal(options.files_source, "affinity");
    assert_int_equal(pool_options_count_threads(&options), 10);

    options.processes = 0;
    options.files_threads = 3;
    pool_options_set_sizes(&options, cpus);
    assert_int_equal(options.processes, 0);
    assert_int_equal(options.files_threads, 3);
    assert_string_equal(options.processes_source, "configured");
    assert_string_equal(options.files_source, "configured");

    options.files_root = (struct str){0};
    pool_options_set_sizes(&options, cpus);
    assert_int_equal(pool_options_count_threads(&options), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_options_table),
        cmocka_unit_test(pool_options_random_input),
        cmocka_unit_test(pool_options_out_of_memory),
        cmocka_unit_test(cgroup_cpu_limits),
        cmocka_unit_test(cgroup_long_paths),
        cmocka_unit_test(cpu_count_is_positive),
        cmocka_unit_test(sizes_come_from_options_or_cpus),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
