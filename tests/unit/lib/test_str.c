/* test_str - strings, name lists, UTF-8 validation and truncation. */
#include "runtime/lib/str.h"
#include "runtime/lib/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void str_from_and_eq(void **state)
{
    (void)state;
    assert_int_equal(str_from("abc").len, 3);
    assert_null(str_from(NULL).data);
    assert_int_equal(str_from(NULL).len, 0);
    assert_int_equal(STR("abc").len, 3);
    assert_true(str_eq(STR("abc"), "abc"));
    assert_true(str_eq(STR(""), ""));
    assert_false(str_eq(STR("abc"), "ab"));
    assert_false(str_eq(STR("ab"), "abc"));
    assert_false(str_eq(STR("abc"), "abd"));
    assert_false(str_eq(STR("ab\0c"), "ab"));
    assert_false(str_eq(str_from(NULL), "")); /* an absent text is not equal to an empty one */
}

static void name_list_is_truncated_when_full(void **state)
{
    (void)state;
    struct name_list list = {0};
    assert_string_equal(list.text, "");
    name_list_add(&list, "a");
    name_list_add(&list, "bc");
    assert_string_equal(list.text, "a, bc");
    char name[sizeof list.text];
    for (size_t len = 1; len < sizeof name; len++) { /* the length of the second name; the last ones do not fit */
        list = (struct name_list){0};
        memset(name, 'n', len);
        name[len] = '\0';
        name_list_add(&list, "a");
        name_list_add(&list, name);
        name_list_add(&list, "z");
        name_list_add(&list, "y");
        size_t used = strlen(list.text);
        assert_true(used < sizeof list.text && memcmp(list.text, "a, ", 3) == 0);
        bool complete = used == 3 + len + 6 && strcmp(list.text + used - 6, ", z, y") == 0;
        assert_true(complete || strcmp(list.text + used - 5, ", ...") == 0);
        assert_true(complete == (3 + len + 6 + sizeof ", ..." <= sizeof list.text));
    }
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "plain",
        "\x7F",
        "\xC2\x80",
        "\xDF\xBF",
        "\xE0\xA0\x80",
        "\xED\x9F\xBF",
        "\xEE\x80\x80",
        "\xEF\xBF\xBF",
        "\xF0\x90\x80\x80",
        "\xF4\x8F\xBF\xBF",
        "a\xC3\xA4z\xE2\x82\xAC\xF0\x9F\x99\x82.",
    };
    static const char *const invalid[] = {
        /* a continuation byte without a lead byte */
        "\x80",
        /* truncated characters, and lead bytes without continuation bytes */
        "\xC3",
        "\xC3\x41",
        "a\xE2\x82",
        "\xE2\x82\x41",
        "\xF0\x9F\x99",
        "\xF0\x9F\x41\x82",
        /* overlong forms */
        "\xC0\x80",
        "\xC1\xBF",
        "\xE0\x9F\xBF",
        "\xF0\x8F\xBF\xBF",
        /* surrogates */
        "\xED\xA0\x80",
        "\xED\xBF\xBF",
        /* above U+10FFFF, and bytes that never occur */
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xF8\x88\x80\x80\x80",
        "\xFE",
        "\xFF",
        /* an extra continuation byte */
        "\xC3\xA4\xA4",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(str_is_utf8(str_from(good[i])));
    for (size_t i = 0; i < COUNT_OF(invalid); i++)
        if (str_is_utf8(str_from(invalid[i])))
            fail_msg("bad text %zu passed", i);
    assert_true(str_is_utf8((struct str){"a\0b", 3}));
    assert_true(str_is_utf8((struct str){NULL, 0}));
}

/* Every code point, the surrogates, and U+110000, the first value that is not a code point. */
static void test_utf8_in_full(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x110000; c++) {
        char at[4];
        size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
        for (size_t i = len; i-- > 0;)
            at[i] =
                (char)((i == 0 ? leads[len] : 0x80) | (i == 0 ? c >> 6 * (len - 1) : (c >> 6 * (len - 1 - i)) & 0x3F));
        bool valid = c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF);
        assert_true(str_is_utf8((struct str){at, len}) == valid);
    }
}

static void utf8_prefix_ends_at_character_boundary(void **state)
{
    static const struct {
        const char *text;
        size_t max, prefix_len;
    } rows[] = {
        {"", 0, 0},
        {"", 5, 0},
        {"abc", 0, 0},
        {"abc", 2, 2},
        {"abc", 3, 3},
        {"abc", 9, 3},
        {"\xC3\xA4"
         "b",
         1, 2}, /* U+00E4: at least one character */
        {"\xC3\xA4"
         "b",
         2, 2},
        {"a\xC3\xA4"
         "b",
         2, 1},
        {"a\xE2\x82\xAC"
         "b",
         2, 1}, /* U+20AC */
        {"a\xE2\x82\xAC"
         "b",
         3, 1},
        {"a\xE2\x82\xAC"
         "b",
         4, 4},
        {"\xE2\x82\xAC"
         "b",
         1, 3},
        {"\xE2\x82\xAC"
         "b",
         2, 3},
        {"\xF0\x9F\x98\x80"
         "b",
         1, 4}, /* U+1F600 */
        {"\xF0\x9F\x98\x80"
         "b",
         3, 4},
        {"a\xF0\x9F\x98\x80"
         "b",
         2, 1},
        {"a\xF0\x9F\x98\x80"
         "b",
         4, 1},
        {"a\xF0\x9F\x98\x80"
         "b",
         5, 5},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(utf8_prefix_len(str_from(rows[i].text), rows[i].max), rows[i].prefix_len);
}

/* The result does not exceed the text, and a prefix of UTF-8 is UTF-8. */
static void utf8_prefix_stays_within_bounds(void **state)
{
    static const char mixed[] = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z";
    static const char malformed[] = "\x80\x80\x80\x80\x80\xFF\xC3\xC3\xF0\x80";
    (void)state;
    for (size_t max = 1; max < sizeof mixed; max++) {
        size_t prefix_len = utf8_prefix_len(STR(mixed), max);
        assert_true(prefix_len > 0 && prefix_len <= max + 3 && prefix_len < sizeof mixed);
        assert_true(str_is_utf8((struct str){mixed, prefix_len}));
    }
    for (size_t len = 0; len < sizeof malformed; len++)
        for (size_t max = 0; max < sizeof malformed; max++) {
            char *copy = malloc(len + 1);
            memcpy(copy, malformed, len);
            size_t prefix_len = utf8_prefix_len((struct str){copy, len}, max);
            assert_true(prefix_len <= len && (prefix_len > 0 || len == 0 || max == 0));
            free(copy);
        }
}

static bool is_x(const unsigned char *at, size_t len)
{
    return len == 1 && at[0] == 'x';
}

static void sanitize_replaces_unsafe_and_malformed_bytes(void **state)
{
    static const struct {
        const char *raw, *text;
    } rows[] = {
        {"", ""},
        {"ab", "ab"},
        {"axb", "a?b"},
        {"\xC3\xA4x", "\xC3\xA4?"},
        {"\xFF\xC3z\x80", "??z?"},
        {"\xE2\x82", "??"},
        {"123456789012", "123456789012"},
        {"1234567890123", "123456789012..."},
        {"12345678901\xC3\xA4", "12345678901..."},
    };
    char out[16];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len = str_sanitize(str_from(rows[i].raw), "?", is_x, out, sizeof out);
        assert_string_equal(out, rows[i].text);
        assert_int_equal(len, strlen(out));
    }
}

static void ellipsis_replaces_whole_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        char text[24] = "xxxxxxxx";
        for (size_t i = shift; i < sizeof text - 1; i++)
            text[i] = "\xF0\x9F\x98\x80"[(i - shift) % 4];
        size_t len = str_ellipsize(text, sizeof text);
        assert_int_equal(len, strlen(text));
        assert_true(len < sizeof text && len > sizeof text - 5);
        assert_true(str_is_utf8((struct str){text, len}));
        assert_string_equal(text + len - 3, "...");
    }
}

static void chars_are_counted(void **state)
{
    (void)state;
    assert_int_equal(utf8_count_chars(STR("")), 0);
    assert_int_equal(utf8_count_chars(STR("abc")), 3);
    assert_int_equal(utf8_count_chars(STR("a\0b")), 3);
    assert_int_equal(utf8_count_chars(STR("\u00e9\u20ac\U0001F600")), 3);
}

static void first_character_length(void **state)
{
    (void)state;
    assert_int_equal(utf8_char_len(STR("")), 0);
    assert_int_equal(utf8_char_len(STR("ab")), 1);
    assert_int_equal(utf8_char_len(STR("\xC3\xA4z")), 2);
    assert_int_equal(utf8_char_len(STR("\xE2\x82\xAC")), 3);
    assert_int_equal(utf8_char_len(STR("\xF0\x9F\x98\x80")), 4);
    assert_int_equal(utf8_char_len(STR("\xF0\x9F\x98")), 0);
    assert_int_equal(utf8_char_len(STR("\x80")), 0);
    assert_int_equal(utf8_char_len(STR("\xC3z")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chars_are_counted),
        cmocka_unit_test(str_from_and_eq),
        cmocka_unit_test(name_list_is_truncated_when_full),
        cmocka_unit_test(sanitize_replaces_unsafe_and_malformed_bytes),
        cmocka_unit_test(ellipsis_replaces_whole_characters),
        cmocka_unit_test(first_character_length),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_utf8_in_full),
        cmocka_unit_test(utf8_prefix_ends_at_character_boundary),
        cmocka_unit_test(utf8_prefix_stays_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
