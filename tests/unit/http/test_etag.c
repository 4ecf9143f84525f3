/* Entity-tags: a list is read as RFC 9110 has it, and what is malformed names nothing. */
#include "handlers/http/etag.h"
#include "runtime/lib/util.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct file_version stamp = {.inode = 0xa80210, .size_bytes = 8, .modified_us = 0x660dd7ae60c35};
#define TAG "\"a80210-8-660dd7ae60c35\""

static void test_tags_are_made_of_all_that_differs(void **state)
{
    (void)state;
    char tag[ETAG_SIZE];
    etag_make(&stamp, tag);
    assert_string_equal(tag, TAG);
    etag_make(&(struct file_version){UINT64_MAX, UINT64_MAX, -1}, tag);
    assert_string_equal(tag, "\"ffffffffffffffff-ffffffffffffffff-ffffffffffffffff\"");
}

static void test_lists_that_name_it(void **state)
{
    (void)state;
    static const char *const strong[] = {"*",
                                         " * ",
                                         TAG,
                                         "\t" TAG " ",
                                         "\"x\", " TAG,
                                         TAG ",\"x\"",
                                         "," TAG,
                                         TAG ",",
                                         ", ,\t," TAG ",,",
                                         "W/\"x\"," TAG,
                                         "\"\"," TAG,
                                         "\"a,b\"," TAG,
                                         "\"*\"," TAG,
                                         "\"\xc3\xa9\x80\"," TAG,
                                         "W/" TAG "," TAG,
                                         "\"a\\\"," TAG};
    for (size_t i = 0; i < COUNT_OF(strong); i++) {
        assert_true(etag_look_up(str_from(strong[i]), TAG, false) == ETAG_LISTED);
        assert_true(etag_look_up(str_from(strong[i]), TAG, true) == ETAG_LISTED);
    }
    static const char *const weak[] = {"W/" TAG, "\"x\", W/" TAG, "W/" TAG ", W/\"x\""};
    for (size_t i = 0; i < COUNT_OF(weak); i++) {
        assert_false(etag_look_up(str_from(weak[i]), TAG, false) == ETAG_LISTED);
        assert_true(etag_look_up(str_from(weak[i]), TAG, true) == ETAG_LISTED);
    }
}

static void expect_for_all(const char *const lists[], enum etag_verdict verdict)
{
    for (size_t i = 0; lists[i] != NULL; i++)
        if (etag_look_up(str_from(lists[i]), TAG, false) != verdict ||
            etag_look_up(str_from(lists[i]), TAG, true) != verdict)
            fail_msg("%s", lists[i]);
}

static void test_lists_that_do_not(void **state)
{
    (void)state;
    static const char *const lists[] = {"\"x\"",
                                        "\"\"",
                                        "W/\"x\"",
                                        "\"*\"",
                                        "\"a80210-8-660dd7ae60c3\"",
                                        "\"a80210-8-660dd7ae60c355\"",
                                        "\"A80210-8-660dd7ae60c35\"",
                                        NULL};
    expect_for_all(lists, ETAG_NOT_LISTED);
}

/* Some with the tag in them. */
static void test_lists_that_are_none(void **state)
{
    (void)state;
    static const char *const lists[] = {"",
                                        " ",
                                        ",",
                                        ",,",
                                        "a80210-8-660dd7ae60c35",
                                        "**",
                                        "*, *",
                                        "*,",
                                        "*, " TAG,
                                        TAG ", *",
                                        TAG TAG,
                                        TAG " " TAG,
                                        TAG " x",
                                        TAG ", x",
                                        "x, " TAG,
                                        "\"",
                                        TAG ", \"",
                                        TAG ", \"x",
                                        "w/" TAG,
                                        "W/",
                                        TAG ", W/",
                                        "W /" TAG,
                                        "W/ " TAG,
                                        "W/W/" TAG,
                                        "W/*",
                                        TAG ", W",
                                        TAG "; a",
                                        "\"a b\", " TAG,
                                        "\"a\tb\", " TAG,
                                        "\"\x7f\", " TAG,
                                        "'x', " TAG,
                                        "\"a\"b\", " TAG,
                                        TAG ", W/,",
                                        NULL};
    expect_for_all(lists, ETAG_MALFORMED);
    assert_int_equal(etag_look_up(str_from(NULL), TAG, true), ETAG_MALFORMED);
    assert_int_equal(etag_look_up(STR(",,"), "", true), ETAG_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags_are_made_of_all_that_differs),
        cmocka_unit_test(test_lists_that_name_it),
        cmocka_unit_test(test_lists_that_do_not),
        cmocka_unit_test(test_lists_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
