/* test_etag - entity tags: formatting, and matching against lists (RFC 9110). */
#include "handlers/http/etag.h"
#include "runtime/lib/util.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct file_version version = {.inode = 0xa80210, .size_bytes = 8, .modified_us = 0x660dd7ae60c35};
#define TAG "\"a80210-8-660dd7ae60c35\""

static void etag_encodes_inode_size_and_mtime(void **state)
{
    (void)state;
    char tag[ETAG_SIZE];
    etag_format(&version, tag);
    assert_string_equal(tag, TAG);
    etag_format(&(struct file_version){UINT64_MAX, UINT64_MAX, -1}, tag);
    assert_string_equal(tag, "\"ffffffffffffffff-ffffffffffffffff-ffffffffffffffff\"");
}

static void list_with_tag_matches(void **state)
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
        assert_true(etag_match_list(str_from(strong[i]), TAG, false) == ETAG_MATCH);
        assert_true(etag_match_list(str_from(strong[i]), TAG, true) == ETAG_MATCH);
    }
    static const char *const weak[] = {"W/" TAG, "\"x\", W/" TAG, "W/" TAG ", W/\"x\""};
    for (size_t i = 0; i < COUNT_OF(weak); i++) {
        assert_false(etag_match_list(str_from(weak[i]), TAG, false) == ETAG_MATCH);
        assert_true(etag_match_list(str_from(weak[i]), TAG, true) == ETAG_MATCH);
    }
}

static void expect_result(const char *const lists[], enum etag_result expected)
{
    for (size_t i = 0; lists[i] != NULL; i++)
        if (etag_match_list(str_from(lists[i]), TAG, false) != expected ||
            etag_match_list(str_from(lists[i]), TAG, true) != expected)
            fail_msg("%s", lists[i]);
}

static void list_without_tag_does_not_match(void **state)
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
    expect_result(lists, ETAG_NO_MATCH);
}

/* Malformed lists are rejected even if they contain the tag. */
static void malformed_list_is_rejected(void **state)
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
    expect_result(lists, ETAG_MALFORMED);
    assert_int_equal(etag_match_list(str_from(NULL), TAG, true), ETAG_MALFORMED);
    assert_int_equal(etag_match_list(STR(",,"), "", true), ETAG_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etag_encodes_inode_size_and_mtime),
        cmocka_unit_test(list_with_tag_matches),
        cmocka_unit_test(list_without_tag_does_not_match),
        cmocka_unit_test(malformed_list_is_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
