/* test_ids - ids are unique, sorted by time, and protected by a checksum. */
#include "handlers/resources/ids.h"
#include "runtime/lib/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ID_COUNT = 20000 }; /* enough to refill the buffer of random bytes many times */

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, ID_SIZE);
}

static void ids_are_unique(void **state)
{
    (void)state;
    static struct ids ids;
    assert_int_equal(ids_init(&ids, NULL), 0);
    char(*all)[ID_SIZE] = malloc(sizeof *all * ID_COUNT);
    assert_non_null(all);
    for (int i = 0; i < ID_COUNT; i++)
        ids_generate(&ids, 1, all[i]);
    qsort(all, ID_COUNT, sizeof *all, compare_ids);
    for (int i = 1; i < ID_COUNT; i++)
        assert_int_not_equal(memcmp(all[i - 1], all[i], ID_SIZE), 0);
    free(all);
}

static void ids_sort_by_time(void **state)
{
    (void)state;
    static const int64_t times_us[] = {0, 999, 1000, 1795348823123456, INT64_C(1) << 59};
    struct ids ids;
    char id[ID_SIZE], before[ID_SIZE] = "";
    assert_int_equal(ids_init(&ids, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(times_us); i++) {
        int64_t ms = -1;
        ids_generate(&ids, times_us[i], id);
        assert_int_equal(strlen(id), ID_LEN);
        assert_true(ids_parse_time(str_from(id), &ms));
        assert_true(ms == times_us[i] / 1000);
        assert_true(i < 2 || strcmp(before, id) < 0); /* the first two have the same millisecond */
        memcpy(before, id, sizeof id);
    }
}

static void altered_ids_are_rejected(void **state)
{
    (void)state;
    struct ids ids;
    char id[ID_SIZE], altered[ID_SIZE];
    int64_t ms;
    int accepted = 0;
    assert_int_equal(ids_init(&ids, NULL), 0);
    ids_generate(&ids, 1795348823123456, id);
    assert_false(ids_parse_time(STR(""), &ms));
    assert_false(ids_parse_time((struct str){id, ID_LEN - 1}, &ms));
    for (int i = 0; i < ID_LEN; i++) {
        for (const char *c = "0123456789ABCDEFGHJKMNPQRSTVWXYZilou-"; *c != '\0'; c++) {
            memcpy(altered, id, sizeof id);
            altered[i] = *c;
            if (*c != id[i])
                accepted += ids_parse_time(str_from(altered), &ms);
        }
    }
    assert_int_equal(accepted, 0); /* every change of one character is detected */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_unique),
        cmocka_unit_test(ids_sort_by_time),
        cmocka_unit_test(altered_ids_are_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
