/* test_json_writer - escapes, numbers, growth and out of memory. */
#include "handlers/json/json_writer.h"
#include "runtime/lib/util.h"
#include "tests/unit/support/alloc_fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_output(struct json_writer *w, const char *expected)
{
    size_t len = 12345;
    char *text = json_writer_take(w, &len);
    assert_non_null(text);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(text, expected, len);
    free(text);
    assert_null(w->data);
    assert_int_equal(w->len, 0);
}

static void strings_are_escaped(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        const char *json;
    } rows[] = {
        {STR(""), "\"\""},
        {{NULL, 0}, "\"\""},
        {STR("plain"), "\"plain\""},
        {STR("\""), "\"\\\"\""},
        {STR("a\\b"), "\"a\\\\b\""},
        {STR("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
        {STR("\0"), "\"\\u0000\""},
        {STR("\x01"
             "a\x1f"),
         "\"\\u0001a\\u001f\""},
        {STR("\x7f/"), "\"\x7f/\""},
        {STR("Grüße, 世界 \U0001F600"), "\"Grüße, 世界 \U0001F600\""},
        {STR("\nmiddle\n"), "\"\\nmiddle\\n\""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_writer w = {0};
        json_writer_string(&w, rows[i].text);
        expect_output(&w, rows[i].json);
    }
}

static void extreme_integers_are_exact(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 1, -1, 9, 10, -10, 123456789, INT32_MIN, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "%lld", (long long)numbers[i]);
        struct json_writer w = {0};
        json_writer_integer(&w, numbers[i]);
        expect_output(&w, expected);
    }
}

static void seconds_use_shortest_exact_form(void **state)
{
    (void)state;
    struct json_writer w = {0};
    json_writer_seconds(&w, 0);
    json_writer_raw(&w, " ");
    json_writer_seconds(&w, 1500 * NS_PER_MS);
    json_writer_raw(&w, " ");
    json_writer_seconds(&w, 1);
    expect_output(&w, "0 1.5 0.000000001");
}

/* Formats text with every possible amount of free capacity. */
static void members_and_items_have_commas(void **state)
{
    (void)state;
    struct json_writer w = {0};
    json_writer_raw(&w, "{");
    json_writer_member_string(&w, "text", "a\"{");
    json_writer_member_integer(&w, "number", -1);
    json_writer_member_raw(&w, "raw", "null");
    json_writer_open_array(&w, "items");
    json_writer_item_string(&w, "[");
    json_writer_item(&w);
    json_writer_raw(&w, "[");
    json_writer_item(&w);
    json_writer_raw(&w, "1]");
    json_writer_item_string(&w, "");
    json_writer_raw(&w, "]");
    json_writer_open_object(&w, "empty");
    json_writer_raw(&w, "}");
    json_writer_open_object(&w, "object");
    json_writer_member(&w, "last");
    json_writer_seconds(&w, 0);
    json_writer_raw(&w, "}}");
    expect_output(&w, "{\"text\":\"a\\\"{\",\"number\":-1,\"raw\":null,\"items\":[\"[\",[1],\"\"],\"empty\":{},"
                      "\"object\":{\"last\":0}}");
}

static void format_grows_buffer(void **state)
{
    (void)state;
    for (size_t before = 0; before < 1100; before++) {
        struct json_writer w = {0};
        for (size_t i = 0; i < before; i++)
            json_writer_bytes(&w, "x", 1);
        json_writer_format(&w, "%s-%d", "formatted", 42);
        assert_int_equal(w.len, before + 12);
        assert_memory_equal(w.data + before, "formatted-42", 12);
        assert_true(w.capacity >= w.len);
        json_writer_free(&w);
    }
}

static void large_output_is_complete(void **state)
{
    (void)state;
    enum { LINES = 100000 };
    struct json_writer w = {0};
    for (int i = 0; i < LINES; i++)
        json_writer_format(&w, "%07d\n", i);
    size_t len;
    char *text = json_writer_take(&w, &len);
    assert_non_null(text);
    assert_int_equal(len, 8 * LINES);
    for (int i = 0; i < LINES; i++)
        assert_int_equal(strtol(text + (size_t)i * 8, NULL, 10), i);
    free(text);
}

static void empty_output_is_not_null(void **state)
{
    (void)state;
    struct json_writer w = {0};
    expect_output(&w, "");
    json_writer_free(&w);
}

static void oversized_write_fails(void **state)
{
    (void)state;
    struct json_writer w = {0};
    json_writer_raw(&w, "a");
    json_writer_bytes(&w, "", SIZE_MAX - 1);
    assert_true(w.failed);
    json_writer_free(&w);
}

static void failure_is_sticky(void **state)
{
    (void)state;
    unsigned long n = 0;
    do {
        struct json_writer w = {0};
        alloc_fail_at(++n);
        for (int i = 0; i < 200; i++) {
            json_writer_string(&w, STR("line\n"));
            json_writer_format(&w, ",%d,", i);
            json_writer_integer(&w, i);
        }
        bool failed = alloc_count() >= n;
        assert_int_equal(w.failed, failed);
        size_t len;
        char *text = json_writer_take(&w, &len);
        assert_int_equal(text == NULL, failed);
        assert_null(w.data); /* handed over or freed */
        free(text);
    } while (alloc_count() >= n);
    alloc_fail_at(0);
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(extreme_integers_are_exact),
        cmocka_unit_test(seconds_use_shortest_exact_form),
        cmocka_unit_test(members_and_items_have_commas),
        cmocka_unit_test(format_grows_buffer),
        cmocka_unit_test(large_output_is_complete),
        cmocka_unit_test(empty_output_is_not_null),
        cmocka_unit_test(oversized_write_fails),
        cmocka_unit_test(failure_is_sticky),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
