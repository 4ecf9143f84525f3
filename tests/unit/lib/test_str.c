/* test_str - strings, lists of names, well-formed UTF-8, and where it may be truncated. */
#include "runtime/lib/str.h"
#include "runtime/lib/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void texts(void **state)
{
    (void)state;
    assert_int_equal(str_from("abc").len, 3);
    assert_null(str_from(NULL).at);
    assert_int_equal(str_from(NULL).len, 0);
    assert_int_equal(STR("abc").len, 3);
    assert_true(str_eq(STR("abc"), "abc"));
    assert_true(str_eq(STR(""), ""));
    assert_false(str_eq(STR("abc"), "ab"));
    assert_false(str_eq(STR("ab"), "abc"));
    assert_false(str_eq(STR("abc"), "abd"));
    assert_false(str_eq(STR("ab\0c"), "ab"));
    assert_false(str_eq(str_from(NULL), "")); /* no text is not an empty text */
}

static void lists_of_names_end_where_the_room_does(void **state)
{
    (void)state;
    struct name_list list = {0};
    assert_string_equal(list.text, "");
    name_list_add(&list, "a");
    name_list_add(&list, "bc");
    assert_string_equal(list.text, "a, bc");
    char name[sizeof list.text];
    for (size_t len = 1; len < sizeof name; len++) { /* of the second one, up to what never fits */
        list = (struct name_list){0};
        memset(name, 'n', len);
        name[len] = '\0';
        name_list_add(&list, "a");
        name_list_add(&list, name);
        name_list_add(&list, "z");
        name_list_add(&list, "y");
        size_t used = strlen(list.text);
        assert_true(used < sizeof list.text && memcmp(list.text, "a, ", 3) == 0);
        bool whole = used == 3 + len + 6 && strcmp(list.text + used - 6, ", z, y") == 0;
        assert_true(whole || strcmp(list.text + used - 5, ", ...") == 0);
        assert_true(whole == (3 + len + 6 + sizeof ", ..." <= sizeof list.text));
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
    static const char *const bad[] = {
        "\x80", /* a byte that only follows */
        "\xC3", /* cut */
        "\xC3\x41",
        "a\xE2\x82",
        "\xE2\x82\x41",
        "\xF0\x9F\x99",
        "\xF0\x9F\x41\x82",
        "\xC0\x80",
        "\xC1\xBF",
        "\xE0\x9F\xBF",
        "\xF0\x8F\xBF\xBF", /* longer than need be */
        "\xED\xA0\x80",
        "\xED\xBF\xBF", /* surrogates */
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xF8\x88\x80\x80\x80",
        "\xFE",
        "\xFF", /* beyond U+10FFFF */
        "\xC3\xA4\xA4",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(str_is_utf8(str_from(good[i])));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (str_is_utf8(str_from(bad[i])))
            fail_msg("bad text %zu passed", i);
    assert_true(str_is_utf8((struct str){"a\0b", 3}));
    assert_true(str_is_utf8((struct str){NULL, 0}));
}

/* Every code point there is, the surrogates, and the first one beyond. */
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

static void cuts_between_characters(void **state)
{
    static const struct {
        const char *text;
        size_t most, cut;
    } cuts[] = {
        {"", 0, 0},
        {"", 5, 0},
        {"abc", 0, 0},
        {"abc", 2, 2},
        {"abc", 3, 3},
        {"abc", 9, 3},
        {"\xC3\xA4"
         "b",
         1, 2}, /* a-umlaut: one character in any case */
        {"\xC3\xA4"
         "b",
         2, 2},
        {"a\xC3\xA4"
         "b",
         2, 1},
        {"a\xE2\x82\xAC"
         "b",
         2, 1}, /* the euro */
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
         1, 4}, /* a face */
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
    for (size_t i = 0; i < COUNT_OF(cuts); i++)
        assert_int_equal(utf8_cut(str_from(cuts[i].text), cuts[i].most), cuts[i].cut);
}

/* Whatever the bytes are, the cut lies within them; and what is left of UTF-8 is UTF-8. */
static void cuts_anything_within_bounds(void **state)
{
    static const char mixed[] = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z";
    static const char broken[] = "\x80\x80\x80\x80\x80\xFF\xC3\xC3\xF0\x80";
    (void)state;
    for (size_t most = 1; most < sizeof mixed; most++) {
        size_t cut = utf8_cut(STR(mixed), most);
        assert_true(cut > 0 && cut <= most + 3 && cut < sizeof mixed);
        assert_true(str_is_utf8((struct str){mixed, cut}));
    }
    for (size_t len = 0; len < sizeof broken; len++)
        for (size_t most = 0; most < sizeof broken; most++) {
            char *exact = malloc(len + 1);
            memcpy(exact, broken, len);
            size_t cut = utf8_cut((struct str){exact, len}, most);
            assert_true(cut <= len && (cut > 0 || len == 0 || most == 0));
            free(exact);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(lists_of_names_end_where_the_room_does),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_utf8_in_full),
        cmocka_unit_test(cuts_between_characters),
        cmocka_unit_test(cuts_anything_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
