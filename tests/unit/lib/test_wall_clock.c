/* test_wall_clock - the time of day, and its RFC 3339 text. */
#include "runtime/lib/util.h"
#include "runtime/lib/wall_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void wall_clock_matches_system_clock(void **state)
{
    (void)state;
    struct timespec before, after;
    clock_gettime(CLOCK_REALTIME, &before);
    int64_t us = wall_clock_us();
    clock_gettime(CLOCK_REALTIME, &after);
    if (before.tv_sec > after.tv_sec)
        skip(); /* the clock was set back */
    assert_in_range(us / 1000000, before.tv_sec, after.tv_sec);
}

static void rfc3339_is_utc_with_microseconds(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {1, "1970-01-01T00:00:00.000001Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {-1000000, "1969-12-31T23:59:59.000000Z"},
        {INT64_C(951782400123456), "2000-02-29T00:00:00.123456Z"},
        {INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"},
    };
    char out[RFC3339_SIZE];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(rfc3339_format(rows[i].us, out), strlen(rows[i].text));
        assert_string_equal(out, rows[i].text);
    }
    assert_true(rfc3339_format(INT64_MIN, out) < sizeof out);
    assert_true(rfc3339_format(INT64_MAX, out) < sizeof out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wall_clock_matches_system_clock),
        cmocka_unit_test(rfc3339_is_utc_with_microseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
