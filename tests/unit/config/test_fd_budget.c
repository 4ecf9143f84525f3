/* test_fd_budget - limits are reduced to the available descriptors, and each consumer keeps a share. */
#include "service/config/fd_budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct pool_config pools[] = {{.name = {.data = "default", .len = 7}, .size = 6, .source = "configured"}};

static struct config make_config(int64_t connections, int64_t open_files, int64_t streams, int64_t processes)
{
    struct config config = {.runtime.processes_source = "configured"};
    config.service.listen.count = 1;
    config.http.max_connections = connections;
    config.limits.max_open_files = open_files;
    config.limits.max_streams = streams;
    config.limits.pools = (struct array){pools, 1};
    config.runtime.files_root = STR("/srv");
    config.runtime.files_threads = 6;
    config.runtime.processes = processes;
    return config;
}

static int64_t total_fds(const struct config *config, int64_t max_lingering)
{
    return config->http.max_connections + config->limits.max_open_files + config->limits.max_streams +
           2 * config->runtime.processes + max_lingering;
}

static int64_t reported_limit(const struct reduced_limit reduced[], size_t count, const char *name, int64_t configured)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(reduced[i].name, name) == 0) {
            assert_int_equal(reduced[i].configured, configured);
            assert_true(reduced[i].effective < configured);
            return reduced[i].effective;
        }
    return configured;
}

static void sufficient_fds_reduce_no_limit(void **state)
{
    (void)state;
    static const uint64_t max_fds[] = {20000, 1048576, INT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(max_fds); i++) {
        struct config config = make_config(8192, 1000, 256, 8), original = config;
        struct reduced_limit reduced[MAX_REDUCED_LIMITS];
        int64_t max_lingering = 256;
        assert_int_equal(fd_budget_apply(&config, &max_lingering, max_fds[i], reduced), 0);
        assert_memory_equal(&config, &original, sizeof config);
        assert_int_equal(max_lingering, 256);
    }
}

/* For each number of descriptors, the limits do not exceed it, each consumer has a share, and the reported limits are
 * the effective limits. */
static void every_consumer_keeps_a_share(void **state)
{
    (void)state;
    for (uint64_t max_fds = 128; max_fds < 12000; max_fds++) {
        struct config config = make_config(8192, 1000, 256, 4);
        struct reduced_limit reduced[MAX_REDUCED_LIMITS];
        int64_t max_lingering = 256;
        size_t count = fd_budget_apply(&config, &max_lingering, max_fds, reduced);
        assert_true(total_fds(&config, max_lingering) + 64 <= (int64_t)max_fds);
        assert_int_equal(config.http.max_connections, reported_limit(reduced, count, "max_connections", 8192));
        assert_int_equal(config.limits.max_open_files, reported_limit(reduced, count, "max_open_files", 1000));
        assert_int_equal(config.limits.max_streams, reported_limit(reduced, count, "max_streams", 256));
        assert_int_equal(config.runtime.processes, reported_limit(reduced, count, "processes", 4));
        assert_true(config.http.max_connections >= 4 && config.limits.max_open_files >= 2);
        assert_true(config.limits.max_streams >= 1 && config.runtime.processes >= 1 && max_lingering >= 1);
        assert_string_equal(config.runtime.processes_source,
                            config.runtime.processes < 4 ? "descriptors" : "configured");
        if (max_fds > 300) /* the share of the workers suffices for all four */
            assert_int_equal(config.runtime.processes, 4);
        if (count > 0) /* all descriptors are used, except for rounding */
            assert_true(total_fds(&config, max_lingering) + 64 + 2 + 48 + 8 >= (int64_t)max_fds);
    }
}

static void small_demands_are_met_in_full(void **state)
{
    (void)state;
    struct config config = make_config(8192, 10, 5, 0);
    struct reduced_limit reduced[MAX_REDUCED_LIMITS];
    int64_t max_lingering = 20;
    assert_int_equal(fd_budget_apply(&config, &max_lingering, 900, reduced), 1);
    assert_int_equal(config.limits.max_open_files, 10);
    assert_int_equal(config.limits.max_streams, 5);
    assert_int_equal(config.runtime.processes, 0);
    assert_int_equal(max_lingering, 20);
    assert_int_equal(config.http.max_connections, 900 - 64 - 2 - 48 - 35);
}

static void file_limits_are_kept_without_files_root(void **state)
{
    (void)state;
    struct config config = make_config(8192, 1000, 256, 2);
    struct reduced_limit reduced[MAX_REDUCED_LIMITS];
    int64_t max_lingering = 0;
    config.runtime.files_root = (struct str){0};
    config.runtime.files_threads = INTEGER_ABSENT;
    assert_int_equal(fd_budget_apply(&config, &max_lingering, 900, reduced), 1);
    assert_int_equal(config.limits.max_open_files, 1000);
    assert_int_equal(config.limits.max_streams, 256);
    assert_int_equal(config.http.max_connections, 900 - 64 - 2 - 24 - 4);
}

static void many_workers_and_threads_leave_fds_for_others(void **state)
{
    (void)state;
    struct config config = make_config(8192, 1000, 256, 256);
    struct reduced_limit reduced[MAX_REDUCED_LIMITS];
    int64_t max_lingering = 256;
    config.runtime.files_threads = 512;
    assert_int_equal(fd_budget_apply(&config, &max_lingering, 900, reduced), 4);
    assert_string_equal(reduced[3].name, "processes");
    assert_true(config.runtime.processes > 50 && config.runtime.processes < 100);
    assert_true(config.http.max_connections > 250 && config.limits.max_open_files > 125);
    assert_true(config.limits.max_streams > 60);
}

static void insufficient_fds_reduce_limits_to_one(void **state)
{
    (void)state;
    for (uint64_t max_fds = 0; max_fds < 64; max_fds++) {
        struct config config = make_config(8192, 1000, 256, 4);
        struct reduced_limit reduced[MAX_REDUCED_LIMITS];
        int64_t max_lingering = 256;
        assert_int_equal(fd_budget_apply(&config, &max_lingering, max_fds, reduced), 4);
        assert_int_equal(config.http.max_connections, 1);
        assert_int_equal(config.limits.max_open_files, 1);
        assert_int_equal(config.limits.max_streams, 1);
        assert_int_equal(config.runtime.processes, 1);
        assert_int_equal(max_lingering, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sufficient_fds_reduce_no_limit),
        cmocka_unit_test(every_consumer_keeps_a_share),
        cmocka_unit_test(small_demands_are_met_in_full),
        cmocka_unit_test(file_limits_are_kept_without_files_root),
        cmocka_unit_test(many_workers_and_threads_leave_fds_for_others),
        cmocka_unit_test(insufficient_fds_reduce_limits_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
