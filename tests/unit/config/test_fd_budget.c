/* descriptors - where the system allows fewer than the limits add up to, each keeps a share, and all fits. */
#include "service/config/fd_budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct pool_config pools[] = {{.name = {.at = "default", .len = 7}, .size = 6, .source = "configured"}};

static struct config config_of(int64_t connections, int64_t files, int64_t streams, int64_t processes)
{
    struct config config = {.processes_source = "configured"};
    config.service.listen.count = 1;
    config.http.max_connections = connections;
    config.limits.max_open_files = files;
    config.limits.max_streams = streams;
    config.limits.pools = (struct array){pools, 1};
    config.runtime.files_root = STR("/srv");
    config.runtime.files_threads = 6;
    config.runtime.processes = processes;
    return config;
}

static int64_t sum(const struct config *config, int64_t lingers)
{
    return config->http.max_connections + config->limits.max_open_files + config->limits.max_streams +
           2 * config->runtime.processes + lingers;
}

static int64_t lowered_to(const struct lowered lowered[], size_t count, const char *name, int64_t asked)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(lowered[i].name, name) == 0) {
            assert_int_equal(lowered[i].asked, asked);
            assert_true(lowered[i].now < asked);
            return lowered[i].now;
        }
    return asked;
}

static void where_there_are_enough_nothing_is_lowered(void **state)
{
    (void)state;
    static const uint64_t most[] = {20000, 1048576, INT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(most); i++) {
        struct config config = config_of(8192, 1000, 256, 8), same = config;
        struct lowered lowered[LOWERED_MOST];
        int64_t lingers = 256;
        assert_int_equal(descriptors_fit(&config, &lingers, most[i], lowered), 0);
        assert_memory_equal(&config, &same, sizeof config);
        assert_int_equal(lingers, 256);
    }
}

/* At each number of descriptors that a service can live with, all together is within it, each has a part, and what is told is what is. */
static void everybody_keeps_a_share(void **state)
{
    (void)state;
    for (uint64_t most = 128; most < 12000; most++) {
        struct config config = config_of(8192, 1000, 256, 4);
        struct lowered lowered[LOWERED_MOST];
        int64_t lingers = 256;
        size_t count = descriptors_fit(&config, &lingers, most, lowered);
        assert_true(sum(&config, lingers) + 64 <= (int64_t)most);
        assert_int_equal(config.http.max_connections, lowered_to(lowered, count, "max_connections", 8192));
        assert_int_equal(config.limits.max_open_files, lowered_to(lowered, count, "max_open_files", 1000));
        assert_int_equal(config.limits.max_streams, lowered_to(lowered, count, "max_streams", 256));
        assert_int_equal(config.runtime.processes, lowered_to(lowered, count, "processes", 4));
        assert_true(config.http.max_connections >= 4 && config.limits.max_open_files >= 2);
        assert_true(config.limits.max_streams >= 1 && config.runtime.processes >= 1 && lingers >= 1);
        assert_string_equal(config.processes_source, config.runtime.processes < 4 ? "descriptors" : "configured");
        if (most > 300) /* four workers need no more than their share */
            assert_int_equal(config.runtime.processes, 4);
        if (count > 0) /* nothing is left over while somebody goes without */
            assert_true(sum(&config, lingers) + 64 + 2 + 48 + 8 >= (int64_t)most);
    }
}

static void who_wants_little_gets_it(void **state)
{
    (void)state;
    struct config config = config_of(8192, 10, 5, 0);
    struct lowered lowered[LOWERED_MOST];
    int64_t lingers = 20;
    assert_int_equal(descriptors_fit(&config, &lingers, 900, lowered), 1);
    assert_int_equal(config.limits.max_open_files, 10);
    assert_int_equal(config.limits.max_streams, 5);
    assert_int_equal(config.runtime.processes, 0);
    assert_int_equal(lingers, 20);
    assert_int_equal(config.http.max_connections, 900 - 64 - 2 - 48 - 35);
}

static void without_a_root_of_files_they_take_no_part(void **state)
{
    (void)state;
    struct config config = config_of(8192, 1000, 256, 2);
    struct lowered lowered[LOWERED_MOST];
    int64_t lingers = 0;
    config.runtime.files_root = (struct str){0};
    assert_int_equal(descriptors_fit(&config, &lingers, 900, lowered), 1);
    assert_int_equal(config.limits.max_open_files, 1000);
    assert_int_equal(config.limits.max_streams, 256);
    assert_int_equal(config.http.max_connections, 900 - 64 - 2 - 24 - 4);
}

static void many_workers_and_threads_leave_something_to_the_others(void **state)
{
    (void)state;
    struct config config = config_of(8192, 1000, 256, 256);
    struct lowered lowered[LOWERED_MOST];
    int64_t lingers = 256;
    config.runtime.files_threads = 512;
    assert_int_equal(descriptors_fit(&config, &lingers, 900, lowered), 4);
    assert_string_equal(lowered[3].name, "processes");
    assert_true(config.runtime.processes > 50 && config.runtime.processes < 100);
    assert_true(config.http.max_connections > 250 && config.limits.max_open_files > 125);
    assert_true(config.limits.max_streams > 60);
}

static void with_far_too_few_there_is_one_of_each(void **state)
{
    (void)state;
    for (uint64_t most = 0; most < 64; most++) {
        struct config config = config_of(8192, 1000, 256, 4);
        struct lowered lowered[LOWERED_MOST];
        int64_t lingers = 256;
        assert_int_equal(descriptors_fit(&config, &lingers, most, lowered), 4);
        assert_int_equal(config.http.max_connections, 1);
        assert_int_equal(config.limits.max_open_files, 1);
        assert_int_equal(config.limits.max_streams, 1);
        assert_int_equal(config.runtime.processes, 1);
        assert_int_equal(lingers, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_there_are_enough_nothing_is_lowered),
        cmocka_unit_test(everybody_keeps_a_share),
        cmocka_unit_test(who_wants_little_gets_it),
        cmocka_unit_test(without_a_root_of_files_they_take_no_part),
        cmocka_unit_test(many_workers_and_threads_leave_something_to_the_others),
        cmocka_unit_test(with_far_too_few_there_is_one_of_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
